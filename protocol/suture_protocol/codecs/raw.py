"""The codec that does nothing: little-endian bytes, for fast links and as the yardstick of the others."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, is_wire_tensor


class RawCodec(Codec):
    """Elements in C order, little-endian."""

    id: ClassVar[str] = "raw"

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_wire_tensor(shape, dtype)

    def encode(self, array: NDArray[Any]) -> bytes:
        return array_to_bytes(array)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        return array_from_bytes(payload, shape, dtype)
