"""What the rivals' rules work on: time of each layer on both sides, and of each tensor's way through the link.

Both come from the same measured heads, tails and payloads that our own planner uses; only the rule is another. The
engine's own counters (`Profile.layers_s`) are not used: they name fused kernels instead of graph nodes, leave the
emulated slow-down out, and add up to less than a head takes. A layer's time is its share of the difference between the
two measured cuts around it; that favours the rivals, whose sums then meet what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, GraphNode, Manifest, TensorSpec
from suture_partitioner.types import CutTiming, LinkEstimate, Profile
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """The way through the link: encoded, sent and decoded by whichever codec is fastest there.

    The rivals' papers send float32. Here they send our codes through our codecs, and know the round trip, so that
    only the rule differs.
    """

    manifest: Manifest
    edge: Profile
    cloud: Profile
    link: LinkEstimate

    def usable(self) -> list[Cut]:
        """The cuts that can be taken: through a codec that both profiles hold, or the last, which sends nothing."""
        return [
            cut
            for cut in self.manifest.cuts
            if (cut.id == LAST_CUT and cut.id in self.edge.cuts) or (cut.id != LAST_CUT and self._ways_s(cut))
        ]

    def cut_s(self, cut: Cut) -> float:
        """From the head's end to the tail's start, the round trip included; nothing for the last cut."""
        return 0.0 if cut.id == LAST_CUT else self.link.rtt_s + min(self._ways_s(cut))

    def tensors_s(self) -> dict[str, float]:
        """Each tensor that can cross, by name, without the round trip.

        What was measured where it crosses a cut alone; elsewhere, in proportion to its bytes as codes, what the
        nearest measured cut takes.
        """
        sent = [cut for cut in self.usable() if cut.id != LAST_CUT]
        paid = {cut.id: min(self._ways_s(cut)) for cut in sent}
        inner = [cut for cut in sent if cut.id != INPUT_CUT]
        source = self.manifest.network.input
        found: dict[str, float] = {}
        for place, spec in enumerate([source, *map(_spec, self.manifest.graph)]):
            if spec is None:
                continue
            raw = codes_bytes(spec)
            near = min(inner, key=lambda cut: abs(cut.index - place), default=None)
            found[spec.name] = (
                8 * raw / self.link.bandwidth_bps if near is None else paid[near.id] * raw / max(near.bytes_codes, 1)
            )
        alone = {cut.boundary[0].name: paid[cut.id] for cut in sent if len(cut.boundary) == 1}
        return found | alone

    def _ways_s(self, cut: Cut) -> list[float]:
        head, tail = self.edge.cuts.get(cut.id), self.cloud.cuts.get(cut.id)
        if head is None or tail is None:
            return []
        return [
            head.codec_s[codec] + 8 * head.payload_bytes[codec] / self.link.bandwidth_bps + tail.codec_s[codec]
            for codec in head.codec_s.keys() & head.payload_bytes.keys() & tail.codec_s.keys()
        ]


def codes_bytes(spec: TensorSpec) -> int:
    """Bytes of a tensor as it crosses a cut of its own."""
    return Cut(id=spec.name, index=1, boundary=(spec,), head_macs=0, tail_macs=0).bytes_codes


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


def _spec(node: GraphNode) -> TensorSpec | None:
    """The tensor that a node makes; None for what cannot travel: a tuple, or a leading axis that is not the batch."""
    if node.dtype == "tuple" or not node.shape or node.shape[0] != 1:
        return None
    return TensorSpec(name=node.name, shape=node.shape, dtype=node.dtype)
