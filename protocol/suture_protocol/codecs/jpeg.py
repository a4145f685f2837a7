"""Baseline JPEG for cut 0: lossy, and only where it was asked for; the rival that every split has to beat.

Axes: N batch (1), C channels (1 grey or 3 RGB), H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import declared_bytes, image_pixels, image_planes, is_image
from suture_protocol.errors import CodecError

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

DEFAULT_QUALITY = 95
#: libjpeg's own bound, in pixels.
_MAX_SIDE = 65_500
#: Markers (T.81, table B.1): the byte before each, start of scan, and those that no segment follows.
_MARKER = 0xFF
_SOS = 0xDA
_STANDALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
_MODES = {1: "L", 3: "RGB"}


class JpegCodec(Codec):
    """Sequential JPEG (ITU-T T.81) of a uint8 (1, C, H, W) image with C 1 or 3; colour at full resolution (4:4:4).

    Args:
        quality: 1 … 100 by the Independent JPEG Group's scale. Decoding does not need it.
    """

    id: ClassVar[str] = "jpeg"
    lossless = False

    def __init__(self, quality: int = DEFAULT_QUALITY) -> None:
        if not 1 <= quality <= 100:
            raise CodecError(f"JPEG quality {quality} is not between 1 and 100")
        self._quality = quality

    @property
    def config(self) -> Mapping[str, str]:
        return {} if self._quality == DEFAULT_QUALITY else {"quality": str(self._quality)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_image(shape, dtype, _MAX_SIDE)

    def encode(self, array: NDArray[Any]) -> bytes:
        from PIL import Image

        if not self.accepts(array.shape, array.dtype.name):
            raise ValueError(f"JPEG takes uint8 (1, 1 or 3, H, W), not {array.dtype.name} {array.shape}")
        out = BytesIO()
        image = Image.fromarray(image_pixels(array))
        image.save(out, format="JPEG", quality=self._quality, subsampling=0)
        return out.getvalue()

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared_bytes(shape, dtype)
        if not self.accepts(shape, dtype):
            raise CodecError(f"JPEG carries no tensor of shape {shape} and dtype {dtype}")
        image = _open(payload)
        channels, height, width = shape[1:]
        if image.size != (width, height) or image.mode != _MODES[channels]:
            found = f"{image.mode} {image.size[0]} x {image.size[1]}"
            raise CodecError(f"JPEG is {found}, the tensor's header says {_MODES[channels]} {width} x {height}")
        if "progressive" in image.info:
            raise CodecError("JPEG is progressive; only sequential ones are accepted")
        if _channels_of_first_scan(payload) != channels:
            raise CodecError("JPEG has its channels in several scans; only those with all in one are accepted")
        return np.ascontiguousarray(image_planes(_pixels(image)))


def _open(payload: bytes | memoryview) -> JpegImageFile:
    """The JPEG's header; no pixel is decoded. `Image.open` would warn of large pictures before they can be compared."""
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        return JpegImageFile(BytesIO(payload))
    except (SyntaxError, OSError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise CodecError(f"JPEG header is damaged: {error}") from error


def _channels_of_first_scan(payload: bytes | memoryview) -> int:
    """How many channels the first scan holds; 0 where none is found.

    Of a file that is not progressive and has them all in its first scan libjpeg reads no other. Each scan may pass over
    the whole picture, so that else a few KB could cost minutes.
    """
    at = 2  # behind SOI
    while at + 5 <= len(payload) and payload[at] == _MARKER:
        code = payload[at + 1]
        if code == _MARKER:  # fill
            at += 1
        elif code == _SOS:
            return payload[at + 4]
        elif code in _STANDALONE:
            return 0
        else:
            at += 2 + int.from_bytes(payload[at + 2 : at + 4], "big")
    return 0


def _pixels(image: JpegImageFile) -> NDArray[np.uint8]:
    try:
        return np.array(image, dtype=np.uint8)
    except (SyntaxError, OSError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise CodecError(f"JPEG payload is damaged: {error}") from error
