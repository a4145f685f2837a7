"""Affine uint8 quantisers on numpy arrays: what codes at a cut mean. Torch-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import QuantParams


def _broadcast(values: tuple[float, ...], axis: int | None, ndim: int) -> NDArray[np.float32]:
    array = np.asarray(values, dtype=np.float32)
    if axis is None:
        return array.reshape(())
    shape = [1] * ndim
    shape[axis] = -1
    return array.reshape(shape)


def quantise(values: NDArray[np.float32], params: QuantParams) -> NDArray[np.uint8]:
    """Codes of `values`, same shape, rounded half to even and clipped to the quantiser's levels."""
    scale = _broadcast(params.scale, params.axis, values.ndim)
    offset = _broadcast(params.offset, params.axis, values.ndim)
    codes = np.rint((values - offset) / scale)
    clipped: NDArray[np.uint8] = np.clip(codes, 0, params.levels - 1).astype(np.uint8)
    return clipped


def dequantise(codes: NDArray[np.uint8], params: QuantParams) -> NDArray[np.float32]:
    """Values of `codes`, same shape, float32."""
    scale = _broadcast(params.scale, params.axis, codes.ndim)
    offset = _broadcast(params.offset, params.axis, codes.ndim)
    return (codes.astype(np.float32) * scale + offset).astype(np.float32, copy=False)


def params_from_range(low: float, high: float) -> QuantParams:
    """A calibrated per-tensor quantiser over [low, high], widened to hold 0.

    0 has a code of its own, since engines know quantisers by their zero point; values of the range come back within
    half a step. The numbers are exact in float32, which both sides compute with.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-8) / 255.0)
    zero_code = np.rint(-low / float(scale))
    offset = np.float32(-zero_code * float(scale))
    return QuantParams(scale=(float(scale),), offset=(float(offset),), axis=None, origin="calibrated")
