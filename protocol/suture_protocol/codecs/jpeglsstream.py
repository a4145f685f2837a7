"""JPEG-LS streams (ITU-T T.87) as payloads hold them, checked before they are decoded; knows no codec.

Axes: C planes (1 … 4), H height, W width.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from numpy.typing import NDArray

from suture_protocol.codecs.layout import array_from_bytes
from suture_protocol.errors import CodecError

#: The longest side that a header's 16 bits hold.
MAX_SIDE: Final = 65_535
_END_OF_IMAGE: Final = b"\xff\xd9"


@cache
def can_jpegls() -> bool:
    """Whether the library is here."""
    return find_spec("jpeg_ls") is not None


def encode_planes(planes_CHW: NDArray[Any], bits: int, interleave: int) -> bytes | None:
    """The stream of uint8 or uint16 samples of `bits` bits; None where it would take more than twice the raw size.

    Args:
        planes_CHW: One to four planes.
        bits: 2 … 16; no sample needs more.
        interleave: 0 by plane, 1 by line, 2 by pixel.
    """
    import jpeg_ls

    channels, height, width = planes_CHW.shape
    planes_CHW = planes_CHW.astype("<u1" if bits <= 8 else "<u2", copy=False)
    # By line and by pixel both take colour by pixel; the library rearranges by itself.
    samples = (planes_CHW if interleave == 0 else planes_CHW.transpose(1, 2, 0)).tobytes()
    try:
        coded: bytes = bytes(jpeg_ls.encode_buffer(samples, height, width, channels, bits, 0, interleave))
    except RuntimeError:
        # The library reserves twice the raw size and no more: too little for the headers of a tiny image.
        return None
    return coded


def decode_planes(body: bytes, shape_CHW: tuple[int, ...], most_bits: int, interleave: int) -> tuple[NDArray[Any], int]:
    """The (C, H, W) samples of a stream, uint8 or uint16, and their precision; its header is checked first.

    Raises:
        CodecError: the stream is damaged, near-lossless, or of another shape, precision or order of planes.
    """
    import _CharLS  # type: ignore[import-not-found]
    import jpeg_ls

    if not body.endswith(_END_OF_IMAGE):
        # CharLS 2.4 counts to 2^32 in a stream that just stops (three seconds), never in one that ends with a marker.
        raise CodecError("JPEG-LS payload is cut short")
    channels, height, width = shape_CHW
    try:
        header = _CharLS.read_header(body)
        found = (header["components"], header["height"], header["width"], header["interleave_mode"])
        if found != (channels, height, width, interleave):
            raise CodecError(f"JPEG-LS stream is {found[:3]}, interleaved {found[3]}; {shape_CHW} was declared")
        bits = int(header["bits_per_sample"])
        if not 2 <= bits <= most_bits:
            raise CodecError(f"JPEG-LS stream has {bits} bits a sample; at most {most_bits} were declared")
        if header["allowed_lossy_error"] or header["colour_transformation"]:
            raise CodecError("JPEG-LS stream is near-lossless or colour-transformed; only lossless ones are accepted")
        data, _ = jpeg_ls.decode_buffer(body)
    except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
        raise CodecError(f"JPEG-LS payload is damaged: {error}") from error
    sample = "uint8" if bits <= 8 else "uint16"
    if interleave == 0:
        return array_from_bytes(data, (channels, height, width), sample), bits
    return array_from_bytes(data, (height, width, channels), sample).transpose(2, 0, 1), bits
