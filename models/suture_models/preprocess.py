"""From a `Picture` to exactly the array a network takes: window, resize, channels. Torch-free, deterministic.

Axes: H height, W width, D slices, C channels, T time, L leads. The order is that of PS3.4 N.2 (modality values, VOI
LUT or window, inversion), in float32 from the first step to the last; there is one rounding, half to even, at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from suture_models.manifest import InputKind, NetworkSpec, Preprocess
from suture_models.picture import Lut, Picture, Window
from suture_protocol.errors import InputRefused

#: ITU-R BT.601 luma, as in JPEG and in every viewer's "grey".
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Rows windowed at a time: a float copy of a whole radiograph would cost four times its pixels.
_STRIP_ROWS = 128
_KIND_WORDS: dict[InputKind, str] = {
    "image": "one image",
    "volume": "a volume (a DICOM series, or a .npy of slices, rows, columns)",
    "signal": "a signal (.npy of time, leads)",
}


def preprocess(picture: Picture, spec: NetworkSpec) -> NDArray[Any]:
    """The network's input for `picture`, of exactly `spec.input`'s shape and dtype, C-contiguous.

    Black and white come from `spec.preprocess.window`, else the file's first VOI LUT or window, else
    `Picture.value_range`. Images are averaged down by whole factors (box) to at least twice the size and then resized
    bicubically with antialiasing; volumes are resampled linearly, with antialiasing along each axis that shrinks.

    Raises:
        InputRefused: the picture is of another kind or shape than the network takes.
        ValueError: the specification contradicts itself.
    """
    if picture.kind != spec.kind:
        reason = f"is {_KIND_WORDS[picture.kind]}; {spec.name} takes {_KIND_WORDS[spec.kind]}"
        raise InputRefused(picture.name, reason)
    if spec.kind == "signal":
        return _signal(picture, spec)
    array = _image(picture, spec.preprocess) if spec.kind == "image" else _volume(picture, spec.preprocess)
    if (1, *array.shape) != spec.input.shape:
        raise ValueError(f"{spec.name}: preprocessing gives (1, *{array.shape}), its input is {spec.input.shape}")
    return np.ascontiguousarray(_rounded(array, spec.input.dtype)[np.newaxis])


def displayed(values: NDArray[Any], picture: Picture, window: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """`values` of `picture` as shown, 0 (black) to 1 (white), same shape; `window` overrides the file's own.

    Colours are only scaled: windows are defined for grey images (PS3.3 C.11.2). Implements C.11.2.1.2 and C.11.2.1.3.
    """
    grey = not (picture.kind == "image" and picture.values.ndim == 3)
    voi = Window(centre=window[0], width=window[1]) if window is not None else picture.voi
    if not grey or voi is None:
        low, high = picture.value_range
        shown: NDArray[np.float32] = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
    elif isinstance(voi, Lut):
        shown = voi.apply(values).astype(np.float32) / np.float32((1 << voi.bits) - 1)
    else:
        shown = _windowed(values.astype(np.float32), voi)
    unit: NDArray[np.float32] = np.clip(shown, 0, 1)
    if picture.inverted:
        np.subtract(1, unit, out=unit)
    return unit


def _windowed(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    centre, width = np.float32(window.centre), np.float32(window.width)
    if window.function == "SIGMOID":
        exponent: NDArray[np.float32] = np.clip(-4 * (values - centre) / width, -80, 80)
        curve: NDArray[np.float32] = (1 / (1 + np.exp(exponent))).astype(np.float32)
        return curve
    if window.function == "LINEAR_EXACT":
        return ((values - centre) / width + np.float32(0.5)).astype(np.float32)
    if width <= 1:  # the linear function degenerates to a threshold
        return (values > centre - np.float32(0.5)).astype(np.float32)
    return ((values - (centre - np.float32(0.5))) / (width - 1) + np.float32(0.5)).astype(np.float32)


def _rounded(shown: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    if dtype not in ("uint8", "uint16"):
        raise ValueError(f"images and volumes are given as uint8 or uint16, not {dtype}")
    scaled: NDArray[np.float32] = np.clip(shown, 0, 1) * np.float32(np.iinfo(dtype).max)
    return np.rint(scaled).astype(dtype)


def _image(picture: Picture, how: Preprocess) -> NDArray[np.float32]:
    """(C, H, W), 0 to 1."""
    out_h, out_w = how.size
    rows, columns = picture.values.shape[:2]
    left, top, right, bottom = _kept_box(rows, columns, how)
    factor = max(1, min(int((bottom - top) // out_h), int((right - left) // out_w)) // 2)
    planes = _reduced(picture, how, factor)
    box = (left / factor, top / factor, right / factor, bottom / factor)
    resized = np.stack([_resize(plane, (out_w, out_h), Image.Resampling.BICUBIC, box) for plane in planes])
    return np.repeat(resized, how.channels, axis=0) if len(resized) == 1 else resized


def _kept_box(rows: int, columns: int, how: Preprocess) -> tuple[float, float, float, float]:
    """The part (left, top, right, bottom) of a `rows` x `columns` image that is kept, in pixels."""
    out_h, out_w = how.size[-2:]
    if how.resize == "stretch":
        return 0.0, 0.0, float(columns), float(rows)
    scale = min(rows / out_h, columns / out_w)
    kept_h, kept_w = out_h * scale, out_w * scale
    top, left = (rows - kept_h) / 2, (columns - kept_w) / 2
    return left, top, left + kept_w, top + kept_h


def _reduced(picture: Picture, how: Preprocess, factor: int) -> NDArray[np.float32]:
    """Windowed planes (C, H/factor, W/factor), averaged over whole boxes; the last row and column may be partial."""
    rows = picture.values.shape[0]
    as_colour = picture.values.ndim == 3 and how.channels == 3
    step = factor * max(1, _STRIP_ROWS // factor)
    strips = []
    for start in range(0, rows, step):
        strip = displayed(picture.values[start : start + step], picture, how.window)
        if strip.ndim == 3 and not as_colour:
            strip = (strip @ _LUMA)[..., np.newaxis]
        planes_HWC = strip if strip.ndim == 3 else strip[..., np.newaxis]
        strips.append(_box_means(planes_HWC, factor))
    return np.ascontiguousarray(np.concatenate(strips).transpose(2, 0, 1))


def _box_means(planes_HWC: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    if factor == 1:
        return planes_HWC
    sums = planes_HWC
    for axis in (0, 1):
        starts = np.arange(0, planes_HWC.shape[axis], factor)
        counts = np.diff(np.append(starts, planes_HWC.shape[axis])).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        sums = (np.add.reduceat(sums, starts, axis=axis) / counts.reshape(shape)).astype(np.float32, copy=False)
    return sums


def _resize(
    plane: NDArray[np.float32],
    size_WH: tuple[int, int],
    method: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[np.float32]:
    image = Image.fromarray(plane)
    if box is not None:  # float error may put an edge a hair outside, which Pillow refuses
        box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(image.width)), min(box[3], float(image.height)))
    return np.asarray(image.resize(size_WH, method, box=box))


def _volume(picture: Picture, how: Preprocess) -> NDArray[np.float32]:
    """(C, D, H, W), 0 to 1."""
    out_d, out_h, out_w = how.size
    _, rows, columns = picture.values.shape
    box = _kept_box(rows, columns, how)
    linear = Image.Resampling.BILINEAR
    slices = [
        _resize(displayed(slice_HW, picture, how.window), (out_w, out_h), linear, box) for slice_HW in picture.values
    ]
    # Along D every voxel column is one column of an image D high, so that Pillow's filter serves for it as well.
    columns = np.stack(slices).reshape(len(slices), out_h * out_w)
    volume = _resize(columns, (out_h * out_w, out_d), linear).reshape(1, out_d, out_h, out_w)
    return np.repeat(volume, how.channels, axis=0)


def _signal(picture: Picture, spec: NetworkSpec) -> NDArray[np.float32]:
    if spec.input.dtype != "float32":
        raise ValueError(f"signals are given as float32, not {spec.input.dtype}")
    wanted = spec.input.shape[1:]
    if picture.values.shape != wanted:
        hint = "; it seems to be transposed" if picture.values.shape == wanted[::-1] else ""
        reason = f"has shape {picture.values.shape}; {spec.name} takes (time, leads) = {wanted}{hint}"
        raise InputRefused(picture.name, reason)
    return np.ascontiguousarray(picture.values[np.newaxis], dtype=np.float32)
