"""Times of the cuts that were not measured, from their measured neighbours and their shares of the arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_partitioner.types import CutTiming, Side

#: No arithmetic, no time: stands in where nothing was measured on that side of a cut.
_NOTHING: Final = CutTiming(compute_s=0.0, compute_min_s=0.0, samples=0)


@dataclass(frozen=True, slots=True)
class _Point:
    macs: int
    cut: Cut | None
    timing: CutTiming


def interpolated(cuts: Sequence[Cut], measured: Mapping[str, CutTiming], side: Side) -> dict[str, CutTiming]:
    """`measured`, and for every other cut a timing with `samples` 0.

    Compute times lie on the line between the measured neighbours over multiply-accumulates (of the head on the edge,
    of the tail in the cloud). Codec times and sizes are those per raw byte of the nearer measured neighbour that sends
    activations; a codec unknown there is left out.
    """
    points = sorted(
        (_Point(_macs(cut, side), cut, measured[cut.id]) for cut in cuts if cut.id in measured),
        key=lambda point: point.macs,
    )
    if not points or points[0].macs > 0:
        points.insert(0, _Point(0, None, _NOTHING))
    return {cut.id: measured[cut.id] if cut.id in measured else _between(cut, points, side) for cut in cuts}


def _macs(cut: Cut, side: Side) -> int:
    return cut.head_macs if side == "edge" else cut.tail_macs


def _between(cut: Cut, points: Sequence[_Point], side: Side) -> CutTiming:
    macs = _macs(cut, side)
    above = bisect_left(points, macs, key=lambda point: point.macs)
    high = points[min(above, len(points) - 1)]
    low = points[max(above - 1, 0)] if above < len(points) else points[-1]
    if above >= len(points) and high.macs > 0:
        # Beyond the last measured cut: in proportion to it.
        low = _Point(0, None, _NOTHING)
    span = high.macs - low.macs
    share = (macs - low.macs) / span if span else 0.0
    codec_s, payload_bytes = _codecs(cut, points, side)
    return CutTiming(
        compute_s=low.timing.compute_s + share * (high.timing.compute_s - low.timing.compute_s),
        compute_min_s=low.timing.compute_min_s + share * (high.timing.compute_min_s - low.timing.compute_min_s),
        samples=0,
        codec_s=codec_s,
        payload_bytes=payload_bytes,
    )


def _codecs(cut: Cut, points: Sequence[_Point], side: Side) -> tuple[dict[str, float], dict[str, int]]:
    macs = _macs(cut, side)
    # The input is an image and compresses like no activation; the last cut sends nothing.
    senders = [
        (point.cut, point.timing)
        for point in points
        if point.cut is not None and point.cut.id not in (INPUT_CUT, LAST_CUT)
    ]
    if cut.id in (INPUT_CUT, LAST_CUT) or not senders:
        return {}, {}
    nearest, timing = min(senders, key=lambda sender: abs(_macs(sender[0], side) - macs))
    ratio = cut.bytes_codes / max(nearest.bytes_codes, 1)
    return (
        {codec: spent_s * ratio for codec, spent_s in timing.codec_s.items()},
        {codec: max(1, round(size * ratio)) for codec, size in timing.payload_bytes.items()},
    )
