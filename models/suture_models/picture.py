"""What intake hands on: one read image, volume or signal, still in modality units, and the limits that bound it.

Axes: H height, W width, D slices, T time, L leads. Knows no file format and no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import InputKind
from suture_protocol.errors import InputRefused

#: Largest image in pixels. The largest detectors in use (mammography) have 28 million.
MAX_PIXELS = 1 << 26
#: Largest volume in voxels: 512 slices of 512 x 512.
MAX_VOXELS = 1 << 27
#: Largest signal in samples: 12 leads at 1 kHz for more than three hours.
MAX_SAMPLES = 1 << 27
#: Declared pixels per stored byte above which a large image is taken for a bomb. Deflate cannot exceed 1032.
MAX_PIXELS_PER_BYTE = 2000
#: Smaller images are never taken for bombs: a blank one may compress to nothing.
BOMB_FLOOR_PIXELS = 1 << 22

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A VOI window in modality units; `function` is (0028,1056), PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    centre: float
    width: float
    function: VoiFunction = "LINEAR"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lut:
    """A Modality or VOI look-up table, PS3.3 C.11.1.1 and C.11.2.1.1: `table[0]` is the value of input `first`."""

    first: int
    bits: int
    table: NDArray[np.uint16]

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Looks `values` up; inputs beyond either end take the end's entry."""
        index = np.rint(values).astype(np.int64) - self.first
        looked_up: NDArray[np.uint16] = self.table[np.clip(index, 0, self.table.size - 1)]
        return looked_up


@dataclass(frozen=True, kw_only=True, slots=True)
class SlicePlace:
    """Where a slice lies: PS3.3 C.7.6.2 (position in mm, row and column cosines, spacing in mm), None where unsaid."""

    position: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    spacing: tuple[float, float] | None = None
    instance_number: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """One input as read. Holds no patient identifier but the UIDs that link a result to its source.

    `values` is (H, W) or (H, W, 3) for an image, (D, H, W) for a volume, (T, L) float32 for a signal: integers where
    the source and its rescaling are integers, else float32. Stored palette and YBR colours are RGB by now.
    `value_range` is what maps to black and white where neither the network nor the file says otherwise: the whole
    range for 8-bit sources, the range present (without padding) for deeper ones, whose depth is often not used.
    `inverted` is MONOCHROME1 (PS3.3 C.7.6.3.1.2): the lowest value is shown white; `values` are not inverted yet.
    """

    name: str
    kind: InputKind
    values: NDArray[Any]
    bits: int
    value_range: tuple[float, float]
    inverted: bool = False
    voi: Window | Lut | None = None
    photometric: str = ""
    modality: str = ""
    transfer_syntax: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    place: SlicePlace | None = None


def check_size(name: str, *, rows: int, columns: int, stored_bytes: int) -> None:
    """Refuses impossible dimensions before anything is allocated for them.

    Raises:
        InputRefused: an edge of zero, more than `MAX_PIXELS`, or a large image in next to no bytes.
    """
    pixels = rows * columns
    if rows < 1 or columns < 1:
        raise InputRefused(name, f"has no pixels: its dimensions are {columns}x{rows}")
    if pixels > MAX_PIXELS:
        raise InputRefused(name, f"declares {columns}x{rows} pixels; the limit is {MAX_PIXELS:,} in all")
    if pixels > BOMB_FLOOR_PIXELS and pixels > MAX_PIXELS_PER_BYTE * max(stored_bytes, 1):
        raise InputRefused(name, f"declares {columns}x{rows} pixels in only {stored_bytes:,} bytes; not read")


def range_of(values: NDArray[Any], bits: int, *, padding: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """The `value_range` of unrescaled `values` of `bits` depth; `padding` marks pixels that do not count."""
    if bits <= 8 and values.dtype == np.uint8:
        return 0.0, float((1 << bits) - 1)
    counted = values if padding is None or padding.all() else values[~padding]
    return float(counted.min()), float(counted.max())
