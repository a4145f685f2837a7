"""`adapt`: a stream of images while the link steps, drops to nothing and comes back, or follows a recorded drive.

For each change of the rate: how many requests and seconds until the plan in force is within 5 % of the best for the new
rate (see `adapt_scores` for what that means), and what became of every image meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from suture_edge.settings import AUTO
from suture_models.manifest import LAST_CUT
from suture_simulators.experiments import scenarios, streaming
from suture_simulators.experiments.clairvoyant import Option, best_at
from suture_simulators.experiments.scenarios import Scenario
from suture_simulators.experiments.streaming import PERIOD_MIN_S, SPLIT, Arm, Pace
from suture_simulators.experiments.types import Grid, Point, Record, Results, Settings

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench
    from suture_simulators.experiments.page import Section

DROP: Final = "drop"
#: How long the link is gone.
_DROP_S: Final = 10.0
#: Connecting, warming up and calibrating again.
_AROUND_S: Final = 6.0


class Adapt:
    """See the module."""

    name = "adapt"
    title = "How fast the plan follows the link"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; rates are stepped between, a phase lasts `samples` times the shortest period."""
        if quick:
            return Grid(rates_bps=(2e6, 20e6), rtts_s=(0.04,), devices=("pi-zero-2",), samples=9)
        return Grid(rates_bps=(1e6, 2e6, 20e6, 50e6), rtts_s=(0.04,), devices=("pi-zero-2",), samples=16)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; the first image serves all, since what is compared are times on one stream."""
        image = next(iter(settings.images))
        return [
            Point(network=network, device=device.name, rate_bps=rate_bps, rtt_s=rtt_s, image=image, scenario=name)
            for device in settings.devices
            for network in settings.bundles
            for rtt_s in settings.rtts_s
            for name, rate_bps in _scenarios(settings)
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:  # noqa: ARG002 the protocol's
        """See `Experiment.estimate_s`."""
        return _scenario(point, settings).length_s + _AROUND_S

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        known = streaming.options_of(point, bench)
        paced = _pace(point, known, settings, bench.before_s())
        scenario = _scenario(point, settings)
        # As a unit has them that met these rates before; the first time, compiling a head takes up to half a second.
        rates = {rate for _, rate in scenario.trace.steps if rate > 0}
        cuts = {best_at(known, rate, point.rtt_s).cut for rate in rates} | {LAST_CUT}
        bench.ask("prepare", cuts=sorted(cuts))
        run = streaming.replay(
            bench, point, scenario, name=SPLIT, arm=Arm(cut=AUTO), paced=paced, record=record, seed=settings.seed
        )
        return {
            "scenario": scenario.to_json(),
            "options": [option.to_json() for option in known],
            "pace": asdict(paced),
            "images": {SPLIT: run.images},
            "delivered": run.delivered,
            "invalid_reason": run.invalid_reason,
        }

    def figures(self, results: Results) -> dict[str, float]:
        """See `Experiment.figures`."""
        from suture_simulators.experiments.adapt_report import figures

        return figures(results)

    def table(self, results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """See `Experiment.table`."""
        from suture_simulators.experiments.adapt_report import table

        return table(results)

    def sections(self, results: Results) -> Sequence[Section]:
        """See `Experiment.sections`."""
        from suture_simulators.experiments.adapt_report import sections

        return sections(results)


def _scenarios(settings: Settings) -> list[tuple[str, float]]:
    """Names with the rate that each begins with; the whole recording's mean where it is one."""
    steps = scenarios.pairs(settings.rates_bps)
    found = [(f"step-{high / 1e6:g}-{low / 1e6:g}", high) for high, low in steps]
    found.append((DROP, _drop_from_bps(settings)))
    if settings.traces or not settings.quick:
        found += [(trace.name, round(trace.mean_bps(), -3)) for trace in scenarios.traces(settings.traces)]
    return found


def _drop_from_bps(settings: Settings) -> float:
    """The innermost of the faster rates: the link that goes away is a usual one."""
    return scenarios.pairs(settings.rates_bps)[-1][0]


def _scenario(point: Point, settings: Settings) -> Scenario:
    phase_s = settings.samples * PERIOD_MIN_S
    if point.scenario == DROP:
        return scenarios.phased(DROP, [(_DROP_S / 2, point.rate_bps), (_DROP_S, 0.0), (_DROP_S, point.rate_bps)])
    for high, low in scenarios.pairs(settings.rates_bps):
        if point.scenario == f"step-{high / 1e6:g}-{low / 1e6:g}":
            return scenarios.phased(point.scenario, [(phase_s, high), (phase_s, low), (phase_s, high)])
    trace = next(found for found in scenarios.traces(settings.traces) if found.name == point.scenario)
    return scenarios.window(trace, 3 * phase_s)


def _pace(point: Point, known: Sequence[Option], settings: Settings, before_s: float) -> Pace:
    """So that the best plan can follow at the slowest rate; without any link that is to do all on the unit."""
    slowest_bps = min(rate_bps for _, rate_bps in _scenario(point, settings).to_json()["steps"])
    return streaming.pace(best_at(known, slowest_bps, point.rtt_s).at(slowest_bps, point.rtt_s), before_s)
