"""Narrower codes: uint8 codes requantised to 2^bits levels within the range they take, and back; knows no codec.

A tensor's codes are divided into rows: the slices along axis 1 (channels of a map, tokens of a sequence), or the whole
tensor where there is no such axis or the slices are short. Of each row the least code and the span up to the largest
are kept; in between lie 2^bits levels, evenly spaced, and each code goes to the nearest. So a code comes back at most
half a step and a rounding away (`max_error`: 1, 2, 4, 9, 18, 43 for 7 to 2 bits where a row spans all 256 codes); a row
that spans fewer than 2^bits comes back as it was.

Why a range for each row: at equal bytes the outputs' error is about the same as with one range for the whole tensor on
MobileNetV2, EfficientNet-Lite0 and ResNet-50, and down to half of it on DenseNet-121, whose boundaries join channels of
very different spread; and two bits stay usable. Why several symbols in a byte: 5-25 % less behind zstd, and faster.

Body: the rows' least codes, their spans (a byte each), then the symbols in C order, so many in a byte as fit whole.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.errors import CodecError

#: The width of codes as engines give them.
FULL_BITS: Final = 8
#: Two levels tell a code's half of the range, and no network in the zoo stands that.
MIN_BITS: Final = 2
#: Shorter rows share one range: two bytes for each would weigh too much.
_MIN_ROW: Final = 16


def max_error(bits: int, span: int = 255) -> int:
    """The most by which a code of a row of `span` may come back changed."""
    top = (1 << bits) - 1
    return 0 if span <= top else (span + top) // (2 * top)


def narrow(codes: NDArray[Any], bits: int) -> bytes:
    """The body for uint8 `codes`, symbols of `bits` bits."""
    rows = codes.reshape(_rows(codes.shape))
    if not rows.size:
        return b""
    least = rows.min(axis=1, keepdims=True)
    span = rows.max(axis=1, keepdims=True) - least
    levels = _levels(span, bits)
    # 255 x 2 x 127 + 255 still fits into 16 bits.
    wide = span.astype(np.uint16)
    scaled = (rows - least).astype(np.uint16) * (2 * levels) + wide
    symbols = (scaled // np.maximum(2 * wide, 1)).astype(np.uint8)
    return b"".join(part.tobytes() for part in (least, span, _packed(symbols.ravel(), bits)))


def body_bytes(shape: tuple[int, ...], bits: int) -> int:
    """The size of the body of codes of `shape`."""
    rows, length = _rows(shape)
    return 2 * rows + -(-rows * length // (FULL_BITS // bits)) if rows * length else 0


def widen(body: bytes, shape: tuple[int, ...], bits: int) -> NDArray[np.uint8]:
    """The codes of `shape` that `body` holds; they belong to the caller.

    Raises:
        CodecError: the body is of another size, or holds a symbol, span or spare bit that `narrow` does not write.
    """
    if len(body) != body_bytes(shape, bits):
        raise CodecError(f"{len(body)} bytes of {bits}-bit codes for shape {shape}, {body_bytes(shape, bits)} expected")
    rows, length = _rows(shape)
    if not body:
        return np.zeros(shape, np.uint8)
    ranges = np.frombuffer(body, np.uint8, 2 * rows).reshape(2, rows, 1)
    least, span = ranges[0], ranges[1].astype(np.uint16)
    if int((least + span).max()) > 255:
        raise CodecError("a range of narrowed codes ends above 255")
    levels = _levels(ranges[1], bits)
    symbols = _unpacked(np.frombuffer(body, np.uint8, offset=2 * rows), rows * length, bits).reshape(rows, length)
    if (symbols.max(axis=1, keepdims=True) > levels).any():
        raise CodecError(f"a symbol of {bits}-bit codes is out of its range")
    scaled = symbols * (2 * span) + levels
    codes: NDArray[np.uint8] = (scaled // np.maximum(2 * levels, 1)).astype(np.uint8) + least
    return codes.reshape(shape)


def _rows(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and their length."""
    elements = math.prod(shape)
    if len(shape) < 3 or not elements or elements // (shape[0] * shape[1]) < _MIN_ROW:
        return 1, elements
    rows = shape[0] * shape[1]
    return rows, elements // rows


def _levels(span: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    """The largest symbol of each row: no more levels than it has codes."""
    return np.minimum(span, np.uint8((1 << bits) - 1)).astype(np.uint16)


def _packed(symbols: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """As many neighbours in a byte as fit whole, the first in the lowest bits; the entropy coder then sees groups."""
    in_byte = FULL_BITS // bits
    short = -len(symbols) % in_byte
    if short:
        symbols = np.concatenate([symbols, np.zeros(short, np.uint8)])
    packed = symbols[::in_byte].copy()
    for place in range(1, in_byte):
        packed |= symbols[place::in_byte] << np.uint8(bits * place)
    return packed


def _unpacked(packed: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint8]:
    in_byte = FULL_BITS // bits
    if in_byte == 1:
        return packed
    mask = np.uint8((1 << bits) - 1)
    symbols = np.empty((len(packed), in_byte), np.uint8)
    for place in range(in_byte):
        np.bitwise_and(packed >> np.uint8(bits * place), mask, out=symbols[:, place])
    spare = FULL_BITS % bits
    if (spare and (packed >> np.uint8(FULL_BITS - spare)).any()) or symbols.ravel()[count:].any():
        raise CodecError(f"spare bits of {bits}-bit codes are set")
    return symbols.ravel()[:count]
