"""Arrays as they lie in a payload, and images as libraries take them; shared by the codecs, knows none of them."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.errors import CodecError
from suture_protocol.limits import MAX_AXES, MAX_AXIS, MAX_DECODED_BYTES, MAX_ELEMENTS

#: The dtypes that may cross the wire, by numpy name, with the bytes of one element.
ITEM_BYTES: Final = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "float16": 2,
    "uint32": 4,
    "int32": 4,
    "float32": 4,
    "uint64": 8,
    "int64": 8,
    "float64": 8,
}


@lru_cache(maxsize=1024)  # asked several times of each payload
def is_wire_tensor(shape: tuple[int, ...], dtype: str) -> bool:
    """Whether a tensor of this shape and dtype may cross the wire at all."""
    if dtype not in ITEM_BYTES or len(shape) > MAX_AXES or any(not 0 <= size <= MAX_AXIS for size in shape):
        return False
    elements = math.prod(shape)
    return elements <= MAX_ELEMENTS and elements * ITEM_BYTES[dtype] <= MAX_DECODED_BYTES


def is_image(shape: tuple[int, ...], dtype: str, max_side: int) -> bool:
    """Whether it is a uint8 (1, C, H, W) image, C 1 or 3, sides within a format's bound, that may cross the wire."""
    if dtype != "uint8" or not is_wire_tensor(shape, dtype):
        return False
    return len(shape) == 4 and shape[0] == 1 and shape[1] in (1, 3) and all(0 < side <= max_side for side in shape[2:])


def image_pixels(array: NDArray[Any]) -> NDArray[Any]:
    """An `is_image` array as image libraries take it: contiguous, (H, W) where it is grey, (H, W, 3) where not."""
    return np.ascontiguousarray(array[0, 0] if array.shape[1] == 1 else array[0].transpose(1, 2, 0))


def image_planes(pixels: NDArray[Any]) -> NDArray[Any]:
    """The (1, C, H, W) view of (H, W) or (H, W, 3) pixels."""
    return (pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))[np.newaxis]


def declared_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of the decoded tensor that a header declares.

    Raises:
        CodecError: no such tensor may cross the wire.
    """
    if not is_wire_tensor(shape, dtype):
        raise CodecError(f"a tensor of shape {shape} and dtype {dtype!r} is beyond what the wire carries")
    return math.prod(shape) * ITEM_BYTES[dtype]


def array_to_bytes(array: NDArray[Any]) -> bytes:
    """The array's elements in C order, little-endian.

    Raises:
        ValueError: an array of this shape or dtype does not cross the wire.
    """
    if not is_wire_tensor(array.shape, dtype_name(array.dtype)):
        raise ValueError(f"an array of shape {array.shape} and dtype {array.dtype.name!r} does not cross the wire")
    return array.astype(_little(array.dtype), copy=False).tobytes(order="C")


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """numpy's name of a dtype, which numpy puts together anew each time."""
    return dtype.name


@cache
def _little(dtype: np.dtype[Any] | str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def array_from_bytes(data: bytes | bytearray | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The array whose elements `data` holds; it shares no memory with `data` and is writable.

    Raises:
        CodecError: `data` has another length than shape and dtype say, or holds what the dtype cannot.
    """
    expected = declared_bytes(shape, dtype)
    size = memoryview(data).nbytes
    if size != expected:
        raise CodecError(f"{size} bytes for a tensor of shape {shape} and dtype {dtype}, which takes {expected}")
    little = np.frombuffer(data, dtype=_little(dtype))
    if dtype == "bool" and little.size and int(little.view(np.uint8).max()) > 1:
        raise CodecError("a bool tensor holds bytes other than 0 and 1")
    return little.astype(np.dtype(dtype), copy=True).reshape(shape)
