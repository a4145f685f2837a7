"""The way through the link, by measured payloads and codec times: of each cut, and of each tensor by itself."""

from __future__ import annotations

from dataclasses import dataclass

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, GraphNode, Manifest, TensorSpec
from suture_partitioner.types import LinkEstimate, Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """Encoded, sent and decoded by whichever codec is fastest over this link."""

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


def _spec(node: GraphNode) -> TensorSpec | None:
    """The tensor that a node makes; None for what cannot travel: a tuple, or a leading axis that is not the batch."""
    if node.dtype == "tuple" or not node.shape or node.shape[0] != 1:
        return None
    return TensorSpec(name=node.name, shape=node.shape, dtype=node.dtype)
