"""Lossless JPEG XL for cut 0, where imagecodecs is installed; a rival of every split.

Axes: N batch (1), C channels (1 grey or 3 RGB), H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import declared_bytes, image_pixels, image_planes, is_image
from suture_protocol.errors import CapabilityMissing, CodecError

#: On radiographs of 224 × 224 within 1 % of the smallest (7 and up), at an eighth of its time.
DEFAULT_EFFORT: Final = 3
_MAX_SIDE: Final = 1 << 16
_SIGNATURE: Final = b"\xff\x0a"
#: A size beyond one eighth of 256: bits of the number by its two-bit selector (ISO/IEC 18181-1, SizeHeader).
_SIZE_BITS: Final = (9, 13, 18, 30)
#: Width for each height where the header gives a ratio in place of a width.
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


class JpegXlCodec(Codec):
    """Lossless JPEG XL (ISO/IEC 18181), a bare codestream, of a uint8 (1, C, H, W) image with C 1 or 3.

    The picture's size is checked before anything is decoded. What else a hostile stream may ask for (frames, extra
    channels) is libjxl's to bound; a cloud takes this codec for experiments only.

    Args:
        effort: 1 … 9 by libjxl's scale. Decoding does not need it.
    """

    id: ClassVar[str] = "jpegxl"

    def __init__(self, effort: int = DEFAULT_EFFORT) -> None:
        if not 1 <= effort <= 9:
            raise CodecError(f"JPEG XL effort {effort} is not between 1 and 9")
        self._effort = effort

    @property
    def config(self) -> Mapping[str, str]:
        return {} if self._effort == DEFAULT_EFFORT else {"effort": str(self._effort)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_image(shape, dtype, _MAX_SIDE)

    def encode(self, array: NDArray[Any]) -> bytes:
        if not self.accepts(array.shape, array.dtype.name):
            raise ValueError(f"JPEG XL takes uint8 (1, 1 or 3, H, W), not {array.dtype.name} {array.shape}")
        return bytes(library().jpegxl_encode(image_pixels(array), lossless=True, effort=self._effort, numthreads=1))

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared_bytes(shape, dtype)
        if not self.accepts(shape, dtype):
            raise CodecError(f"JPEG XL carries no tensor of shape {shape} and dtype {dtype}")
        data = bytes(payload)
        found = _size(data)
        if found != shape[2:]:
            raise CodecError(f"JPEG XL is {found[1]} x {found[0]}, the tensor's header says {shape[3]} x {shape[2]}")
        found_library = library()
        try:
            pixels = found_library.jpegxl_decode(data, numthreads=1)
        except (found_library.JpegxlError, RuntimeError, ValueError, OverflowError, MemoryError) as error:
            raise CodecError(f"JPEG XL payload is damaged: {error}") from error
        expected = shape[2:] if shape[1] == 1 else (*shape[2:], 3)
        if pixels.shape != expected or pixels.dtype.name != dtype:
            raise CodecError(f"JPEG XL decodes to {pixels.dtype.name} {pixels.shape}, not {dtype} {expected}")
        return np.array(image_planes(pixels), order="C", copy=True)


def library() -> Any:
    """imagecodecs, imported when first needed.

    Raises:
        CapabilityMissing: it is not installed.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise CapabilityMissing("JPEG XL needs imagecodecs: pip install 'suture[experiment]'") from error
    return imagecodecs


def _size(data: bytes) -> tuple[int, int]:
    """Height and width that a codestream's header gives.

    Raises:
        CodecError: it is no bare codestream.
    """
    if data[:2] != _SIGNATURE or len(data) < 12:
        raise CodecError("JPEG XL payload is damaged: it is no bare codestream")
    bits = _Bits(data[2:12])
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return height, _side(bits, small)
    numerator, denominator = _RATIOS[ratio]
    return height, height * numerator // denominator


def _side(bits: _Bits, small: int) -> int:
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_SIZE_BITS[bits.take(2)])


class _Bits:
    """Numbers out of bytes, the least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value
