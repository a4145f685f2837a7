"""`adapt`: a stream of images while the link steps, drops to nothing and comes back, or follows a recorded drive.

For each change of the rate: how many requests and seconds until the plan in force is within 5 % of the best for the new
rate (see `adapt_scores` for what that means), and what became of every image meanwhile. On a steady link with noise:
how often the plan changed for nothing. And what a re-plan takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from suture_edge.settings import AUTO
from suture_simulators.experiments import decisions, scenarios, streaming
from suture_simulators.experiments.clairvoyant import Option, best_at
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.scenarios import Scenario
from suture_simulators.experiments.streaming import PERIOD_MIN_S, SPLIT, Arm, Pace
from suture_simulators.experiments.types import Grid, Point, Record, Settings
from suture_simulators.lines import TracedLine

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

DROP: Final = "drop"
STEADY: Final = "steady"
#: Begins the name of a step that a unit meets for the first time, with no other head ready than the first image's.
FIRST: Final = "first-"
#: How long each rate of it lasts: a slow unit compiles for long.
_FIRST_S: Final = 20.0
#: How long the link is gone, in a full run and in a quick one.
_DROP_S: Final = 10.0
_QUICK_DROP_S: Final = 5.0
#: A steady link is watched for so long, its rate scatters by so much.
STEADY_S: Final = 600.0
NOISE: Final = 0.2
#: The decision part alone is replayed over so many such links, and over 10,000 requests at least.
_REPLAYED_LINKS: Final = 10
_REPLANS_MIN: Final = 10_000
#: Connecting, warming up and calibrating again.
_AROUND_S: Final = 6.0


class Adapt(Reported):
    """See the module."""

    name = "adapt"
    title = "How fast the plan follows the link"
    report = "suture_simulators.experiments.adapt_report"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; rates are stepped between, a phase lasts `samples` times the shortest period."""
        rates_bps = (2e6, 20e6)
        return Grid(rates_bps=rates_bps, rtts_s=(0.04,), devices=("pi-zero-2",), samples=8 if quick else 16)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; the first image serves all, since what is compared are times on one stream."""
        return [
            Point(
                network=network,
                device=device.name,
                rate_bps=rate_bps,
                rtt_s=rtt_s,
                image=settings.image_at(network, 0),
                scenario=name,
            )
            for device in settings.devices
            for place, network in enumerate(settings.bundles)
            for rtt_s in settings.rtts_s
            for name, rate_bps in _scenarios(settings, first=place == 0)
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`."""
        return scenario_of(point, settings, streaming.options_of(point, bench)).length_s + _AROUND_S

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        known = streaming.options_of(point, bench)
        scenario = scenario_of(point, settings, known)
        paced = _pace(point, known, scenario, bench.before_s())
        line = TracedLine(scenario.trace)
        cold = point.scenario.startswith(FIRST)
        ready = () if cold else streaming.ready_cuts(known, line, scenario.length_s, point.rtt_s)
        arm = Arm(cut=AUTO, ready=ready)
        run = streaming.replay(
            bench, point, scenario, name=SPLIT, arm=arm, paced=paced, record=record, seed=settings.seed
        )
        return {
            "scenario": scenario.to_json(),
            "options": [option.to_json() for option in known],
            "pace": asdict(paced),
            "images": {SPLIT: run.images},
            "delivered": run.delivered,
            "memory": run.memory,
            "decisions": _decisions(point, bench, known, paced, settings),
            "invalid_reason": run.invalid_reason,
        }


def _scenarios(settings: Settings, *, first: bool) -> list[tuple[str, float]]:
    """Names with the rate that each begins with; the whole recording's mean where it is one.

    A quick run drops the link for its first network alone, and watches a steady one only in replay. In a full run the
    first network is streamed for ten minutes over a steady link, and once over a step that it meets unprepared.
    """
    steps = scenarios.pairs(settings.rates_bps)
    found = [(f"step-{high / 1e6:g}-{low / 1e6:g}", high) for high, low in steps]
    if first or not settings.quick:
        found.append((DROP, steps[-1][0]))
    if first and not settings.quick:
        found.append((f"{FIRST}{found[0][0]}", steps[0][0]))
        found.append((STEADY, _middle_bps(settings)))
    if settings.traces or not settings.quick:
        found += [(trace.name, round(trace.mean_bps(), -3)) for trace in scenarios.traces(settings.traces)]
    return found


def _middle_bps(settings: Settings) -> float:
    """Between the innermost rates that are stepped between, by ratio."""
    high, low = scenarios.pairs(settings.rates_bps)[-1]
    return round(math.sqrt(high * low), -3)


def scenario_of(point: Point, settings: Settings, known: Sequence[Option]) -> Scenario:
    """What happens to a point's link; where a steady one lies depends on what there is to choose from."""
    phase_s = settings.samples * PERIOD_MIN_S
    if point.scenario == DROP:
        gone_s = _QUICK_DROP_S if settings.quick else _DROP_S
        return scenarios.phased(DROP, [(gone_s / 2, point.rate_bps), (gone_s, 0.0), (gone_s, point.rate_bps)])
    if point.scenario == STEADY:
        mean_bps = scenarios.tempting_bps(known, point.rate_bps, point.rtt_s)
        return scenarios.steady(STEADY, decisions.noisy(mean_bps, NOISE, STEADY_S, settings.seed))
    for high, low in scenarios.pairs(settings.rates_bps):
        if point.scenario == f"{FIRST}step-{high / 1e6:g}-{low / 1e6:g}":
            return scenarios.phased(point.scenario, [(_FIRST_S / 4, high), (_FIRST_S, low), (_FIRST_S, high)])
        if point.scenario == f"step-{high / 1e6:g}-{low / 1e6:g}":
            return scenarios.phased(point.scenario, [(phase_s, high), (phase_s, low), (phase_s, high)])
    trace = next(found for found in scenarios.traces(settings.traces) if found.name == point.scenario)
    return scenarios.window(trace, 3 * phase_s)


def _pace(point: Point, known: Sequence[Option], scenario: Scenario, before_s: float) -> Pace:
    """So that the best plan can follow at the slowest rate; without any link that is to do all on the unit."""
    slowest_bps = min(rate_bps for _, rate_bps in scenario.to_json()["steps"])
    return streaming.pace(best_at(known, slowest_bps, point.rtt_s).at(slowest_bps, point.rtt_s), before_s)


def _decisions(point: Point, bench: Bench, known: Sequence[Option], paced: Pace, settings: Settings) -> dict[str, Any]:
    """The decision part replayed over steady links with noise: switches in each, and what the re-plans took."""
    planner = bench.planner(point.network, point.device)
    mean_bps = scenarios.tempting_bps(known, _middle_bps(settings), point.rtt_s)
    images = max(round(STEADY_S / paced.period_s), math.ceil(_REPLANS_MIN / _REPLAYED_LINKS))
    switches, replan_s = [], list[float]()
    for seed in range(_REPLAYED_LINKS):
        trace = decisions.noisy(mean_bps, NOISE, STEADY_S, settings.seed + seed)
        found = decisions.replay(planner, trace, rtt_s=point.rtt_s, period_s=paced.period_s, images=images)
        switches.append(found.switches)
        replan_s += found.replan_s
    return {
        "mean_bps": mean_bps,
        "switches": switches,
        "length_s": images * paced.period_s,
        "replans": len(replan_s),
        "replan_us": sorted(round(1e6 * spent_s, 1) for spent_s in replan_s)[:: max(len(replan_s) // 1000, 1)],
    }
