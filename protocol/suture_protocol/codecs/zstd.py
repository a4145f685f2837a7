"""Zstandard over the little-endian bytes: the general codec for codes, as they are or narrowed, volumes and signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS, body_bytes, narrow, widen
from suture_protocol.codecs.zstdframe import DEFAULT_LEVEL, TOP_LEVEL, deflate, inflate
from suture_protocol.errors import CodecError


class ZstdCodec(Codec):
    """One frame with its content size in the header, which the decoder checks before it inflates.

    Args:
        level: Compression level, 1 … 19. Decoding does not need it.
        bits: Width to which uint8 codes are narrowed (see `suture_protocol.codecs.narrow`), 2 … 8; 8 is lossless and
            takes any tensor, fewer take codes only.
    """

    id: ClassVar[str] = "zstd"

    def __init__(self, level: int = DEFAULT_LEVEL, bits: int = FULL_BITS) -> None:
        if not 1 <= level <= TOP_LEVEL:
            raise CodecError(f"zstd level {level} is not between 1 and {TOP_LEVEL}")
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
        return deflate(content, self._level)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared = declared_bytes(shape, dtype)
        if self.lossless:
            return array_from_bytes(inflate(payload, declared), shape, dtype)
        if dtype != "uint8":
            raise CodecError(f"{self.spec} carries uint8 codes, the tensor's header says {dtype}")
        return widen(inflate(payload, body_bytes(shape, self.bits)), shape, self.bits)
