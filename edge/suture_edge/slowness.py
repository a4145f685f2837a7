"""What an emulated slow device comes to on this network: heads run slowed against the same heads at full speed.

Slowing is linear, so a profile is measured at full speed, where the same seconds cover many more cuts, and multiplied.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.engines.registry import load_head
from suture_edge.heads import Heads
from suture_edge.slowdown import Slowdown, full_speed
from suture_models.manifest import INPUT_CUT
from suture_partitioner.types import CutTiming

#: Slowed runs of a head, and heads, from which the slow-down is taken.
_CHECK_RUNS: Final = 3
_CHECKED_HEADS: Final = 3


def head_of(heads: Heads, cut_id: str) -> tuple[Callable[[Any], Any], Callable[[], None]]:
    """Loads the head of a cut at full speed: how to run it, and how to free it."""
    cut = heads.bundle.cut(cut_id)
    head = load_head(heads.engine, heads.bundle, heads.variant, cut, threads=heads.threads)
    return head.run, head.close


def slow_down(
    heads: Heads,
    measured: Mapping[str, CutTiming],
    slow: Slowdown,
    image: NDArray[Any],
    budget_s: float,
    expected: float,
) -> float:
    """How many times longer a slowed head takes than `measured` says: a median over a few heads, small ones first.

    A network so slow that no head can be checked in time counts as slowed by `expected`.
    """
    if slow is full_speed:
        return 1.0
    start_s = time.perf_counter()
    computing = [(t.compute_s, cut_id) for cut_id, t in measured.items() if cut_id != INPUT_CUT and t.compute_s > 0]
    ordered = sorted(computing)
    step = max(len(ordered) // _CHECKED_HEADS, 1)
    ratios: list[float] = []
    for compute_s, cut_id in ordered[step - 1 :: step][:_CHECKED_HEADS]:
        left_s = budget_s - (time.perf_counter() - start_s)
        if (_CHECK_RUNS + 1) * compute_s * expected > left_s:
            break
        run, close = head_of(heads, cut_id)
        try:
            slowed = slow(run)
            slowed(image)
            ratios += [_passed_s(slowed, image) / compute_s for _ in range(_CHECK_RUNS)]
        finally:
            close()
    return statistics.median(ratios) if ratios else expected


def _passed_s(run: Callable[[Any], Any], image: NDArray[Any]) -> float:
    """Time by the clock, since an emulated device sleeps."""
    start_s = time.perf_counter()
    run(image)
    return time.perf_counter() - start_s
