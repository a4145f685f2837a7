"""What moving the cut costs: needless moves on a steady link, and requests that failed or were held up by a move."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from suture_simulators.experiments.decisions import count_switches
from suture_simulators.experiments.types import Sample

#: Ten minutes, which needless moves are counted over.
WINDOW_S: Final = 600.0
#: The first seconds of a steady stream are for settling.
_SETTLE_S: Final = 5.0
#: A request counts as held up by a move from this share of its time on, and from this much.
_DELAYED_SHARE: Final = 0.2
_DELAYED_S: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Moves:
    """How often a stream's cut or codec moved; how many of the requests that moved failed, or were `delayed`."""

    moves: int
    failed: int
    delayed: int


def moves(samples: Sequence[Sample]) -> Moves:
    """Of one planned stream in order; images finished alone for want of a link move nothing."""
    usual = _usual(samples)
    moved: list[Sample] = []
    before: Sample | None = None
    for sample in samples:
        if sample.ok and sample.extra["note"]:
            continue
        if before is not None and (not sample.ok or _way(sample) != _way(before)):
            moved.append(sample)
        before = sample if sample.ok else before
    return Moves(
        moves=len(moved),
        failed=sum(not sample.ok for sample in moved),
        delayed=sum(sample.ok and _held_up_s(sample, usual) > _limit_s(sample) for sample in moved),
    )


def needless(samples: Sequence[Sample], length_s: float) -> float:
    """Moves per ten minutes of a stream on a link that only scatters around one rate."""
    used = [_way(s) for s in samples if s.ok and not s.extra["note"] and s.extra["start_s"] >= _SETTLE_S]
    return count_switches(used) * WINDOW_S / max(length_s - _SETTLE_S, 1.0)


def needless_replayed(decisions: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and most moves per ten minutes of the replayed decisions."""
    share = WINDOW_S / decisions["length_s"]
    return statistics.fmean(decisions["switches"]) * share, max(decisions["switches"]) * share


def _way(sample: Sample) -> tuple[str, str]:
    return sample.cut, sample.codec


def _usual(samples: Sequence[Sample]) -> dict[str, float]:
    """Cut → what its head and the unit's own work around it usually take; of the images that moved nothing."""
    found: dict[str, list[float]] = {}
    for before, sample in pairwise(samples):
        if sample.ok and before.ok and _way(sample) == _way(before) and not sample.extra["note"]:
            found.setdefault(sample.cut, []).append(_own_s(sample))
    return {cut: statistics.median(times) for cut, times in found.items()}


def _own_s(sample: Sample) -> float:
    """The head, and what no step accounts for: choosing, and loading a head that was not ready."""
    whole_s = sample.extra["end_s"] - sample.extra["start_s"]
    return float(whole_s - sum(sample.steps_s.values()) + sample.steps_s.get("head", 0.0))


def _held_up_s(sample: Sample, usual: Mapping[str, float]) -> float:
    return _own_s(sample) - usual[sample.cut] if sample.cut in usual else 0.0


def _limit_s(sample: Sample) -> float:
    return max(_DELAYED_S, _DELAYED_SHARE * float(sample.extra["end_s"] - sample.extra["start_s"]))
