"""Zstandard over the little-endian bytes: the general codec for codes, as they are or narrowed, volumes and signals."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS, body_bytes, narrow, widen
from suture_protocol.errors import CodecError

#: Levels 1 to 9 differ by less than 1 % on activation codes; 3 is the library's own default.
DEFAULT_LEVEL = 3


class ZstdCodec(Codec):
    """One frame with its content size in the header (RFC 8878, 3.1.1.1), which the decoder checks before it inflates.

    Args:
        level: Compression level, 1 … 19. Decoding does not need it.
        bits: Width to which uint8 codes are narrowed (see `suture_protocol.codecs.narrow`), 2 … 8; 8 is lossless and
            takes any tensor, fewer take codes only.
    """

    id: ClassVar[str] = "zstd"

    def __init__(self, level: int = DEFAULT_LEVEL, bits: int = FULL_BITS) -> None:
        if not 1 <= level <= 19:
            raise CodecError(f"zstd level {level} is not between 1 and 19")
        if not MIN_BITS <= bits <= FULL_BITS:
            raise CodecError(f"zstd: codes of {bits} bits; between {MIN_BITS} and {FULL_BITS} are possible")
        self._level = level
        self.bits = bits
        self.lossless = bits == FULL_BITS

    @property
    def config(self) -> Mapping[str, str]:
        level = {} if self._level == DEFAULT_LEVEL else {"level": str(self._level)}
        return level if self.lossless else {**level, "bits": str(self.bits)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_wire_tensor(shape, dtype) and (self.lossless or dtype == "uint8")

    def encode(self, array: NDArray[Any]) -> bytes:
        if not self.accepts(array.shape, array.dtype.name):
            raise ValueError(f"{self.spec} does not take {array.dtype.name} {array.shape}; narrowed are uint8 codes")
        content = array_to_bytes(array) if self.lossless else narrow(array, self.bits)
        payload: bytes = _library().compress(content, self._level)
        return payload

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared = declared_bytes(shape, dtype)
        if self.lossless:
            return array_from_bytes(_inflated(payload, declared), shape, dtype)
        if dtype != "uint8":
            raise CodecError(f"{self.spec} carries uint8 codes, the tensor's header says {dtype}")
        return widen(_inflated(payload, body_bytes(shape, self.bits)), shape, self.bits)


def _inflated(payload: bytes | memoryview, expected: int) -> bytes:
    """The content of the one frame in `payload`, which must declare and have `expected` bytes.

    Raises:
        CodecError: it does not, is damaged, or something follows it.
    """
    zstd = _library()
    try:
        # The library allocates what the frame declares, whatever bound it is given: so compare first.
        declared = zstd.get_frame_info(payload).decompressed_size
        if declared != expected:
            raise CodecError(f"zstd frame declares {declared} bytes, the tensor's header {expected}")
        decompressor = zstd.ZstdDecompressor()
        data: bytes = decompressor.decompress(payload, max_length=expected)
        # A frame without content ends before anything could be asked of it.
        if not decompressor.eof:
            decompressor.decompress(b"", max_length=0)
        if not decompressor.eof or decompressor.unused_data:
            raise CodecError("zstd payload is damaged: it is cut short or goes on behind its frame")
    except (zstd.ZstdError, MemoryError, ValueError, EOFError) as error:
        raise CodecError(f"zstd payload is damaged: {error}") from error
    return data


def _library() -> Any:
    """Python's own module (3.14, PEP 784) or its backport: a tenth of the size of the older binding."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")
