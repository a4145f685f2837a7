"""Holds of routine work: they last as asked, they do not add up, and routine work goes on in between."""

from __future__ import annotations

from suture_edge.holds import HOLDS_S, REST_S, Held, Holds


def test_a_hold_lasts_as_asked_and_ends_with_the_last_that_asked():
    holds = Holds()
    holds.begin(10.0, 1.0)
    holds.begin(10.5, 1.0)
    assert (holds.until_s, holds.brake_until_s) == (11.5, 11.5)
    holds.end(10.6)
    assert holds.until_s == 11.5
    holds.end(10.7)
    assert (holds.until_s, holds.brake_until_s) == (10.7, 10.7)


def test_overlapping_holds_end_together_and_begin_again_after_a_rest():
    holds = Holds()
    for step in range(20):
        holds.begin(float(step) / 2, 1.0)
        if step:
            holds.end(float(step) / 2)
        if step / 2 >= HOLDS_S:
            break
    assert holds.until_s == holds.brake_until_s == HOLDS_S
    holds.begin(HOLDS_S + REST_S / 2, 1.0)
    assert holds.until_s == HOLDS_S
    holds.begin(HOLDS_S + REST_S, 1.0)
    assert holds.until_s == HOLDS_S + REST_S + 1.0


def test_holds_with_next_to_nothing_between_count_as_overlapping_and_others_do_not():
    for pause_s, together in ((REST_S / 10, True), (REST_S, False)):
        holds = Holds()
        now_s = 0.0
        while now_s < 3 * HOLDS_S:
            holds.begin(now_s, 1.0)
            held = holds.until_s > now_s
            now_s += 0.5
            holds.end(now_s)
            now_s += pause_s
            if not held:
                break
        assert held is not together
        assert not together or HOLDS_S <= now_s < HOLDS_S + 2.0


def test_one_long_hold_may_be_longer_but_does_not_brake_for_longer():
    holds = Holds()
    holds.begin(0.0, 1.0)
    holds.begin(0.1, 80.0)
    assert (holds.until_s, holds.brake_until_s) == (80.0, HOLDS_S)
    holds.begin(70.0, 80.0)
    assert holds.until_s == 80.0


def test_it_is_counted_for_how_long_routine_work_was_held():
    held = Held()
    assert held.total_s(100.0) == 0.0
    held.hold(100.0, 101.0)
    assert held.total_s(100.25) == 0.25
    held.hold(100.5, 102.0)  # longer,
    assert held.total_s(101.0) == 1.0
    held.hold(101.0, 101.0)  # or over before its time
    assert held.total_s(105.0) == 1.0
    held.hold(106.0, 106.5)
    assert held.total_s(110.0) == 1.5


def test_it_is_known_whether_a_hold_is_under_way():
    holds = Holds()
    assert not holds.under_way
    holds.begin(1.0, 1.0)
    assert holds.under_way  # whatever the time
    holds.end(9.0)
    assert not holds.under_way
