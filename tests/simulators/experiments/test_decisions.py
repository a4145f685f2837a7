"""Decisions replayed over a line's arithmetic, and what counts as a needless move or a request held up by one."""

from __future__ import annotations

import pytest

from suture_partitioner.plan import Planner
from suture_simulators.experiments import scenarios
from suture_simulators.experiments.adapt_moves import moves, needless, needless_replayed
from suture_simulators.experiments.clairvoyant import best_at, options
from suture_simulators.experiments.decisions import count_switches, noisy, replay
from suture_simulators.rate_trace import RateTrace
from tests.simulators.experiments.hand_made import chain, manifest_of, profile_of
from tests.simulators.experiments.test_adapt import CLOUD, LOCAL, image

MANIFEST = manifest_of(chain([8, 4, 2], [32, 16, 8], [100] * 3))
EDGE = profile_of(MANIFEST, "edge", {node.name: 0.05 for node in MANIFEST.graph}, ratio=20.0)
TAILS = profile_of(MANIFEST, "cloud", {node.name: 0.005 for node in MANIFEST.graph})
RTT_S = 0.02


def test_noise_scatters_around_the_mean_and_is_the_same_for_the_same_seed() -> None:
    trace = noisy(5e6, 0.2, 600.0, seed=3)
    assert trace == noisy(5e6, 0.2, 600.0, seed=3)
    assert trace.mean_bps() == pytest.approx(5e6, rel=0.03)
    assert len({rate for _, rate in trace.steps}) > 500
    assert min(rate for _, rate in trace.steps) >= 1e6


def test_replayed_decisions_follow_a_step_of_the_rate_as_the_unit_would() -> None:
    known = options(Planner(MANIFEST, [EDGE], TAILS))
    slow, fast = best_at(known, 0.1e6, RTT_S), best_at(known, 50e6, RTT_S)
    assert slow != fast
    trace = RateTrace(name="step", steps=((0.0, 50e6), (20.0, 0.1e6)), period_s=1000.0)
    found = replay(Planner(MANIFEST, [EDGE], TAILS), trace, rtt_s=RTT_S, period_s=1.0, images=60)
    assert len(found.chosen) == len(found.replan_s) == 60
    assert found.chosen[15].cut_id == fast.cut
    assert found.chosen[-1].cut_id == slow.cut
    assert found.switches >= 1


def test_the_tempting_rate_is_where_the_best_plan_changes() -> None:
    known = options(Planner(MANIFEST, [EDGE], TAILS))
    rate_bps = scenarios.tempting_bps(known, 5e6, RTT_S)
    assert best_at(known, rate_bps / 1.1, RTT_S) != best_at(known, rate_bps * 1.1, RTT_S)
    assert scenarios.tempting_bps([LOCAL], 5e6, RTT_S) == 5e6


def test_moves_on_a_steady_link_count_once_it_had_time_to_settle() -> None:
    plans = [CLOUD, LOCAL, *[CLOUD] * 20, LOCAL, CLOUD]
    samples = [image(float(place), plan) for place, plan in enumerate(plans)]
    assert needless(samples, 605.0) == 2.0
    assert needless_replayed({"switches": [0, 3], "length_s": 1200.0}) == (0.75, 1.5)
    assert count_switches([("a", ""), ("a", ""), ("b", "")]) == 1


def test_a_request_is_held_up_by_a_move_when_it_waits_for_its_head() -> None:
    usual = [image(float(place), CLOUD, took_s=0.3, steps_s={"head": 0.2, "transfer": 0.1}) for place in range(5)]
    late = image(6.0, LOCAL, took_s=0.9, steps_s={"head": 0.3})
    after = [image(7.0 + place, LOCAL, took_s=0.3, steps_s={"head": 0.3}) for place in range(4)]
    back = image(12.0, CLOUD, took_s=0.3, steps_s={"head": 0.2, "transfer": 0.1})
    failed = image(13.0, LOCAL, error="no plan")
    found = moves([*usual, late, *after, back, failed])
    assert (found.moves, found.delayed, found.failed) == (3, 1, 1)


def test_the_rates_of_a_recorded_link_are_those_it_had_for_long() -> None:
    steps = ((0.0, 1e6), (6.0, 0.0), (8.0, 20e6), (10.0, 5.04e6))
    recorded = RateTrace(name="drive", steps=steps, period_s=12.0)
    assert scenarios.rates_of([recorded], 5) == (1e6, 5e6, 20e6)
    assert scenarios.rates_of([recorded], 1) == (1e6,)
