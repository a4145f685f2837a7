"""The physics of one direction, told the time by the test."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_simulators.channel import Channel, RateSchedule
from suture_simulators.link_profile import Direction, RateTrace

PACKET = bytes(1000)


def channel(**settings) -> Channel:
    return Channel(Direction(**settings), seed=7, framing_bytes=0)


def drain(line: Channel) -> list[float]:
    times = []
    while line.next_due_s < math.inf:
        times.append(line.pop()[0])
    return times


def test_back_to_back_packets_leave_exactly_at_the_line_rate():
    line = channel(rate_bps=8e6, delay_s=0.02)
    for _ in range(5):
        line.arrive(1.0, PACKET)
    assert drain(line) == pytest.approx([1.021, 1.022, 1.023, 1.024, 1.025])


def test_idle_line_saves_up_nothing():
    line = channel(rate_bps=8e6)
    for now_s in (0.0, 5.0, 5.0):
        line.arrive(now_s, PACKET)
    assert drain(line) == pytest.approx([0.001, 5.001, 5.002])


def test_framing_counts_as_load():
    line = Channel(Direction(rate_bps=8e6), seed=1)
    line.arrive(0.0, PACKET)
    assert drain(line) == pytest.approx([1014 * 8 / 8e6])


def test_full_queue_drops_the_newcomer_and_frees_room_as_packets_leave():
    line = channel(rate_bps=8e6, queue_bytes=3000)
    for _ in range(5):
        line.arrive(0.0, PACKET)
    line.arrive(0.0015, PACKET)
    assert line.counters.dropped_queue == 2
    assert drain(line) == pytest.approx([0.001, 0.002, 0.003, 0.004])


def test_unlimited_line_adds_only_the_delay():
    line = channel(delay_s=0.01)
    for _ in range(1000):
        line.arrive(2.0, PACKET)
    assert drain(line) == pytest.approx([2.01] * 1000)


def test_loss_lies_within_its_binomial_interval_and_uses_the_line():
    count, probability = 20_000, 0.03
    line = channel(rate_bps=8e6, loss=probability)
    for index in range(count):
        line.arrive(index * 0.001, PACKET)
    spread = 4 * math.sqrt(count * probability * (1 - probability))
    assert abs(line.counters.lost - count * probability) < spread
    assert drain(line)[-1] == pytest.approx(count * 0.001, abs=0.01)


def test_same_seed_loses_the_same_packets():
    def survivors() -> list[float]:
        line = channel(loss=0.2)
        for index in range(200):
            line.arrive(index * 0.01, PACKET)
        return drain(line)

    assert survivors() == survivors()


def test_jitter_wanders_within_its_bounds_without_bias_and_keeps_order():
    line = channel(delay_s=0.05, jitter_s=0.02)
    sent = [index * 0.01 for index in range(20_000)]
    for now_s in sent:
        line.arrive(now_s, PACKET)
    due = drain(line)
    delays = [arrived - left for arrived, left in zip(due, sent, strict=True)]
    assert due == sorted(due)
    assert min(delays) >= 0.03 - 1e-9
    assert max(delays) <= 0.07 + 1e-9
    assert sum(delays) / len(delays) == pytest.approx(0.05, abs=0.004)
    assert max(abs(b - a) for a, b in pairwise(delays)) < 0.001  # slowly


def test_outage_in_a_trace_holds_packets_until_it_ends():
    trace = RateTrace(name="t", steps=((0.0, 8e6), (1.0, 0.0), (4.0, 8e6)), period_s=5.0)
    line = channel(trace=trace)
    for now_s in (0.9995, 2.0):
        line.arrive(now_s, PACKET)
    assert drain(line) == pytest.approx([4.0005, 4.0015])


@given(
    rates=st.lists(st.sampled_from([0.0, 1e6, 3e6, 2e7]), min_size=1, max_size=6).filter(any),
    start_s=st.floats(min_value=0, max_value=30),
    bits=st.floats(min_value=1, max_value=1e8),
)
def test_trace_carries_exactly_the_bits_between_start_and_finish(rates, start_s, bits):
    trace = RateTrace(
        name="t", steps=tuple((float(i), rate) for i, rate in enumerate(rates)), period_s=float(len(rates))
    )
    end_s = RateSchedule(trace).finish(start_s, bits)
    assert end_s > start_s
    assert trace.mean_between(start_s, end_s) * (end_s - start_s) == pytest.approx(bits, rel=1e-6, abs=1)
