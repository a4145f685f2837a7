"""What a run of a fleet comes to, from its samples: throughput by phase, times to results, switches, swings."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from suture_models.manifest import LAST_CUT
from suture_simulators.experiments.fleet_run import Phases
from suture_simulators.experiments.types import PointRecord, Results, Sample

#: How finely the number of units that use the cloud is looked at; fewer images begin in less.
STEP_S: Final = 0.25
#: Of each phase, the part in which the fleet has had time to settle.
_SETTLED: Final = 0.5
#: A swing leads from this many units below the mean to as many above it, or back: a single undecided unit makes none.
_SWING: Final = 1.0

PHASES: Final = ("calm", "busy", "calm again")


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One run.

    Attributes:
        per_s: Images done a second over all counted phases, and `by_phase` over each.
        median_s, p95_s: Time to result over all counted images.
        switches_per_minute_max: Of the unit that changed its cut most often.
        swings_per_minute: In the settled part of the phase that has most of them.
        spread: Standard deviation of the number of units that use the cloud, in the settled part that has the largest.
        remote: Mean number of units that use the cloud in the settled part of each phase.
        neighbour_s: Median time of the neighbour's requests; None where none came back.
        lost: Images without a result, and images that a unit finished alone because the cloud failed.
    """

    arm: str
    run: int
    on_edge: int | None
    per_s: float
    by_phase: tuple[float, ...]
    median_s: float
    p95_s: float
    switches_per_minute_max: float
    swings_per_minute: float
    spread: float
    remote: tuple[float, ...]
    neighbour_s: float | None
    images: int
    lost: int
    alone: int


def scores(results: Results, record: PointRecord) -> list[Score]:
    """Every run of a point, in the order they were made."""
    phases = Phases(**record.notes["phases"])
    by_run: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in results.samples.get(record.point.key, ()):
        by_run[sample.extra["run"]].append(sample)
    return [_score(raw, by_run[raw["run"]], phases) for raw in record.notes["runs"]]


def spans(phases: Phases) -> tuple[tuple[float, float], ...]:
    """(from, to) of each counted phase."""
    return ((phases.counted_s, phases.busy_s), (phases.busy_s, phases.calm_s), (phases.calm_s, phases.end_s))


def remote_units(samples: Sequence[Sample], begin_s: float, end_s: float) -> list[tuple[float, int]]:
    """(second, units whose image under way uses the cloud), in steps."""
    steps = int((end_s - begin_s) / STEP_S)
    counts = [0] * steps
    for sample in samples:
        if sample.cut == LAST_CUT or not sample.cut:
            continue
        # Those steps at which it was under way, begun before or at them and ended after.
        first = max(int(-(-(sample.at_s - begin_s) // STEP_S)), 0)
        last = min(int(-(-(sample.extra["end_s"] - begin_s) // STEP_S)), steps)
        for step in range(first, last):
            counts[step] += 1
    return [(begin_s + step * STEP_S, count) for step, count in enumerate(counts)]


def swings(counts: Sequence[int]) -> int:
    """How often the number of units goes from one below its mean to one above it, or back."""
    if not counts:
        return 0
    mean = statistics.fmean(counts)
    sides = [1 if count >= mean + _SWING else -1 for count in counts if abs(count - mean) >= _SWING]
    return sum(one != other for one, other in pairwise(sides))


def switches(samples: Sequence[Sample], begin_s: float, end_s: float) -> dict[int, int]:
    """Unit → how often an image begun in that time was cut elsewhere than the one before."""
    found: dict[int, int] = {}
    last: dict[int, str] = {}
    for sample in sorted(samples, key=lambda one: one.at_s):
        unit = sample.extra["unit"]
        found.setdefault(unit, 0)
        if begin_s <= sample.at_s < end_s and unit in last and last[unit] != sample.cut:
            found[unit] += 1
        last[unit] = sample.cut
    return found


def _score(raw: Mapping[str, Any], samples: Sequence[Sample], phases: Phases) -> Score:
    begin_s, end_s = phases.counted_s, phases.end_s
    done = [s for s in samples if s.ok and begin_s <= s.extra["end_s"] < end_s]
    times = sorted(sample.total_s for sample in done)
    minutes = (end_s - begin_s) / 60
    settled = [_counts(samples, a + _SETTLED * (b - a), b) for a, b in spans(phases)]
    lengths = [(1 - _SETTLED) * (b - a) / 60 for a, b in spans(phases)]
    moved = switches(samples, begin_s, end_s)
    return Score(
        arm=raw["name"],
        run=raw["run"],
        on_edge=raw["on_edge"],
        per_s=len(done) / (end_s - begin_s),
        by_phase=tuple(sum(a <= s.extra["end_s"] < b for s in done) / (b - a) for a, b in spans(phases)),
        median_s=statistics.median(times) if times else float("nan"),
        p95_s=times[int(0.95 * (len(times) - 1))] if times else float("nan"),
        switches_per_minute_max=max(moved.values(), default=0) / minutes,
        swings_per_minute=max(swings(c) / m for c, m in zip(settled, lengths, strict=True)),
        spread=max(statistics.pstdev(c) if c else 0.0 for c in settled),
        remote=tuple(statistics.fmean(c) if c else 0.0 for c in settled),
        neighbour_s=statistics.median(raw["neighbour_s"]) if raw["neighbour_s"] else None,
        images=len(samples),
        lost=sum(not sample.ok for sample in samples),
        alone=sum(bool(sample.extra["note"]) for sample in samples),
    )


def _counts(samples: Sequence[Sample], begin_s: float, end_s: float) -> list[int]:
    return [count for _, count in remote_units(samples, begin_s, end_s)]
