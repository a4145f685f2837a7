"""Codes with a step of their own for each channel, as coarse as the answer stands, behind a trained range coder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import TabledCodec
from suture_protocol.codecs.contexts import can_range_code, decode_codes, encode_codes
from suture_protocol.codecs.layout import declared_bytes, is_wire_tensor
from suture_protocol.codecs.maps import codes_of, points_of
from suture_protocol.codecs.steps import last_symbols, to_codes, to_symbols
from suture_protocol.codecs.tables import NarrowPoint, TensorTables
from suture_protocol.codecs.zstdframe import DEFAULT_LEVEL, deflate, inflate
from suture_protocol.errors import CodecError

#: First byte of a payload: what the symbols were coded with.
_ZSTD: Final = 0
_CONTEXTS: Final = 1
_MOST_POINTS: Final = 255


class NarrowCodec(TabledCodec):
    """Codes at one of the operating points that the bundle holds for the tensors of a cut, `narrow@1` the finest.

    Each channel has a step (`suture_protocol.codecs.steps`), allotted by what the answer loses when the bundle is built
    (`suture_models.tabulate.points`); of a channel that the answer does not depend on nothing crosses. Without tables
    it takes no tensor. Where constriction is not installed symbols go behind zstd.

    Args:
        point: The operating point, from 1.
        tables: Of the tensors that cross the cut.
    """

    id: ClassVar[str] = "narrow"
    lossless = False

    def __init__(self, point: int, tables: Sequence[TensorTables | None] = ()) -> None:
        if not 1 <= point <= _MOST_POINTS:
            raise CodecError(f"narrow: operating point {point}; they count from 1")
        super().__init__(tables)
        self.point = point

    @property
    def spec(self) -> str:
        return f"{self.id}@{self.point}"

    @property
    def config(self) -> Mapping[str, str]:
        return {"point": str(self.point)}

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return dtype == "uint8" and is_wire_tensor(shape, dtype) and self._at(shape) is not None

    def encode(self, array: NDArray[Any]) -> bytes:
        point = self._at(array.shape)
        if point is None or array.dtype != np.uint8:
            raise ValueError(
                f"{self.spec} does not take {array.dtype.name} {array.shape}; it needs the bundle's tables"
            )
        symbols = codes_of(to_symbols(points_of(array), point.channels), array.shape)
        if can_range_code():
            return bytes([_CONTEXTS]) + encode_codes(symbols, point.contexts)
        return bytes([_ZSTD]) + deflate(symbols.tobytes(), DEFAULT_LEVEL)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared = declared_bytes(shape, dtype)
        point = self._at(shape)
        if point is None or dtype != "uint8":
            raise CodecError(f"{self.spec}: the bundle has no such operating point for {dtype} {shape}")
        method, body = (payload[0], memoryview(payload)[1:]) if len(payload) else (-1, memoryview(b""))
        if method == _CONTEXTS:
            symbols = decode_codes(body, shape, point.contexts)
        elif method == _ZSTD:
            symbols = np.frombuffer(inflate(body, declared), np.uint8).reshape(shape)
        else:
            raise CodecError(f"{self.spec} payload has no known method")
        symbols_PC = points_of(symbols)
        if (symbols_PC > last_symbols(point.channels)).any():
            raise CodecError(f"{self.spec}: a symbol is beyond its channel's last")
        return codes_of(to_codes(symbols_PC, point.channels), shape)

    def _at(self, shape: tuple[int, ...]) -> NarrowPoint | None:
        known = self._known()
        if known is None or known.shape != shape or self.point > len(known.points):
            return None
        return known.points[self.point - 1]
