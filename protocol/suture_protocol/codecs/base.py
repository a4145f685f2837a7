"""The codec contract. A codec file imports no other codec file; the shared checks run over every registered codec.

A codec is stateless: the same array and configuration always give the same bytes, and a payload decodes with nothing
but the codec's id, its configuration and the shape and dtype that the header declares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.narrow import FULL_BITS


class Codec(ABC):
    """One way to code a tensor. `id` goes on the wire; `lossless` codecs give back exactly what they took.

    `bits` is the width at which codes cross: 8, or fewer for a codec that narrows them.
    """

    id: ClassVar[str]
    lossless: bool = True
    bits: int = FULL_BITS

    @property
    def spec(self) -> str:
        """How profiles, plans and people name it: the id, and `@bits` where codes are narrowed (`zstd@4`).

        `suture_protocol.codecs.registry.codec_of` reads it. Settings that change neither what the codec takes nor what
        it loses (a compression level) are no part of it.
        """
        return self.id if self.bits == FULL_BITS else f"{self.id}@{self.bits}"

    def suits(self, *, is_input: bool) -> bool:
        """Whether its loss may be taken there: that of an image codec at the input only, that of narrower codes never.

        An image is what a person may look at again; only codes inside the network are narrowed.
        """
        return self.lossless or is_input == (self.bits == FULL_BITS)

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
