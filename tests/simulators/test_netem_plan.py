"""What tc is told for a profile, and when it is told something else."""

from __future__ import annotations

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.link_profile import BurstLoss, Direction
from suture_simulators.netem_plan import JITTER_TICK_S, Course
from suture_simulators.rate_trace import RateTrace


def test_steady_line_is_told_once_and_holds_its_queue_in_bytes():
    course = Course(Direction(rate_bps=20e6, delay_s=0.02, queue_bytes=100_000), seed=1)
    line, path = course.advance(0.0)
    burst_bytes = int(line.split("burst ")[1].split()[0])
    assert line == f"tbf rate 20000000bit burst {burst_bytes} limit {100_000 - burst_bytes}"
    assert path == "netem limit 200000 delay 20000.0us rate 20000000bit"
    assert course.next_s == float("inf")


def test_losses_and_order_are_written_as_netem_reads_them():
    even = Direction(delay_s=0.01, loss=0.015, reorder=0.25)
    bursts = Direction(burst_loss=BurstLoss(p=0.01, r=0.3, loss_bad=0.9, loss_good=0.001))
    assert Course(even, seed=1).advance(0.0)[1].endswith(" loss random 1.5% reorder 25%")
    assert Course(bursts, seed=1).advance(0.0)[1].endswith(" loss gemodel 1% 30% 90% 0.1%")


def test_trace_is_told_at_each_step_and_starts_again():
    trace = RateTrace(name="steps", steps=((0.0, 8e6), (1.0, 2e6)), period_s=3.0)
    course = Course(Direction(trace=trace), seed=1)
    told = []
    while course.next_s < 4.5:
        at_s = course.next_s
        told.append((at_s, course.advance(at_s)[0].split()[2]))
    assert told == [(0.0, "8000000bit"), (1.0, "2000000bit"), (3.0, "8000000bit"), (4.0, "2000000bit")]


def test_outage_stops_the_line_but_not_what_is_past_it():
    course = Course(Direction(rate_bps=5e6, outages=((1.0, 0.5),)), seed=1)
    before, during, after = (course.advance(at_s) for at_s in (0.0, 1.2, 1.5))
    assert before == after
    assert during[0].startswith("tbf rate 8bit ")
    assert during[1] == before[1]


def test_jitter_moves_the_delay_slowly_within_its_bounds_and_keeps_the_order():
    course = Course(Direction(delay_s=0.02, jitter_s=0.005), seed=1)
    paths = [course.advance(tick * JITTER_TICK_S)[1] for tick in range(100)]
    delays_us = [float(path.split("delay ")[1].split("us")[0]) for path in paths]
    assert 15_000 <= min(delays_us) < 18_000
    assert 22_000 < max(delays_us) <= 25_000
    assert all(" rate " in path for path in paths)  # a netem with a rate never lets packets overtake each other


def test_trace_faster_than_tc_is_refused_with_the_backend_that_can():
    trace = RateTrace(name="fast.csv", steps=((0.0, 8e6), (0.001, 2e6)), period_s=1.0)
    with pytest.raises(UsageError, match=r"fast\.csv.*--backend tun"):
        Course(Direction(trace=trace), seed=1)
