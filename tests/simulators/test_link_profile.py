"""What a link profile accepts, refuses and fills in."""

from __future__ import annotations

import dataclasses
import json

import pytest

from suture_simulators.control import profile_from_plain
from suture_simulators.link_profile import BurstLoss, Direction, LinkProfile
from suture_simulators.rate_trace import RateTrace


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate_bps": -5e6}, "rate"),
        ({"rate_bps": 0.0}, "unlimited"),
        ({"rate_bps": float("nan")}, "rate"),
        ({"delay_s": -0.1}, "delay"),
        ({"delay_s": 0.01, "jitter_s": 0.02}, "jitter"),
        ({"loss": 2.0}, "200 %"),
        ({"loss": -0.1}, "loss"),
        ({"queue_bytes": 100}, "one packet"),
        ({"reorder": 1.5, "delay_s": 0.1}, "150 %"),
        ({"reorder": 0.1}, "without a delay"),
        ({"outages": ((-1.0, 2.0),)}, "0 or later"),
        ({"outages": ((1.0, 0.0),)}, "length"),
        ({"outages": ((1.0, 2.0), (2.0, 1.0))}, "overlap"),
        ({"loss": 0.1, "burst_loss": BurstLoss(p=0.1, r=0.5)}, "one or the other"),
    ],
)
def test_impossible_settings_are_refused_with_words(settings, words):
    with pytest.raises(ValueError, match=words):
        Direction(**settings)


@pytest.mark.parametrize("settings", [{"p": 2.0, "r": 0.5}, {"p": 0.0, "r": 0.5}, {"p": 0.1, "r": 0.5, "loss_bad": -1}])
def test_impossible_bursts_are_refused_with_words(settings):
    with pytest.raises(ValueError, match="burst loss"):
        BurstLoss(**settings)


def test_rate_and_trace_exclude_each_other():
    trace = RateTrace(name="t", steps=((0.0, 1e6),), period_s=1.0)
    with pytest.raises(ValueError, match="one or the other"):
        Direction(rate_bps=1e6, trace=trace)


def test_default_queue_is_a_round_trip_of_the_line_but_at_least_100_ms():
    assert Direction(rate_bps=80e6, delay_s=0.1).queue_limit_bytes() == 2_000_000
    assert Direction(rate_bps=80e6, delay_s=0.001).queue_limit_bytes() == 1_000_000
    assert Direction(rate_bps=1e6).queue_limit_bytes() == 32 * 1514


def test_symmetric_profile_halves_the_round_trip():
    assert LinkProfile.symmetric(delay_s=0.02).rtt_s == pytest.approx(0.04)


def test_mean_between_spans_periods():
    trace = RateTrace(name="t", steps=((0.0, 8e6), (1.0, 2e6)), period_s=2.0)
    assert trace.mean_between(0.5, 1.5) == pytest.approx(5e6)
    assert trace.mean_between(1.5, 2.5) == pytest.approx(5e6)
    assert trace.mean_between(0.25, 8.25) == pytest.approx(5e6)


def test_trace_begun_later_is_the_same_trace_turned():
    trace = RateTrace(name="t", steps=((0.0, 8e6), (1.0, 0.0), (3.0, 4e6)), period_s=5.0)
    turned = trace.starting_at(2.0)
    assert turned.steps == ((0.0, 0.0), (1.0, 4e6), (3.0, 8e6), (4.0, 0.0))
    assert turned.mean_between(0.5, 6.5) == pytest.approx(trace.mean_between(2.5, 8.5))
    assert trace.starting_at(5.0) == trace


def test_mean_of_a_direction_leaves_its_outages_out():
    way = Direction(rate_bps=10e6, outages=((2.0, 1.0), (5.0, 5.0)))
    assert way.mean_between(0.0, 4.0) == pytest.approx(7.5e6)
    assert way.mean_between(5.5, 9.5) == 0
    assert Direction(outages=((2.0, 1.0),)).mean_between(0.0, 4.0) is None


def test_simple_bursts_last_one_over_r_and_the_report_says_so():
    profile = LinkProfile.symmetric(burst_loss=BurstLoss(p=0.01, r=0.2)).to_json()
    assert profile["up"]["mean_loss"] == pytest.approx(0.01 / 0.21)
    assert profile["up"]["mean_burst_packets"] == pytest.approx(5.0)


def test_profile_survives_the_way_to_the_helper():
    way = Direction(
        trace=RateTrace(name="t", steps=((0.0, 1e6), (1.5, 0.0)), period_s=2.0, read_as="x"),
        delay_s=0.02, jitter_s=0.01, burst_loss=BurstLoss(p=0.1, r=0.5), reorder=0.01, outages=((1.0, 2.0),),
    )  # fmt: skip
    profile = LinkProfile(up=way, down=Direction(loss=0.1), seed=3)
    assert profile_from_plain(json.loads(json.dumps(dataclasses.asdict(profile)))) == profile
