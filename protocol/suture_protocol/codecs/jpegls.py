"""JPEG-LS for cut 0: the input sent as a true lossless image, the honest rival of every deeper cut.

Axes: N batch (1), C planes (1 … 4), H height, W width.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.errors import CodecError

#: First byte of a payload: how the planes lie in what follows.
_STORED: Final = 0  # not compressed: what JPEG-LS cannot shrink, and images too small for the library
_PLAIN: Final = 1
_GREEN: Final = 2  # RGB with green taken from red and blue, modulo the sample range (as HP1 of JPEG-LS part 2)

_END_OF_IMAGE: Final = b"\xff\xd9"

#: Interleave mode by number of planes, where they are coded as they are: 0 by plane, 1 by line, 2 by pixel. By pixel
#: is the smallest (1-3 % against by plane), but CharLS 2.4 does not give four planes back that way, nor two in any
#: but by plane. With green taken off, by plane is the smallest: what is left of red and blue is runs.
_INTERLEAVE: Final = {1: 0, 2: 0, 3: 2, 4: 1}
_INTERLEAVE_GREEN: Final = 0


class JpegLsCodec(Codec):
    """JPEG-LS (ITU-T T.87) of a uint8 or uint16 (1, C, H, W) image with 1 … 4 planes, behind one byte for the layout.

    The sample precision is what the values need: 12-bit radiographs in uint16 are coded as 12 bits.
    """

    id: ClassVar[str] = "jpegls"

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        if dtype not in ("uint8", "uint16") or not is_wire_tensor(shape, dtype):
            return False
        return len(shape) == 4 and shape[0] == 1 and shape[1] in _INTERLEAVE and shape[2] > 0 and shape[3] > 0

    def encode(self, array: NDArray[Any]) -> bytes:
        import jpeg_ls

        if not self.accepts(array.shape, array.dtype.name):
            raise ValueError(f"JPEG-LS takes uint8 or uint16 (1, 1 … 4, H, W), not {array.dtype.name} {array.shape}")
        stored = array_to_bytes(array)
        planes_CHW = array[0]
        channels, height, width = planes_CHW.shape
        bits = max(2, int(planes_CHW.max()).bit_length())
        layout = _GREEN if channels == 3 and _green_pays(planes_CHW) else _PLAIN
        if layout == _GREEN:
            planes_CHW = _take_green(planes_CHW, bits)
        planes_CHW = planes_CHW.astype("<u1" if bits <= 8 else "<u2", copy=False)
        interleave = _interleave(layout, channels)
        # By line and by pixel both take colour by pixel; the library rearranges by itself.
        samples = (planes_CHW if interleave == 0 else planes_CHW.transpose(1, 2, 0)).tobytes()
        try:
            coded = jpeg_ls.encode_buffer(samples, height, width, channels, bits, 0, interleave)
        except RuntimeError:
            # The library reserves twice the raw size and no more: too little for the headers of a tiny image.
            return bytes([_STORED]) + stored
        return bytes([layout]) + coded if len(coded) < len(stored) else bytes([_STORED]) + stored

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared_bytes(shape, dtype)
        if not self.accepts(shape, dtype):
            raise CodecError(f"JPEG-LS carries no tensor of shape {shape} and dtype {dtype}")
        layout, body = (payload[0], bytes(payload[1:])) if len(payload) else (-1, b"")
        if layout == _STORED:
            return array_from_bytes(body, shape, dtype)
        if layout not in (_PLAIN, _GREEN) or (layout == _GREEN and shape[1] != 3):
            raise CodecError(f"JPEG-LS payload has the unknown layout {layout}")
        planes_CHW, bits = _decode_planes(body, shape, dtype, _interleave(layout, shape[1]))
        if layout == _GREEN:
            planes_CHW = _add_green(planes_CHW, bits)
        return np.ascontiguousarray(planes_CHW[np.newaxis]).astype(dtype, copy=False)


def _interleave(layout: int, channels: int) -> int:
    return _INTERLEAVE_GREEN if layout == _GREEN else _INTERLEAVE[channels]


def _decode_planes(body: bytes, shape: tuple[int, ...], dtype: str, interleave: int) -> tuple[NDArray[Any], int]:
    """The (C, H, W) samples of a JPEG-LS stream and their precision, its header checked before anything is decoded."""
    import _CharLS  # type: ignore[import-not-found]
    import jpeg_ls

    if not body.endswith(_END_OF_IMAGE):
        # CharLS 2.4 counts to 2^32 in a stream that just stops (three seconds), never in one that ends with a marker.
        raise CodecError("JPEG-LS payload is cut short")
    channels, height, width = shape[1:]
    try:
        header = _CharLS.read_header(body)
        found = (header["components"], header["height"], header["width"], header["interleave_mode"])
        if found != (channels, height, width, interleave):
            raise CodecError(f"JPEG-LS stream is {found[:3]}, interleaved {found[3]}; the tensor's header says {shape}")
        bits = int(header["bits_per_sample"])
        if not 2 <= bits <= (8 if dtype == "uint8" else 16):
            raise CodecError(f"JPEG-LS stream has {bits} bits a sample, the tensor's header says {dtype}")
        if header["allowed_lossy_error"] or header["colour_transformation"]:
            raise CodecError("JPEG-LS stream is near-lossless or colour-transformed; only lossless ones are accepted")
        data, _ = jpeg_ls.decode_buffer(body)
    except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
        raise CodecError(f"JPEG-LS payload is damaged: {error}") from error
    sample = "uint8" if bits <= 8 else "uint16"
    if interleave == 0:
        return array_from_bytes(data, (channels, height, width), sample), bits
    return array_from_bytes(data, (height, width, channels), sample).transpose(2, 0, 1), bits


def _green_pays(planes_CHW: NDArray[Any]) -> bool:
    """Whether red and blue vary less from pixel to pixel once green is taken off; every fourth line decides.

    Worth -20 % on photographs with strong light and shade, costs 4 % where hues are saturated: hence by image.
    """
    red, green, blue = planes_CHW[:, ::4].astype(np.int32)
    plain = np.abs(np.diff(red, axis=1)).sum() + np.abs(np.diff(blue, axis=1)).sum()
    taken = np.abs(np.diff(red - green, axis=1)).sum() + np.abs(np.diff(blue - green, axis=1)).sum()
    return bool(taken < plain)


def _take_green(planes_CHW: NDArray[Any], bits: int) -> NDArray[Any]:
    red, green, blue = planes_CHW.astype(np.int32)
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    return np.stack([(red - green + half) & mask, green, (blue - green + half) & mask]).astype(planes_CHW.dtype)


def _add_green(planes_CHW: NDArray[Any], bits: int) -> NDArray[Any]:
    red, green, blue = planes_CHW.astype(np.int32)
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    return np.stack([(red + green - half) & mask, green, (blue + green - half) & mask]).astype(planes_CHW.dtype)
