"""The physics of one direction, told the time by the test."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_simulators.channel import Channel
from suture_simulators.lines import InterruptedLine, SteadyLine, TracedLine
from suture_simulators.link_profile import BurstLoss, Direction
from suture_simulators.rate_trace import RateTrace

PACKET = bytes(1000)


def channel(**settings) -> Channel:
    return Channel(Direction(**settings), seed=7, framing_bytes=0)


def pops(line: Channel) -> list[tuple[float, bytes]]:
    found = []
    while line.next_due_s < math.inf:
        found.append(line.pop())
    return found


def drain(line: Channel) -> list[float]:
    return [due_s for due_s, _ in pops(line)]


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
    line.settle(math.inf)
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
    end_s = TracedLine(trace).finish(start_s, bits)
    assert end_s > start_s
    assert trace.mean_between(start_s, end_s) * (end_s - start_s) == pytest.approx(bits, rel=1e-6, abs=1)


@pytest.mark.parametrize(
    "model",
    [BurstLoss(p=0.02, r=0.25), BurstLoss(p=0.05, r=0.4, loss_bad=0.7, loss_good=0.01), BurstLoss(p=0.9, r=0.8)],
)
def test_bursts_have_the_share_and_the_length_that_the_model_says(model):
    count = 60_000
    line = channel(burst_loss=model)
    for index in range(count):
        line.arrive(index * 0.001, PACKET)
    line.settle(math.inf)
    lost, bursts = line.counters.lost, line.counters.loss_bursts
    assert abs(lost - count * model.mean_loss) < 4 * math.sqrt(count * model.variance_per_packet)
    assert lost / bursts == pytest.approx(model.mean_burst_packets, rel=4 / math.sqrt(bursts))


def test_reordered_packets_skip_the_delay_and_overtake_those_on_their_way():
    line = channel(delay_s=0.05, reorder=0.1)
    for index in range(5000):
        line.arrive(index * 0.01, index.to_bytes(4, "big"))
    arrived = [(due_s, int.from_bytes(packet, "big")) for due_s, packet in pops(line)]
    early = [number for due_s, number in arrived if due_s == pytest.approx(number * 0.01)]
    assert len(early) == pytest.approx(500, abs=4 * math.sqrt(450))
    kept = [number for due_s, number in arrived if number not in set(early)]
    assert kept == sorted(kept)
    line.settle(math.inf)
    assert line.counters.reordered == len(early)


def test_outage_pauses_the_packet_on_the_line_and_fills_the_queue():
    line = channel(rate_bps=8e6, queue_bytes=3000, outages=((1.0, 2.0),))
    line.arrive(0.9996, PACKET)
    for _ in range(3):
        line.arrive(1.5, PACKET)
    assert line.counters.dropped_queue == 1
    assert drain(line) == pytest.approx([3.0006, 3.0016, 3.0026])


def test_unlimited_line_waits_out_its_outage():
    line = channel(outages=((1.0, 2.0),))
    for now_s in (0.5, 1.5, 3.5):
        line.arrive(now_s, PACKET)
    assert drain(line) == pytest.approx([0.5, 3.0, 3.5])


@given(
    begins=st.lists(st.floats(min_value=0.1, max_value=5), max_size=4),
    start_s=st.floats(min_value=0, max_value=20),
    bits=st.floats(min_value=1, max_value=1e8),
)
def test_interrupted_line_carries_exactly_the_bits_of_the_time_between_outages(begins, start_s, bits):
    outages, at_s = [], 0.0
    for gap_s in begins:
        outages.append((at_s + gap_s, gap_s / 2))
        at_s += 1.5 * gap_s
    line = InterruptedLine(SteadyLine(1e6), tuple(outages))
    end_s = line.finish(start_s, bits)
    assert line.bits_between(start_s, end_s) == pytest.approx(bits, rel=1e-6, abs=1)
    down_s = sum(max(0.0, min(end_s, b + length) - max(start_s, b)) for b, length in outages)
    assert end_s - start_s == pytest.approx(bits / 1e6 + down_s, rel=1e-6, abs=1e-6)


def test_step_of_the_rate_moves_what_waits_at_once_and_spares_what_is_on_its_way():
    line = channel(rate_bps=8e6, delay_s=0.1)
    for _ in range(4):
        line.arrive(0.0, PACKET)  # leave at 1, 2, 3, 4 ms
    line.change(0.0015, Direction(rate_bps=0.8e6, delay_s=0.1), seed=1)
    # One is past the line; half of the second is left, for which the new line takes ten times as long.
    assert drain(line) == pytest.approx([0.101, 0.1 + 0.0065, 0.1 + 0.0165, 0.1 + 0.0265])


def test_change_ends_an_outage_and_loses_nothing():
    line = channel(rate_bps=8e6, outages=((0.0, 100.0),))
    for _ in range(3):
        line.arrive(0.0, PACKET)
    line.change(2.0, Direction(rate_bps=8e6, delay_s=0.01), seed=1)
    line.arrive(2.0, PACKET)
    assert drain(line) == pytest.approx([2.011, 2.012, 2.013, 2.014])
    assert line.counters.packets_in == line.counters.packets_out == 4


def test_change_to_a_smaller_queue_keeps_what_waits_and_turns_newcomers_away():
    line = channel(rate_bps=8e6, queue_bytes=10_000)
    for _ in range(8):
        line.arrive(0.0, PACKET)
    line.change(0.0005, Direction(rate_bps=8e6, queue_bytes=2000), seed=1)
    line.arrive(0.0006, PACKET)
    assert line.counters.dropped_queue == 1
    assert len(drain(line)) == 8


def test_change_begins_its_trace_and_draws_its_losses_anew():
    trace = RateTrace(name="t", steps=((0.0, 0.0), (1.0, 8e6)), period_s=10.0)
    line = channel(rate_bps=8e3, loss=1.0)
    for _ in range(3):
        line.arrive(5.0, PACKET)
    line.change(5.5, Direction(trace=trace), seed=1)
    line.settle(math.inf)
    assert line.counters.lost == 0
    assert drain(line) == pytest.approx([6.5005, 6.5015, 6.5025])


def test_shorter_delay_lets_nothing_overtake():
    line = channel(delay_s=0.1)
    line.arrive(0.0, PACKET)
    line.change(0.01, Direction(delay_s=0.01), seed=1)
    line.arrive(0.02, PACKET)
    assert drain(line) == pytest.approx([0.1, 0.1])
