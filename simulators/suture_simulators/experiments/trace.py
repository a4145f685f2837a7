"""`trace`: recorded drives, each replayed for a planned stream of images, for a clairvoyant and for each fixed policy.

Fixed policies are the image upload, the edge alone, and the cuts predicted to serve best over the drive. All replays of
a drive begin at the same place of it. Each is replayed twice, the second time in the opposite order, so that a machine
that gets slower or faster meanwhile does so for all alike. See `trace_scores` for what the figures are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from suture_edge.settings import AUTO
from suture_protocol.errors import UsageError
from suture_simulators.experiments import scenarios, streaming
from suture_simulators.experiments.clairvoyant import Option, best_at, best_over, title
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.scenarios import Scenario
from suture_simulators.experiments.streaming import CLAIRVOYANT, PERIOD_MIN_S, SPLIT, Arm, Pace, Run
from suture_simulators.experiments.trace_scores import fixed_options
from suture_simulators.experiments.types import Grid, Point, Record, Settings
from suture_simulators.lines import TracedLine
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.library import bundled_traces

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

#: Fixed cuts that drive as well: those predicted best, and in a full run both ends too.
_PREDICTED_BEST: Final = 3
_QUICK_PREDICTED_BEST: Final = 1
#: Replays of each, there and back; turns of the second count on from here.
ROUNDS: Final = 2
ROUND_TURNS: Final = 100_000
#: Connecting, warming up and calibrating again, for each replay.
_AROUND_S: Final = 5.0


class Trace(Reported):
    """See the module."""

    name = "trace"
    title = "A recorded drive: the link, the plan and the time to result"
    report = "suture_simulators.experiments.trace_report"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; `samples` times the shortest period is how much of the drive is replayed."""
        return Grid(rates_bps=(), rtts_s=(0.04,), devices=("pi-zero-2",), samples=40 if quick else 45)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; the first image serves all. Quick runs replay one drive, full ones all."""
        if settings.rates_bps:
            raise UsageError("--rates: `trace` takes its rates from --trace")
        traces = _traces(settings)
        return [
            Point(
                network=network,
                device=device.name,
                rate_bps=round(trace.mean_bps(), -3),
                rtt_s=rtt_s,
                image=settings.image_at(network, 0),
                scenario=trace.name,
            )
            for device in settings.devices
            for network in settings.bundles
            for rtt_s in settings.rtts_s
            for trace in traces
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`."""
        known = streaming.options_of(point, bench)
        scenario = _scenario(point, settings)
        arms = 2 + len(_fixed(point, known, scenario, settings))
        return _rounds(settings) * arms * (scenario.length_s + _AROUND_S)

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`: the planned stream's replay, the clairvoyant's and each fixed cut's, over the same part
        of the drive."""
        known = streaming.options_of(point, bench)
        scenario = _scenario(point, settings)
        paced = _pace(point, known, scenario, bench.before_s())
        fixed = _fixed(point, known, scenario, settings)
        ready = streaming.ready_cuts(known, TracedLine(scenario.trace), scenario.length_s, point.rtt_s)
        arms = {
            SPLIT: Arm(cut=AUTO, ready=ready),
            CLAIRVOYANT: _clairvoyant(known, scenario, point.rtt_s),
            **{title(o): Arm(cut=o.cut, codec=o.codec) for o in fixed},
        }
        runs: dict[str, list[Run]] = {name: [] for name in arms}
        for turn, name in there_and_back(arms, _rounds(settings)):
            run = streaming.replay(
                bench,
                point,
                scenario,
                name=name,
                arm=arms[name],
                paced=paced,
                record=record,
                seed=settings.seed,
                first_turn=turn * ROUND_TURNS,
            )
            runs[name].append(run)
        invalid = [f"{arm}: {run.invalid_reason}" for arm, found in runs.items() for run in found if run.invalid_reason]
        return {
            "scenario": scenario.to_json(),
            "options": [option.to_json() for option in known],
            "pace": asdict(paced),
            "images": {arm: sum(run.images for run in found) for arm, found in runs.items()},
            "delivered": runs[SPLIT][0].delivered,
            "invalid_reason": "; ".join(invalid),
        }


def there_and_back(names: Iterable[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, name) for each round, every second one in the opposite order."""
    order = list(names)
    for turn in range(rounds):
        yield from ((turn, name) for name in (reversed(order) if turn % 2 else order))


def _rounds(settings: Settings) -> int:
    return 1 if settings.quick else ROUNDS


def _clairvoyant(known: Sequence[Option], scenario: Scenario, rtt_s: float) -> Arm:
    """Has the heads of all cuts that are best at some moment ready, more than a unit keeps."""
    line = TracedLine(scenario.trace)
    ready = streaming.best_cuts(known, line, scenario.length_s, rtt_s)
    foresight = {
        "known": [option.to_json() for option in known if option.cut in ready],
        "steps": scenario.to_json()["steps"],
        "rtt_s": rtt_s,
    }
    return Arm(cut=best_over(known, line, 0.0, rtt_s).cut, ready=tuple(ready), foresight=foresight)


def _pace(point: Point, known: Sequence[Option], scenario: Scenario, before_s: float) -> Pace:
    """So that the best plan can follow at the slowest rate; without any link that is to do all on the unit."""
    slowest_bps = min(rate_bps for _, rate_bps in scenario.to_json()["steps"])
    return streaming.pace(best_at(known, slowest_bps, point.rtt_s).at(slowest_bps, point.rtt_s), before_s)


def _traces(settings: Settings) -> list[RateTrace]:
    """Those asked for; else the default one in a quick run, and all that come along in a full one."""
    if settings.traces or settings.quick:
        return scenarios.traces(settings.traces)
    return scenarios.traces([bundled.path for bundled in bundled_traces()])


def _scenario(point: Point, settings: Settings) -> Scenario:
    trace = next(found for found in _traces(settings) if found.name == point.scenario)
    return scenarios.window(trace, settings.samples * PERIOD_MIN_S)


def _fixed(point: Point, known: Sequence[Option], scenario: Scenario, settings: Settings) -> list[Option]:
    return fixed_options(
        known,
        TracedLine(scenario.trace),
        scenario.length_s,
        point.rtt_s,
        predicted_best=_QUICK_PREDICTED_BEST if settings.quick else _PREDICTED_BEST,
        ends=not settings.quick,
    )
