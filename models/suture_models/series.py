"""Slices to a volume: order along the normal, and what must agree before slices make one volume. Knows no files.

PS3.3 C.7.6.2 (Image Plane): the normal is the cross product of the row and column cosines, a slice's place its position
along that normal. Where positions are missing, InstanceNumber gives the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from suture_models.picture import MAX_VOXELS, Picture, SlicePlace
from suture_protocol.errors import InputRefused

#: Scanners round positions: a step this part off the median counts as a missing or doubled slice.
_STEP_TOLERANCE = 0.25
_COSINE_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceInfo:
    """What ordering needs of one slice."""

    name: str
    rows: int
    columns: int
    place: SlicePlace


def slice_order(slices: Sequence[SliceInfo], name: str) -> tuple[int, ...]:
    """Indices of `slices` from first to last along the normal.

    Args:
        slices: The slices of one series, in any order.
        name: What to call the series in a refusal.

    Raises:
        InputRefused: fewer than two slices, mixed sizes, orientations or spacings, gaps, or doubled slices.
    """
    if len(slices) < 2:
        raise InputRefused(name, "holds a single slice; a volume needs at least two")
    _check_alike(slices, name)
    coordinates, unit = _coordinates(slices, name)
    order = np.argsort(coordinates, kind="stable")
    steps = np.diff(coordinates[order])
    median = float(np.median(steps))
    for index, step in enumerate(steps):
        before, after = slices[order[index]].name, slices[order[index + 1]].name
        if step <= (1 - _STEP_TOLERANCE) * median or step == 0:
            raise InputRefused(name, f"has slices too close together: {before} and {after} are {step:g}{unit} apart")
        if step >= (1 + _STEP_TOLERANCE) * median:
            reason = f"lacks slices: {before} and {after} are {step:g}{unit} apart, the others {median:g}{unit}"
            raise InputRefused(name, reason)
    return tuple(int(i) for i in order)


def stack(pictures: Sequence[Picture], name: str) -> Picture:
    """One volume of the grey images of a series, ordered along the normal.

    Window and inversion are the first slice's; the range without a window spans all slices.

    Raises:
        InputRefused: see `slice_order`; also colour slices, or more than `MAX_VOXELS`.
    """
    for picture in pictures:
        if picture.kind != "image" or picture.values.ndim != 2:
            raise InputRefused(name, f"{picture.name} is not a grey slice")
    infos = [slice_info(picture) for picture in pictures]
    order = slice_order(infos, name)
    first = pictures[order[0]]
    check_voxels(infos, name)
    if len({(p.photometric, p.series_instance_uid) for p in pictures}) > 1:
        raise InputRefused(name, "mixes several series or photometric interpretations")
    values = np.stack([pictures[i].values for i in order])
    lows, highs = zip(*(p.value_range for p in pictures), strict=True)
    return replace(
        first,
        name=name,
        kind="volume",
        values=values,
        value_range=(min(lows), max(highs)),
        sop_instance_uid="",
        place=None,
    )


def slice_info(picture: Picture) -> SliceInfo:
    """What ordering needs of `picture`."""
    rows, columns = picture.values.shape[:2]
    return SliceInfo(name=picture.name, rows=rows, columns=columns, place=picture.place or SlicePlace())


def check_voxels(slices: Sequence[SliceInfo], name: str) -> None:
    """Refuses a volume that would not fit in memory.

    Raises:
        InputRefused: more than `MAX_VOXELS`.
    """
    voxels = sum(s.rows * s.columns for s in slices)
    if voxels > MAX_VOXELS:
        raise InputRefused(name, f"has {voxels:,} voxels in {len(slices)} slices; the limit is {MAX_VOXELS:,}")


def _check_alike(slices: Sequence[SliceInfo], name: str) -> None:
    first = slices[0]
    for other in slices[1:]:
        pair = f"{first.name} and {other.name}"
        if (first.rows, first.columns) != (other.rows, other.columns):
            sizes = f"{first.columns}x{first.rows} and {other.columns}x{other.rows}"
            raise InputRefused(name, f"mixes slices of different size: {pair} have {sizes} pixels")
        if not _agree(first.place.orientation, other.place.orientation, _COSINE_TOLERANCE):
            raise InputRefused(name, f"mixes slices of different orientation ({pair}); is one a localiser?")
        if not _agree(first.place.spacing, other.place.spacing, _SPACING_TOLERANCE):
            raise InputRefused(name, f"mixes slices of different pixel spacing ({pair})")


def _agree(one: tuple[float, ...] | None, other: tuple[float, ...] | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=0, atol=tolerance))


def _coordinates(slices: Sequence[SliceInfo], name: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], str]:
    """Each slice's place along the normal and its unit; by InstanceNumber where positions are missing."""
    positions = [s.place.position for s in slices]
    orientation = slices[0].place.orientation
    if orientation is not None and all(p is not None for p in positions):
        normal = np.cross(orientation[:3], orientation[3:])
        length = float(np.linalg.norm(normal))
        if not np.isfinite(length) or abs(length - 1) > 0.01:
            raise InputRefused(name, f"has row and column directions that are not at right angles: {orientation}")
        return np.asarray(positions, dtype=np.float64) @ normal, " mm"
    numbers = [s.place.instance_number for s in slices]
    if any(n is None for n in numbers):
        raise InputRefused(name, "cannot be ordered: its slices have neither positions nor InstanceNumbers")
    return np.asarray(numbers, dtype=np.float64), ""
