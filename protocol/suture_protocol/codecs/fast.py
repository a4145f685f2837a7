"""Lossless at a few nanoseconds a code: entropy coding and hardly any search, as zstd does it when it is asked to."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from numpy.typing import NDArray

from suture_protocol.codecs.base import TabledCodec
from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes, declared_bytes, is_wire_tensor
from suture_protocol.codecs.zstdframe import deflate, inflate

#: Codes repeat little: matches that are found cost more than they save (level 1 as it is ends up to 9 % above the
#: entropy on ResNet-50's deep cuts), so the finder gets the smallest memory and the longest least match there are.
_HARDLY_ANY_SEARCH: Final = {"hash_log": 6, "min_match": 7}
#: Windows worth trying, as logarithms: each block of the frame, at most 128 KB and at most the window, has statistics
#: of its own. On early maps, whose channels differ, smaller blocks save up to 10 %. 0 leaves it to the library.
WINDOW_LOGS: Final = (0, 14, 16)


class LosslessFastCodec(TabledCodec):
    """One zstd frame, about at the order-0 entropy of the codes. The tables name the window; decoding needs none."""

    id: ClassVar[str] = "lossless-fast"

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        return is_wire_tensor(shape, dtype)

    def encode(self, array: NDArray[Any]) -> bytes:
        content = array_to_bytes(array)
        known = self._known()
        return deflate_fast(content, known.window_log if known is not None else 0)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        return array_from_bytes(inflate(payload, declared_bytes(shape, dtype)), shape, dtype)


def deflate_fast(content: bytes, window_log: int) -> bytes:
    """The frame of `content` with one of `WINDOW_LOGS`."""
    return deflate(content, 1, {**_HARDLY_ANY_SEARCH, **({"window_log": window_log} if window_log else {})})
