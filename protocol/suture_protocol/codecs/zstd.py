"""Zstandard over the little-endian bytes: the general codec for codes, volumes and signals."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.errors import CodecError

#: Levels 1 to 9 differ by less than 1 % on activation codes; 3 is the library's own default.
DEFAULT_LEVEL = 3


class ZstdCodec(Codec):
    """One frame with its content size in the header (RFC 8878, 3.1.1.1), which the decoder checks before it inflates.

    Args:
        level: Compression level, 1 … 19. Decoding does not need it.
    """

    id: ClassVar[str] = "zstd"

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        if not 1 <= level <= 19:
            raise CodecError(f"zstd level {level} is not between 1 and 19")
        self._level = level

    @property
    def config(self) -> Mapping[str, str]:
        return {} if self._level == DEFAULT_LEVEL else {"level": str(self._level)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_wire_tensor(shape, dtype)

    def encode(self, array: NDArray[Any]) -> bytes:
        payload: bytes = _library().compress(array_to_bytes(array), self._level)
        return payload

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        zstd = _library()
        expected = declared_bytes(shape, dtype)
        try:
            # The library allocates what the frame declares, whatever bound it is given: so compare first.
            declared = zstd.get_frame_info(payload).decompressed_size
            if declared != expected:
                raise CodecError(f"zstd frame declares {declared} bytes, the tensor's header {expected}")
            decompressor = zstd.ZstdDecompressor()
            data = decompressor.decompress(payload, max_length=expected)
            # A frame without content ends before anything could be asked of it.
            if not decompressor.eof:
                decompressor.decompress(b"", max_length=0)
            if not decompressor.eof or decompressor.unused_data:
                raise CodecError("zstd payload is damaged: it is cut short or goes on behind its frame")
        except (zstd.ZstdError, MemoryError, ValueError, EOFError) as error:
            raise CodecError(f"zstd payload is damaged: {error}") from error
        return array_from_bytes(data, shape, dtype)


def _library() -> Any:
    """Python's own module (3.14, PEP 784) or its backport: a tenth of the size of the older binding."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")
