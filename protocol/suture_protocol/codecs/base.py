"""The codec contract. A codec file imports no other codec file; the shared checks run over every registered codec.

A codec is stateless: the same array and configuration always give the same bytes, and a payload decodes with nothing
but the codec's id, its configuration, the shape and dtype that the header declares and, for some codecs, the tables
that the bundle holds for the tensor.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from suture_protocol.codecs.narrow import FULL_BITS
from suture_protocol.codecs.tables import TensorTables


class Codec(ABC):
    """One way to code a tensor. `id` goes on the wire; `lossless` codecs give back exactly what they took.

    `bits` is the width at which codes cross: 8, or fewer for a codec that narrows all alike; `point` the operating
    point of one that narrows as the bundle says, 0 for all others. `tabled` codecs use the bundle's tables: they are
    `TabledCodec`s.
    """

    id: ClassVar[str]
    tabled: ClassVar[bool] = False
    lossless: bool = True
    bits: int = FULL_BITS
    point: int = 0

    @property
    def narrows(self) -> bool:
        """Whether it takes codes inside the network and loses something of them."""
        return self.bits < FULL_BITS or self.point > 0

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
        return self.lossless or is_input != self.narrows

    @property
    def config(self) -> Mapping[str, str]:
        """The settings that decoding needs, as strings; empty for most."""
        return {}

    def with_tables(self, tables: Sequence[TensorTables | None]) -> Codec:
        """The codec with what the bundle knows of the tensors that cross a cut, in order; itself if it uses none."""
        del tables
        return self

    def of_tensor(self, place: int) -> Codec:
        """The codec for one tensor of a boundary, counted from 0: itself, but for codecs that hold tables of each."""
        del place
        return self

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
        """The array that was coded, of exactly `shape` and `dtype`.

        It takes memory in proportion to that, at most 16 times as much and 4 MiB, whatever the payload claims.

        Raises:
            CodecError: the payload is damaged or is of another shape.
        """


class TabledCodec(Codec):
    """A codec for the codes inside a network that uses what the bundle knows of them.

    Args:
        tables: Of the tensors that cross the cut, in order; None for one of which the bundle knows nothing.
    """

    tabled = True

    def __init__(self, tables: Sequence[TensorTables | None] = ()) -> None:
        self._tables = tuple(tables)

    def suits(self, *, is_input: bool) -> bool:
        """Not at the input: images have codecs of their own."""
        return not is_input

    def with_tables(self, tables: Sequence[TensorTables | None]) -> Codec:
        codec = copy.copy(self)
        codec._tables = tuple(tables)
        return codec

    def of_tensor(self, place: int) -> Codec:
        return self.with_tables(self._tables[place : place + 1]) if len(self._tables) > 1 or place else self

    def _known(self) -> TensorTables | None:
        """The tables of the one tensor that this codec is for."""
        return self._tables[0] if self._tables else None
