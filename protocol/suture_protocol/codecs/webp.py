"""WebP for cut 0: lossy, and only where it was asked for; a rival of every split.

Axes: N batch (1), C channels (1 grey or 3 RGB), H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import declared_bytes, image_pixels, is_image
from suture_protocol.errors import CodecError

DEFAULT_QUALITY: Final = 90
#: The format's own bound, in pixels: 14 bits a side.
_MAX_SIDE: Final = 16_383
#: Neutral colours come back with channels this far apart at most (rounding in the way from luma and chroma).
_NEUTRAL: Final = 2
_HEADER: Final = b"RIFF"
_LOSSY: Final = b"VP8 "
_START_CODE: Final = b"\x9d\x01\x2a"


class WebpCodec(Codec):
    """Lossy WebP (RFC 9649, the simple format) of a uint8 (1, C, H, W) image with C 1 or 3.

    Grey travels as the luma of a picture whose colours are all neutral; the format has no grey of its own.

    Args:
        quality: 0 … 100 by libwebp's scale. Decoding does not need it.
    """

    id: ClassVar[str] = "webp"
    lossless = False

    def __init__(self, quality: int = DEFAULT_QUALITY) -> None:
        if not 0 <= quality <= 100:
            raise CodecError(f"WebP quality {quality} is not between 0 and 100")
        self._quality = quality

    @property
    def config(self) -> Mapping[str, str]:
        return {} if self._quality == DEFAULT_QUALITY else {"quality": str(self._quality)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_image(shape, dtype, _MAX_SIDE)

    def encode(self, array: NDArray[Any]) -> bytes:
        from PIL import Image

        if not self.accepts(array.shape, array.dtype.name):
            raise ValueError(f"WebP takes uint8 (1, 1 or 3, H, W), not {array.dtype.name} {array.shape}")
        out = BytesIO()
        image = Image.fromarray(image_pixels(array)).convert("RGB")
        image.save(out, format="WEBP", quality=self._quality, method=4)
        return out.getvalue()

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared_bytes(shape, dtype)
        if not self.accepts(shape, dtype):
            raise CodecError(f"WebP carries no tensor of shape {shape} and dtype {dtype}")
        data = bytes(payload)
        width, height = _size(data)
        if (height, width) != shape[2:]:
            raise CodecError(f"WebP is {width} x {height}, the tensor's header says {shape[3]} x {shape[2]}")
        pixels_HWC = _pixels(data)
        if pixels_HWC.shape != (height, width, 3):
            raise CodecError(f"WebP decodes to {pixels_HWC.shape}, its header says {width} x {height}")
        planes_CHW = pixels_HWC.transpose(2, 0, 1)
        if shape[1] == 1:
            if int(np.ptp(pixels_HWC, axis=2).max()) > _NEUTRAL:
                raise CodecError("WebP holds colours, the tensor's header says grey")
            planes_CHW = planes_CHW[1:2]
        return np.ascontiguousarray(planes_CHW[np.newaxis])


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of the one lossy frame, before anything is decoded.

    Raises:
        CodecError: another form of WebP (animated, lossless, with alpha), or none.
    """
    whole = len(data) >= 30 and data[:4] == _HEADER and data[8:16] == b"WEBP" + _LOSSY and data[23:26] == _START_CODE
    if not whole or int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise CodecError("WebP is damaged, or of a form that is not used here: one lossy frame, nothing else")
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _pixels(data: bytes) -> NDArray[np.uint8]:
    from PIL.WebPImagePlugin import WebPImageFile

    try:
        with WebPImageFile(BytesIO(data)) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (SyntaxError, OSError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise CodecError(f"WebP payload is damaged: {error}") from error
