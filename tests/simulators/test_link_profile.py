"""What a link profile accepts, refuses and fills in."""

from __future__ import annotations

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.link_profile import Direction, LinkProfile, RateTrace, load_trace


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
    ],
)
def test_impossible_settings_are_refused_with_words(settings, words):
    with pytest.raises(ValueError, match=words):
        Direction(**settings)


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


def test_trace_is_read_and_counted_from_its_first_row(tmp_path):
    path = tmp_path / "drive.csv"
    path.write_text("# a drive\nt_s,mbps,note\n100,8,a\n101,0,b\n103,4,c\n")
    trace = load_trace(path)
    assert trace.steps == ((0.0, 8e6), (1.0, 0.0), (3.0, 4e6))
    assert trace.period_s == pytest.approx(5.0)
    assert trace.mean_bps() == pytest.approx(16e6 / 5)


def test_mean_between_spans_periods():
    trace = RateTrace(name="t", steps=((0.0, 8e6), (1.0, 2e6)), period_s=2.0)
    assert trace.mean_between(0.5, 1.5) == pytest.approx(5e6)
    assert trace.mean_between(1.5, 2.5) == pytest.approx(5e6)
    assert trace.mean_between(0.25, 8.25) == pytest.approx(5e6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,rate\n0,1\n", "t_s and mbps"),
        ("t_s,mbps\n", "no rows"),
        ("t_s,mbps\n0,fast\n", "line 2"),
        ("t_s,mbps\n0,1\n0,2\n", "ascend"),
        ("t_s,mbps\n0,-1\n1,2\n", "0 or more"),
        ("t_s,mbps\n0,0\n1,0\n", "0 throughout"),
    ],
)
def test_unreadable_trace_is_refused_by_name_and_reason(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as refusal:
        load_trace(path)
    assert "bad.csv" in str(refusal.value)


def test_missing_trace_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.csv"):
        load_trace(tmp_path / "nowhere.csv")
