"""What a check concludes from what it saw, with made-up observations; the real links are in test_link."""

from __future__ import annotations

import math

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.check import check, follow_seconds
from suture_simulators.link_profile import BurstLoss, Direction, LinkProfile
from suture_simulators.patterns import correlation, path_pattern
from suture_simulators.quantities import fates, followed, goodput, round_trip
from suture_simulators.rate_trace import RateTrace

TRACE = RateTrace(name="t", steps=((0.0, 8e6), (2.0, 0.0), (3.0, 2e6)), period_s=5.0)


def test_pattern_counts_losses_in_a_row_and_who_was_overtaken():
    sent = {number: number * 0.01 for number in range(10)}
    arrived = {number: at_s + 0.05 for number, at_s in sent.items() if number not in (2, 3, 7)}
    arrived[6] = sent[6] + 0.001
    pattern = path_pattern(sent, arrived, delay_s=0.05)
    assert (pattern.sent, pattern.arrived, pattern.bursts) == (10, 7, (2, 1))
    assert (pattern.early, pattern.overtaken) == (1, (2,))  # 4 and 5 were still on their way; 2 and 3 were lost


def test_nothing_sent_is_all_lost():
    assert path_pattern({}, {}, delay_s=0.05).loss == 1.0


def test_interval_of_bursty_loss_is_wider_than_that_of_independent_loss():
    pattern = {"sent": 2000, "arrived": 1900, "bursts": (4,) * 25, "early": 0, "overtaken": ()}
    even = fates("up", Direction(loss=0.04), pattern)[0]
    bursty, length = fates("up", Direction(burst_loss=BurstLoss(p=0.01, r=0.24)), pattern)
    assert bursty.set_value == pytest.approx(0.04)
    assert bursty.high - bursty.low > 2 * (even.high - even.low)
    assert length.set_value == pytest.approx(1 / 0.24)
    assert length.within


def test_too_few_bursts_say_nothing_about_their_length():
    pattern = {"sent": 200, "arrived": 190, "bursts": (9, 1), "early": 0, "overtaken": ()}
    length = fates("up", Direction(burst_loss=BurstLoss(p=0.01, r=0.24)), pattern)[1]
    assert length.low is None
    assert length.within


def test_reordering_is_judged_by_its_share_and_reported_with_its_reach():
    pattern = {"sent": 2000, "arrived": 2000, "bursts": (), "early": 400, "overtaken": (5, 7)}
    found = {q.name: q for q in fates("down", Direction(delay_s=0.02, reorder=0.05), pattern)}
    assert not found["reordered down"].within
    assert found["packets overtaken down"].measured == 6


def test_round_trip_counts_the_probe_on_the_line_and_grants_the_jitter():
    profile = LinkProfile.symmetric(rate_bps=1e6, delay_s=0.02, jitter_s=0.005)
    assert round_trip(profile, [0.0417]).set_value == pytest.approx(0.04 + 2 * 106 * 8 / 1e6, abs=1e-4)
    assert round_trip(profile, [0.051]).within
    assert not round_trip(profile, [0.054]).within
    assert not round_trip(profile, []).within


def test_goodput_of_an_unlimited_line_is_not_judged():
    assert goodput("goodput up", Direction(), 3e8, 0.9, 1.0).within
    assert not goodput("goodput up", Direction(rate_bps=1e6), 3e8, 0.9, 1.0).within


def test_followed_compares_whole_seconds_outages_included():
    window = {"bytes_per_s": [972_000, 972_000, 0, 243_000, 243_000, 17]}
    done = followed("up", Direction(trace=TRACE), window, 0.0)
    total, like = done.quantities()
    assert total.measured == pytest.approx(total.set_value, rel=1e-3)
    assert total.within
    assert like.measured > 0.999
    assert like.within
    shifted = followed("up", Direction(trace=TRACE), window, 1.0)
    assert not shifted.quantities()[1].within


def test_correlation_of_what_hardly_varies_is_not_given():
    assert correlation([1.0, 1.001, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]) is None
    assert correlation([1.0, 2.0], [1.0, 2.0]) is None


def test_lines_that_change_are_watched_until_their_last_outage_is_over():
    up, down = Direction(trace=TRACE), Direction(rate_bps=1e6, outages=((10.0, 2.5),))
    assert follow_seconds(LinkProfile(up=up), 2.0) == 5.0
    assert follow_seconds(LinkProfile(up=up, down=down), 2.0) == 16


def test_link_that_loses_nearly_all_is_refused():
    with pytest.raises(UsageError, match="too few arrive"):
        check(LinkProfile.symmetric(loss=0.95))
    assert math.isinf(BurstLoss(p=1.0, r=1.0, loss_good=1.0).mean_burst_packets)
