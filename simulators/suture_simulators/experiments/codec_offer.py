"""Which codecs a bundle offers at a cut, and what they are held against: coders that no unit sends with."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import INPUT_CUT, Cut
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import image_pixels, is_image
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS
from suture_protocol.codecs.registry import codec_ids, codec_of, get_codec
from suture_protocol.errors import CapabilityMissing

#: The references by name; what a lossless codec is held against is the smallest.
ZSTD_REFERENCE: Final = "zstd-19"
JPEG_LS_REFERENCE: Final = "JPEG-LS, channels tiled"
PNG_REFERENCE: Final = "PNG"
_MAX_SIDE: Final = 65_535


def offered(cut: Cut, boundary: tuple[NDArray[Any], ...]) -> list[Codec]:
    """Every codec that takes this boundary and whose loss may be taken there, in the registry's order."""
    specs = [*codec_ids(), *(f"zstd@{bits}" for bits in range(FULL_BITS - 1, MIN_BITS - 1, -1))]
    found = []
    for codec in map(codec_of, specs):
        takes = all(codec.accepts(tuple(tensor.shape), tensor.dtype.name) for tensor in boundary)
        if takes and codec.suits(is_input=cut.id == INPUT_CUT):
            found.append(codec)
    return found


def reference_sizes(cut: Cut, boundary: tuple[NDArray[Any], ...]) -> dict[str, int]:
    """Bytes that each reference coder makes of a boundary; those that do not take it are left out."""
    tensors = [np.ascontiguousarray(tensor) for tensor in boundary]
    zstd = get_codec("zstd", {"level": "19"})
    sizes = {ZSTD_REFERENCE: sum(len(zstd.encode(tensor)) for tensor in tensors)}
    if cut.id == INPUT_CUT:
        (image,) = tensors
        if is_image(tuple(image.shape), image.dtype.name, _MAX_SIDE):
            sizes[PNG_REFERENCE] = _png_bytes(image)
        return sizes
    if all(tensor.dtype == np.uint8 for tensor in tensors):
        sizes[JPEG_LS_REFERENCE] = sum(map(tiled_jpeg_ls_bytes, tensors))
    return sizes


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
        text = "holding codecs against JPEG-LS needs imagecodecs: pip install 'suture[experiment]'"
        raise CapabilityMissing(text) from error
    pictures = [picture for picture in _arranged(codes) if min(picture.shape) > 1 and max(picture.shape) <= _MAX_SIDE]
    sizes = [len(imagecodecs.jpegls_encode(np.ascontiguousarray(picture))) for picture in pictures]
    return min(sizes, default=codes.size)


def entropy_bytes(boundary: tuple[NDArray[Any], ...]) -> float:
    """Order-0 entropy of a boundary's bytes: what an ideal coder that knew each tensor's histogram would make of it."""
    total_bits = 0.0
    for tensor in boundary:
        counts = np.bincount(np.ascontiguousarray(tensor).view(np.uint8).ravel(), minlength=256)
        counts = counts[counts > 0]
        total_bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return total_bits / 8


def _arranged(codes: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    if codes.ndim != 4:
        return [codes.reshape(-1, codes.shape[-1])]
    _, channels, height, width = codes.shape
    rows = max(n for n in range(1, int(channels**0.5) + 1) if channels % n == 0)
    mosaic = codes.reshape(rows, channels // rows, height, width).transpose(0, 2, 1, 3)
    return [mosaic.reshape(rows * height, -1), codes.reshape(channels * height, width)]


def _png_bytes(image: NDArray[np.uint8]) -> int:
    from PIL import Image

    out = BytesIO()
    Image.fromarray(image_pixels(image)).save(out, format="PNG", optimize=True)
    return len(out.getvalue())
