"""Zstandard frames as payloads hold them: one frame that declares its size, and nothing behind it; knows no codec."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

from suture_protocol.errors import CodecError

#: Levels 1 to 9 differ by less than 1 % on activation codes; 3 is the library's own default.
DEFAULT_LEVEL: Final = 3
#: The largest level that needs no more memory to decode than a few MB.
TOP_LEVEL: Final = 19
#: Compressors that nobody uses, by their settings: to make one takes longer (0.02 ms) than to code a small tensor.
#: Those of higher levels take megabytes and long anyway; they are made anew. No two threads pop the same one.
_idle: Final[dict[tuple[int, tuple[tuple[str, int], ...]], list[Any]]] = {}
_IDLE_MOST: Final = 4


def deflate(content: bytes, level: int, further: Mapping[str, int] | None = None) -> bytes:
    """`content` as one frame with its size in the header (RFC 8878, 3.1.1.1).

    Args:
        content: What to compress.
        level: 1 … 19.
        further: Advanced parameters by the library's names (`window_log`).
    """
    settings = (level, tuple((further or {}).items()))
    idle = _idle.setdefault(settings, [])
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = _compressor(*settings)
    # The whole content in one call that ends the frame: so the library knows its size and writes it. One that fails
    # half-way is not used again.
    payload: bytes = compressor.compress(content, compressor.FLUSH_FRAME)
    if level <= DEFAULT_LEVEL and len(idle) < _IDLE_MOST:
        idle.append(compressor)
    return payload


def inflate(payload: bytes | memoryview, expected: int) -> bytes:
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


def _compressor(level: int, further: tuple[tuple[str, int], ...]) -> Any:
    zstd = _library()
    names = zstd.CompressionParameter
    options = {names.compression_level: level}
    options |= {getattr(names, name): value for name, value in further}
    return zstd.ZstdCompressor(options=options)


@cache
def _library() -> Any:
    """Python's own module (3.14, PEP 784) or its backport: a tenth of the size of the older binding.

    Kept, because to look in vain for the first takes longer (0.13 ms) than to code a small tensor.
    """
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")
