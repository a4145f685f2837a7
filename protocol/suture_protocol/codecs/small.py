"""Lossless in the fewest bytes: of zstd's top level, JPEG-LS and a trained range coder whichever gives the least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.base import TabledCodec
from suture_protocol.codecs.contexts import can_range_code, decode_codes, encode_codes
from suture_protocol.codecs.jpeglsstream import can_jpegls, decode_planes, encode_planes
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.codecs.maps import tiled, tiled_shape, untiled
from suture_protocol.codecs.tables import METHODS, ContextTables, Method, TensorTables
from suture_protocol.codecs.zstdframe import TOP_LEVEL, deflate, inflate
from suture_protocol.errors import CodecError

_CODE_BITS: Final = 8
_COLUMN: Final = "jpegls-column"
#: zstd's top level comes within 1-2 % of the entropy on nearly all codes, and takes ten times as long as the others.
_SUSPECT: Final = 1.005


class LosslessSmallCodec(TabledCodec):
    """A byte for the method, then what it wrote.

    `zstd` takes any tensor; `jpegls` uint8 maps as one picture about square, `jpegls-column` in one column; `contexts`
    codes for which the bundle has tables. Where the bundle says which methods are worth trying, only those are, and
    zstd where they do not come below the entropy of the codes. A method whose library is missing is left out; zstd is
    always there.
    """

    id: ClassVar[str] = "lossless-small"

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_wire_tensor(shape, dtype)

    def encode(self, array: NDArray[Any]) -> bytes:
        content = array_to_bytes(array)  # refuses what no wire carries
        known = self._of(array.shape)
        methods: Sequence[Method] = ("zstd", "jpegls") if known is None else known.methods
        contexts = None if known is None else known.contexts
        found = [body for method in methods if (body := _written(method, array, content, contexts)) is not None]
        if "zstd" not in methods and (not found or len(min(found, key=len)) > _SUSPECT * entropy_bytes(content)):
            # Codes of another kind than those that the tables and the choice of methods come from.
            found.append(_tagged("zstd", deflate(content, TOP_LEVEL)))
        return min(found, key=len)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        declared = declared_bytes(shape, dtype)
        if not len(payload) or payload[0] >= len(METHODS):
            raise CodecError(f"{self.id} payload has no known method")
        method, body = METHODS[payload[0]], memoryview(payload)[1:]
        if method == "zstd":
            return array_from_bytes(inflate(body, declared), shape, dtype)
        if dtype != "uint8":
            raise CodecError(f"{self.id}: {method} carries uint8 codes, the tensor's header says {dtype}")
        if method != "contexts":
            return _from_picture(bytes(body), shape, column=method == _COLUMN)
        known = self._of(shape)
        if known is None or known.contexts is None:
            raise CodecError(f"{self.id}: the bundle has no tables for a tensor of shape {shape}; build it again")
        return decode_codes(body, shape, known.contexts)

    def _of(self, shape: tuple[int, ...]) -> TensorTables | None:
        known = self._known()
        return known if known is not None and known.shape == shape else None


def entropy_bytes(content: bytes) -> float:
    """The order-0 entropy of bytes: what they take with the best code that knows only how often each value occurs."""
    counts = np.bincount(np.frombuffer(content, np.uint8), minlength=1)
    counts = counts[counts > 0]
    return float((counts * (np.log2(counts.sum()) - np.log2(counts))).sum()) / 8


def written_sizes(codes: NDArray[np.uint8], contexts: ContextTables | None) -> dict[Method, int]:
    """The size of what each method would write for `codes`, those left out that cannot; for training."""
    content = array_to_bytes(codes)
    bodies = {method: _written(method, codes, content, contexts) for method in METHODS}
    return {method: len(body) for method, body in bodies.items() if body is not None}


def _written(method: Method, array: NDArray[Any], content: bytes, contexts: ContextTables | None) -> bytes | None:
    """The payload by one method; None where it does not take the tensor, or its library is not installed."""
    if method == "zstd":
        return _tagged(method, deflate(content, TOP_LEVEL))
    if array.dtype != np.uint8 or not array.size:
        return None
    if method != "contexts":
        picture = tiled(array, column=method == _COLUMN) if can_jpegls() else None
        body = None if picture is None else encode_planes(picture, _CODE_BITS, 0)
        return None if body is None else _tagged(method, body)
    if contexts is None or not can_range_code():
        return None
    return _tagged(method, encode_codes(array, contexts))


def _tagged(method: Method, body: bytes) -> bytes:
    return bytes([METHODS.index(method)]) + body


def _from_picture(body: bytes, shape: tuple[int, ...], *, column: bool) -> NDArray[Any]:
    wanted = tiled_shape(shape, column=column)
    if wanted is None:
        raise CodecError(f"JPEG-LS carries no codes of shape {shape}")
    picture, _ = decode_planes(body, wanted, _CODE_BITS, 0)
    return untiled(picture, shape, column=column).astype(np.uint8, copy=False)
