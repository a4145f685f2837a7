"""The codec contract. A codec file imports no other codec file; the shared checks run over every registered codec.

A codec is stateless: the same array and configuration always give the same bytes, and a payload decodes with nothing
but the codec's id, its configuration and the shape and dtype that the header declares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray


class Codec(ABC):
    """One way to code a tensor. `id` goes on the wire; `lossless` codecs give back exactly what they took."""

    id: ClassVar[str]
    lossless: ClassVar[bool] = True

    @property
    def config(self) -> Mapping[str, str]:
        """The settings that decoding needs, as strings; empty for most."""
        return {}

    @abstractmethod
    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        """Whether this codec can code such a tensor."""

    @abstractmethod
    def encode(self, array: NDArray[Any]) -> bytes:
        """Payload of `array` (C-contiguous or not).

        Raises:
            ValueError: `accepts` is False for it.
        """

    @abstractmethod
    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """The array that was coded, of exactly `shape` and `dtype`; never allocates more than that plus a constant.

        Raises:
            CodecError: the payload is damaged or is of another shape.
        """
