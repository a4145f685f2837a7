"""What the rivals' rules work on: time of each layer on both sides, and of each tensor's way through the link.

Both come from the same measured heads, tails and payloads that our own planner uses; only the rule is another. The
rivals' papers send float32: here they send our codes through our codecs, and know the round trip
(`suture_partitioner.wire`). The engine's own counters (`Profile.layers_s`) are not used: they add up to less than a
head takes. A layer's time is its share of the difference between the two measured cuts around it; that favours the
rivals, whose sums then meet what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture_models.manifest import Cut, Manifest
from suture_partitioner.types import CutTiming, Profile
from suture_protocol.errors import CapabilityMissing, PlanError

#: A difference takes two.
_LEAST_CUTS: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """The nodes from position `start` up to, not including, `end`, and what they take together."""

    start: int
    end: int
    time_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SideTimes:
    """One side's times as sums: `fixed_s` is what a run takes even if it holds no layer."""

    stretches: tuple[Stretch, ...]
    fixed_s: float


def side_times(manifest: Manifest, profile: Profile) -> SideTimes:
    """What each stretch between two measured cuts takes on the profile's side.

    Heads take longer the deeper they end, tails the earlier they begin. What noise says against that is evened out by
    isotonic regression, so that no stretch takes less than nothing.

    Raises:
        PlanError: the profile holds fewer than two cuts.
        CapabilityMissing: scipy is not installed.
    """
    cuts = _measured(manifest.cuts, profile.cuts)
    if len(cuts) < _LEAST_CUTS:
        raise PlanError(f"the {profile.side}'s profile of {profile.network} holds fewer than two cuts; profile again")
    on_edge = profile.side == "edge"
    times_s = scipy_optimize().isotonic_regression(
        [profile.cuts[cut.id].compute_s for cut in cuts], increasing=on_edge
    ).x  # fmt: skip
    stretches = [
        Stretch(start=before.index, end=after.index, time_s=abs(float(then_s - now_s)))
        for before, after, now_s, then_s in zip(cuts, cuts[1:], times_s, times_s[1:], strict=False)
    ]
    fixed_s, outermost = float(min(times_s)), cuts[0] if on_edge else cuts[-1]
    span = (0, outermost.index) if on_edge else (outermost.index, len(manifest.graph))
    if span[0] == span[1]:
        return SideTimes(stretches=tuple(stretches), fixed_s=fixed_s)
    # No run without layers was measured: the shortest is all layers, and the fixed cost is within it.
    return SideTimes(stretches=(*stretches, Stretch(start=span[0], end=span[1], time_s=fixed_s)), fixed_s=0.0)


def scipy_optimize() -> Any:
    """`scipy.optimize`, imported when first needed.

    Raises:
        CapabilityMissing: scipy is not installed.
    """
    try:
        import scipy.optimize
    except ImportError as error:
        raise CapabilityMissing("the rival rules need scipy: pip install 'suture[experiment]'") from error
    return scipy.optimize


def _measured(cuts: Sequence[Cut], timings: Mapping[str, CutTiming]) -> list[Cut]:
    """The cuts that were timed, by depth; interpolated ones only where there are not enough others."""
    listed = sorted((cut for cut in cuts if cut.id in timings), key=lambda cut: cut.index)
    timed = [cut for cut in listed if timings[cut.id].samples]
    return timed if len(timed) >= _LEAST_CUTS else listed
