"""What lossless codecs are held against: coders that no unit sends with, each really coding.

Axes: N image, C channel, H height, W width, S symbol.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.layout import image_pixels, is_image
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import CapabilityMissing

ZSTD: Final = "zstd-19"
#: All channels as tiles of one picture; a range coder with a trained table for each channel.
JPEG_LS: Final = "JPEG-LS tiled"
RANGE_CODER: Final = "range coder"
PNG: Final = "PNG"
_MAX_SIDE: Final = 65_535
_SYMBOLS: Final = 256
#: A channel's table is what was counted in it and so many codes spread as in all channels; with 16, files are up to 2 %
#: larger at the deep cuts of MobileNetV2.
_SHARED_CODES: Final = 256.0
_MISSING: Final = "holding codecs against {} needs {}: pip install 'suture[experiment]'"

Boundary = tuple[NDArray[Any], ...]


def of_the_input(image: NDArray[Any]) -> dict[str, int]:
    """Bytes of the image as zstd at its top level, and as PNG where it is a picture."""
    sizes = {ZSTD: _zstd_bytes((image,))}
    if is_image(tuple(image.shape), image.dtype.name, _MAX_SIDE):
        out = BytesIO()
        _pillow().fromarray(image_pixels(image)).save(out, format="PNG", optimize=True)
        sizes[PNG] = len(out.getvalue())
    return sizes


class CodeReferences:
    """The references for one cut at which uint8 codes cross, the range coder's tables trained on other images."""

    def __init__(self, trained_on: Sequence[Boundary]) -> None:
        """Counts the codes of some images that are not those to be coded."""
        self._tables = [_channel_tables(tensors) for tensors in zip(*trained_on, strict=True)]

    def sizes(self, boundary: Boundary) -> dict[str, int]:
        """Bytes that each makes of a boundary.

        Raises:
            CapabilityMissing: imagecodecs or constriction is not installed.
        """
        pairs = zip(boundary, self._tables, strict=True)
        return {
            ZSTD: _zstd_bytes(boundary),
            JPEG_LS: sum(tiled_jpeg_ls_bytes(codes) for codes in boundary),
            RANGE_CODER: sum(range_coded_bytes(codes, tables) for codes, tables in pairs),
        }


def tiled_jpeg_ls_bytes(codes: NDArray[np.uint8]) -> int:
    """Bytes of a lossless JPEG-LS picture that holds all channels as tiles; the smaller of two arrangements.

    In one the channels lie in rows and columns, as near to a square as their number divides, in the other they stand in
    one column. Tensors without two axes of space are one plane.

    Raises:
        CapabilityMissing: imagecodecs is not installed.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise CapabilityMissing(_MISSING.format("JPEG-LS", "imagecodecs")) from error
    pictures = [picture for picture in _arranged(codes) if min(picture.shape) > 1 and max(picture.shape) <= _MAX_SIDE]
    sizes = [codes.size]
    for picture in pictures:
        # Of a small picture of noise it makes more than the room that it takes.
        with contextlib.suppress(imagecodecs.JpeglsError):
            sizes.append(len(imagecodecs.jpegls_encode(np.ascontiguousarray(picture))))
    return min(sizes)


def range_coded_bytes(codes: NDArray[np.uint8], tables_CS: NDArray[np.float32]) -> int:
    """Bytes of codes whose channels are range coded one after the other, each by its own table.

    Raises:
        CapabilityMissing: constriction is not installed.
    """
    try:
        import constriction
    except ImportError as error:
        raise CapabilityMissing(_MISSING.format("a range coder", "constriction")) from error
    coder = constriction.stream.queue.RangeEncoder()
    for channel, table in zip(_by_channel(codes), tables_CS, strict=True):
        coder.encode(channel.astype(np.int32), constriction.stream.model.Categorical(table, perfect=False))
    return int(coder.get_compressed().nbytes)


def _channel_tables(tensors: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """How likely each code is in each channel (C, S); none is impossible."""
    channels_CX = np.concatenate([_by_channel(codes) for codes in tensors], axis=1)
    counts_CS = np.stack([np.bincount(channel, minlength=_SYMBOLS) for channel in channels_CX]).astype(np.float64)
    shared_S = counts_CS.sum(axis=0) + 1
    counts_CS += _SHARED_CODES * shared_S / shared_S.sum()
    return np.asarray(counts_CS / counts_CS.sum(axis=1, keepdims=True), np.float32)


def _by_channel(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of (1, C, …), tokens of (1, T, C) or a vector as one row a channel, or as a single row."""
    if codes.ndim >= 4:
        return codes.reshape(codes.shape[1], -1)
    return codes[0].T if codes.ndim == 3 else codes.reshape(1, -1)


def _arranged(codes: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    if codes.ndim != 4:
        return [codes.reshape(-1, codes.shape[-1])]
    _, channels, height, width = codes.shape
    rows = max(n for n in range(1, int(channels**0.5) + 1) if channels % n == 0)
    mosaic = codes.reshape(rows, channels // rows, height, width).transpose(0, 2, 1, 3)
    return [mosaic.reshape(rows * height, -1), codes.reshape(channels * height, width)]


def _zstd_bytes(boundary: Boundary) -> int:
    zstd = get_codec("zstd", {"level": "19"})
    return sum(len(zstd.encode(tensor)) for tensor in boundary)


def _pillow() -> Any:
    from PIL import Image

    return Image
