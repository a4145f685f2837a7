"""Which samples are of the link as it is now: a large step at once, a smaller one when it lasts, noise never."""

import random

import pytest

from suture_partitioner.changes import CHANGE, STEP, Rate, Scatter, counts_alone, of_now


def series(*rates_bps, every_s=0.5):
    return [Rate(place * every_s, bps) for place, bps in enumerate(rates_bps)]


def test_two_samples_show_a_large_step_and_one_does_not():
    assert of_now(series(*[10e6] * 6, 2e6), 0.0) == 7
    assert of_now(series(*[10e6] * 6, 2e6, 2e6), 0.0) == 2
    assert of_now(series(*[2e6] * 6, 10e6, 10e6), 0.0) == 2


def test_a_smaller_change_has_to_last():
    low = 10e6 / (CHANGE + 0.1)
    assert low > 10e6 / STEP
    for count in range(1, 6):
        assert of_now(series(*[10e6] * 12, *[low] * count), 0.0) == 12 + count
    assert of_now(series(*[10e6] * 12, *[low] * 6), 0.0) == 6
    assert of_now(series(*[10e6] * 12, *[low] * 6, every_s=0.1), 0.0) == 18  # half a second is not lasting


def test_samples_on_both_sides_are_no_change():
    assert of_now(series(*[10e6] * 10, 4e6, 25e6), 0.0) == 12


def test_a_link_that_scatters_needs_more():
    rates = series(*[10e6] * 6, 4.5e6, 4.5e6)
    assert of_now(rates, 0.1) == 2
    assert of_now(rates, 0.25) == 8


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_scatter_is_that_of_the_samples_also_where_neighbours_agree(share):
    draw, scatter = random.Random(1), Scatter()
    found = []
    for place in range(2000):
        if place % 2 == 0:
            bps = 5e6 * draw.lognormvariate(0.0, share)
        scatter.add(bps, 5e6)
        found.append(scatter.sigma)
    # Deviations beyond a factor of 1.6 are cut off: a wide scatter shows as somewhat less.
    assert sum(found[100:]) / len(found[100:]) == pytest.approx(share, rel=0.1 if share < 0.3 else 0.25)


def test_one_sample_counts_alone_where_it_is_far_below_or_surely_far_above():
    before = series(*[10e6] * 6)
    assert counts_alone([*before, Rate(3.0, 3.9e6)], 0.0)
    assert not counts_alone([*before, Rate(3.0, 4.1e6)], 0.0)
    assert not counts_alone([*before, Rate(3.0, 3.9e6)], 0.2)
    assert counts_alone([*before, Rate(3.0, 30e6, least_bps=21e6)], 0.0)
    assert not counts_alone([*before, Rate(3.0, 30e6, least_bps=19e6)], 0.0)
    assert not counts_alone(before[:1], 0.0)


def test_a_few_samples_are_all_of_now():
    assert of_now(series(1e6, 9e6), 0.0) == 2
    assert of_now([], 0.0) == 0


def test_before_anything_was_seen_some_scatter_is_expected():
    scatter = Scatter()
    assert scatter.sigma == 0
    assert scatter.cautious > 0.1
    for _ in range(100):
        scatter.add(5e6, 5e6)
    assert scatter.cautious < 0.01
