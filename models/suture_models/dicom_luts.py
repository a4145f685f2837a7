"""The grayscale transformations a DICOM image carries: padding, Modality LUT or rescaling, VOI LUT or window.

PS3.3 C.7.5.1.1.2 (padding), C.11.1 (Modality LUT), C.11.2 (VOI LUT); for multi-frame objects C.7.6.16.2.9 (Pixel Value
Transformation) and C.7.6.16.2.10 (Frame VOI LUT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from suture_models.picture import Lut, VoiFunction, Window
from suture_protocol.errors import InputRefused

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grayscale:
    """What turns stored values into modality values, and the first VOI LUT or window that the file offers."""

    slope: float
    intercept: float
    modality_lut: Lut | None
    padding: tuple[int, int] | None
    voi: Window | Lut | None

    def padding_mask(self, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Where `stored` is padding, None where nothing is."""
        if self.padding is None:
            return None
        low, high = self.padding
        mask = (stored >= low) & (stored <= high)
        return mask if mask.any() else None

    def to_modality(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Modality values of `stored`, a new array: the smallest integers that hold them, or float32."""
        if self.modality_lut is not None:
            return self.modality_lut.apply(stored)
        if self.slope != 1 or not self.intercept.is_integer() or abs(self.intercept) > 1 << 24:
            return (stored.astype(np.float64) * self.slope + self.intercept).astype(np.float32)
        shifted = stored.astype(np.int32) + int(self.intercept)
        low, high = int(shifted.min()), int(shifted.max())
        for dtype in (np.uint8, np.uint16, np.int16):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return shifted.astype(dtype)
        return shifted


def read_grayscale(dataset: Dataset, frame: int, *, signed: bool, name: str) -> Grayscale:
    """Reads the transformations of `frame`.

    Raises:
        InputRefused: a rescaling or table that cannot be meant.
    """
    rescale = _frame_item(dataset, frame, "PixelValueTransformationSequence")
    slope = _number(rescale, "RescaleSlope", 1.0)
    intercept = _number(rescale, "RescaleIntercept", 0.0)
    if slope == 0 or not math.isfinite(slope) or not math.isfinite(intercept):
        raise InputRefused(name, f"has RescaleSlope {slope} and RescaleIntercept {intercept}")
    lut_items = dataset.get("ModalityLUTSequence")
    modality_lut = _lut(lut_items[0], signed=signed, name=name) if lut_items else None
    signed_values = modality_lut is None and (signed or intercept < 0)
    return Grayscale(
        slope=slope,
        intercept=intercept,
        modality_lut=modality_lut,
        padding=_padding(dataset, signed=signed),
        voi=_voi(_frame_item(dataset, frame, "FrameVOILUTSequence"), signed=signed_values, name=name),
    )


def _voi(item: Dataset, *, signed: bool, name: str) -> Window | Lut | None:
    """The first VOI LUT, else the first window; several are alternative views of which the first is the default."""
    luts = item.get("VOILUTSequence")
    if luts:
        return _lut(luts[0], signed=signed, name=name)
    centre = _number(item, "WindowCenter", math.nan)
    width = _number(item, "WindowWidth", math.nan)
    function = str(item.get("VOILUTFunction") or "LINEAR")
    if function not in _FUNCTIONS:
        raise InputRefused(name, f"has VOILUTFunction {function}; {', '.join(_FUNCTIONS)} are defined")
    # Some devices write a width of 0 for "none"; the standard has no meaning for widths below 1 (C.11.2.1.2.1).
    smallest = 1.0 if function == "LINEAR" else 0.0
    if not (math.isfinite(centre) and math.isfinite(width)) or width < smallest or width <= 0:
        return None
    return Window(centre=centre, width=width, function=cast(VoiFunction, function))


def _lut(item: Dataset, *, signed: bool, name: str) -> Lut:
    """A look-up table; its descriptor's first input is signed where the values that it looks up are."""
    entries, first, bits = (int(v) for v in item.LUTDescriptor)
    entries = entries or 1 << 16
    if signed and first >= 1 << 15:
        first -= 1 << 16
    elif not signed and first < 0:
        first += 1 << 16
    data: Any = item.LUTData
    if isinstance(data, bytes):
        wide = len(data) >= 2 * entries
        table = np.frombuffer(data, dtype="<u2" if wide else "u1").astype(np.uint16)
    else:
        table = np.atleast_1d(np.asarray(data)).astype(np.uint16)
    if not 8 <= bits <= 16 or table.size < entries:
        raise InputRefused(name, f"has a look-up table of {table.size} entries and {bits} bits, {entries} declared")
    return Lut(first=first, bits=bits, table=table[:entries])


def _padding(dataset: Dataset, *, signed: bool) -> tuple[int, int] | None:
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [_as_stored(int(v), signed=signed) for v in (value, value if limit in (None, "") else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, *, signed: bool) -> int:
    """A padding value in the representation of the pixels; implicit VR leaves its sign open (US or SS)."""
    if signed:
        return value - (1 << 16) if value >= 1 << 15 else value
    return value + (1 << 16) if value < 0 else value


def _frame_item(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """The functional group `keyword` of `frame` (its own, else the shared one), or the dataset itself."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        items = group.get(keyword)
        if items:
            return cast(Dataset, items[0])
    return dataset


def _number(item: Dataset, keyword: str, default: float) -> float:
    """The first value of `keyword`."""
    value: Any = item.get(keyword)
    if value is None or value == "":
        return default
    if not isinstance(value, (str, float, int)):
        value = next(iter(value), default)
    return float(value)
