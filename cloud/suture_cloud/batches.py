"""Tails over batches: measured at a few cuts while there is time, in proportion to those elsewhere."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_partitioner.profile import Run
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import CutTiming

#: Batch sizes beyond one.
SIZES: Final = (2, 4, 8)
_CUTS: Final = 4
#: Share of the longest tail below which batches are not measured.
_SHORT: Final = 0.03
_RUNS: Final = 3


def measure_batches(
    measured: Mapping[str, CutTiming],
    boundaries: Mapping[str, tuple[NDArray[Any], ...]],
    runs: Mapping[str, Run],
    *,
    budget_s: float,
    watch: Stopwatch,
) -> dict[str, dict[int, float]]:
    """Cut → batch size → seconds for the batch: from the longest tail to the shortest, small batches first.

    Args:
        measured: Tails with batch 1.
        boundaries: What crosses each cut for one image, by cut.
        runs: How to run a tail.
        budget_s: A batch that would not fit into what is left of it is not measured.
        watch: What to time with.
    """
    start_s = watch.clock()
    found: dict[str, dict[int, float]] = {}
    for size in SIZES:
        for cut_id in _spread(measured):
            expected_s = (_RUNS + 1) * size * measured[cut_id].compute_s
            if watch.clock() - start_s + expected_s > budget_s:
                continue
            batch = tuple(np.repeat(tensor, size, axis=0) for tensor in boundaries[cut_id])
            run = runs[cut_id]
            run(batch)
            times_s = [watch.timed(partial(run, batch))[1] for _ in range(_RUNS)]
            found.setdefault(cut_id, {})[size] = statistics.median(times_s)
    return found


def with_batches(timings: Mapping[str, CutTiming], batches: Mapping[str, Mapping[int, float]]) -> dict[str, CutTiming]:
    """`timings` with `batch_s`; where a batch was not measured, as many times one image as at the cuts with the nearest
    tail times. A size that was measured nowhere is left out."""
    known: dict[int, list[tuple[float, float]]] = {}
    for cut_id, by_size in batches.items():
        one_s = timings[cut_id].compute_s
        for size, seconds in by_size.items():
            known.setdefault(size, []).append((one_s, max(seconds / one_s, 1.0)))
    found = {}
    for cut_id, timing in timings.items():
        batch_s = {1: timing.compute_s}
        for size, points in known.items():
            own = batches.get(cut_id, {}).get(size)
            batch_s[size] = timing.compute_s * _between(timing.compute_s, sorted(points)) if own is None else own
        found[cut_id] = replace(timing, batch_s=batch_s)
    return found


def _spread(measured: Mapping[str, CutTiming]) -> list[str]:
    """A few cuts whose tails take from the longest time to short ones; the shortest are overhead and no arithmetic."""
    least_s = _SHORT * max(timing.compute_s for timing in measured.values())
    ordered = sorted((c for c in measured if measured[c].compute_s > least_s), key=lambda c: -measured[c].compute_s)
    step = max((len(ordered) - 1) / max(_CUTS - 1, 1), 1.0)
    return list(dict.fromkeys(ordered[min(round(i * step), len(ordered) - 1)] for i in range(min(_CUTS, len(ordered)))))


def _between(seconds: float, points: Sequence[tuple[float, float]]) -> float:
    above = bisect_left(points, (seconds, 0.0))
    if above == 0 or above == len(points):
        return points[min(above, len(points) - 1)][1]
    (low_s, low), (high_s, high) = points[above - 1], points[above]
    return low + (high - low) * ((seconds - low_s) / (high_s - low_s) if high_s > low_s else 0.5)
