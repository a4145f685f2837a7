"""Codes to bytes and back with `ContextTables`: a range coder whose probabilities follow a code's known neighbours.

Axes: P points, C channels, K classes, Q contexts, n codes of one pass. The range coder is that of `constriction`
(Bamler 2022, arXiv:2201.01741); where it is not installed nothing here can be used.

The stream: each channel's class, then the codes pass by pass (`suture_protocol.codecs.maps`), within a pass by class
and context. All arithmetic that both sides must agree on is done in whole numbers.
"""

from __future__ import annotations

import zlib
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.maps import Pass, codes_of, grid_of, passes, points_of
from suture_protocol.codecs.tables import MOST_SUM, SYMBOLS, ContextTables
from suture_protocol.errors import CodecError

_CHECK_BYTES: Final = 2
#: 2^24 x 2^(-i / 8): the fractions of costs, as constants so that no two machines can round them differently.
_FRACTIONS: Final = (16777216, 15384775, 14107901, 12937002, 11863283, 10878679, 9975792, 9147842)
#: The frequency that a cost stands for, never 0. The library adds up a model's: 256 of them are exact in float64, while
#: in float32 what is lost can leave the last code no probability at all, and then it cannot be encoded.
_FREQUENCIES: Final = np.array([max(1, _FRACTIONS[cost % 8] >> (cost // 8)) for cost in range(256)], np.float64)


@cache
def can_range_code() -> bool:
    """Whether the library is here."""
    return find_spec("constriction") is not None


def encode_codes(codes: NDArray[np.uint8], tables: ContextTables) -> bytes:
    """`encode_points` of a tensor's codes, behind 16 bits of their CRC-32.

    Codes that are decoded with other tables look as good as the right ones.
    """
    return _check(codes) + encode_points(points_of(codes), grid_of(codes.shape)[1:], tables)


def decode_codes(body: bytes | memoryview, shape: tuple[int, ...], tables: ContextTables) -> NDArray[np.uint8]:
    """What `encode_codes` was given, contiguous; `tables` are those of a tensor of this shape.

    Raises:
        CodecError: constriction is not installed, the stream is damaged, or it was written with other tables.
    """
    if not can_range_code():
        raise CodecError("a range-coded payload needs constriction: pip install 'suture[cloud]'")
    codes = codes_of(decode_points(body[_CHECK_BYTES:], grid_of(shape)[1:], tables), shape)
    if _check(codes) != body[:_CHECK_BYTES]:
        raise CodecError("range-coded codes are not those that were sent: the payload is damaged, or the tables differ")
    return codes


def encode_points(points_PC: NDArray[np.uint8], grid: tuple[int, int], tables: ContextTables) -> bytes:
    """The stream of codes; whole 32-bit words, little-endian.

    Args:
        points_PC: Codes, as many channels as the tables have.
        grid: Height and width; P is their product.
        tables: What both sides know.
    """
    import constriction

    walk = tuple(passes(*grid))
    contexts = [contexts_of(points_PC, one, tables) for one in walk]
    classes = _best_classes(points_PC, walk, contexts, tables)
    encoder = constriction.stream.queue.RangeEncoder()
    for home, channels in _by_home(tables):
        encoder.encode(classes[channels].astype(np.int32), _model(tables, "jumps", home))
    for one, context in zip(walk, contexts, strict=True):
        order, groups = _grouped(context, classes, tables)
        symbols = points_PC[one.at].ravel()[order].astype(np.int32)
        for group, first, end in groups:
            encoder.encode(symbols[first:end], _model(tables, "costs", group))
    words: NDArray[np.uint32] = encoder.get_compressed()
    return words.astype("<u4", copy=False).tobytes()


def decode_points(stream: bytes | memoryview, grid: tuple[int, int], tables: ContextTables) -> NDArray[np.uint8]:
    """The (P, C) codes of a stream.

    Raises:
        CodecError: the stream is not of whole words, impossible with these tables, or goes on behind the last code.
    """
    import constriction

    if len(stream) % 4:
        raise CodecError(f"a range-coded stream has whole 32-bit words, not {len(stream)} bytes")
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(stream, "<u4").astype(np.uint32))
    points_PC = np.zeros((grid[0] * grid[1], len(tables.home)), np.uint8)
    classes = np.zeros(len(tables.home), np.intp)
    try:
        for home, channels in _by_home(tables):
            classes[channels] = decoder.decode(_model(tables, "jumps", home), len(channels))
        for one in passes(*grid):
            order, groups = _grouped(contexts_of(points_PC, one, tables), classes, tables)
            symbols = np.empty(order.size, np.uint8)
            for group, first, end in groups:
                symbols[order[first:end]] = decoder.decode(_model(tables, "costs", group), end - first)
            points_PC[one.at] = symbols.reshape(one.at.size, -1)
        if not decoder.maybe_exhausted():
            raise CodecError("a range-coded stream goes on behind its last code, or was changed")
    except AssertionError as error:  # how the library says that a stream is impossible
        raise CodecError(f"a range-coded stream is damaged: {error}") from error
    return points_PC


def contexts_of(points_PC: NDArray[np.uint8], one: Pass, tables: ContextTables) -> NDArray[np.uint16]:
    """The (n, C) contexts of the codes of a pass; all earlier passes' codes must be known."""
    if one.around is None:
        return np.zeros((one.at.size, points_PC.shape[1]), np.uint16)
    sums, spreads = neighbours(points_PC, one.around)
    by_sum = np.searchsorted(tables.sum_bins, np.arange(MOST_SUM + 1), side="right").astype(np.uint16)
    by_spread = np.searchsorted(tables.spread_bins, np.arange(SYMBOLS), side="right").astype(np.uint16)
    return by_sum[sums] * np.uint16(len(tables.spread_bins) + 1) + by_spread[spreads] + np.uint16(1)


def neighbours(points_PC: NDArray[np.uint8], around: NDArray[np.intp]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Sum of the four neighbours and the difference between the largest and the least, both (n, C)."""
    four = [points_PC[places] for places in around]
    sums = four[0].astype(np.uint16)
    for one in four[1:]:
        sums += one
    most, least = (np.maximum, np.minimum)
    spread = most(most(four[0], four[1]), most(four[2], four[3]))
    spread -= least(least(four[0], four[1]), least(four[2], four[3]))
    return sums, spread


def _check(codes: NDArray[np.uint8]) -> bytes:
    return zlib.crc32(codes.tobytes()).to_bytes(4, "little")[:_CHECK_BYTES]


def _best_classes(
    points_PC: NDArray[np.uint8], walk: tuple[Pass, ...], contexts: list[NDArray[np.uint16]], tables: ContextTables
) -> NDArray[np.intp]:
    """For each channel the class that codes it shortest, its own cost included."""
    at = np.concatenate([one.at for one in walk])
    joint = np.concatenate(contexts).astype(np.intp) * SYMBOLS + points_PC[at]
    total = tables.jumps[tables.home].astype(np.int64).T
    for row, costs in enumerate(tables.costs.reshape(len(tables.costs), -1)):
        total[row] += costs[joint].sum(axis=0, dtype=np.int64)
    best: NDArray[np.intp] = total.argmin(axis=0)
    return best


def _by_home(tables: ContextTables) -> list[tuple[int, NDArray[np.intp]]]:
    """Channels by the class they are at home in; none where there is but one class and nothing to tell."""
    if len(tables.costs) == 1:
        return []
    return [(int(home), np.flatnonzero(tables.home == home)) for home in np.unique(tables.home)]


def _grouped(
    contexts: NDArray[np.uint16], classes: NDArray[np.intp], tables: ContextTables
) -> tuple[NDArray[np.intp], list[tuple[int, int, int]]]:
    """The order of a pass's codes by class and context, and each group's number with where it begins and ends."""
    quantity = tables.costs.shape[1]
    numbers = (contexts + (classes * quantity).astype(np.uint16)).ravel()
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=1)
    ends = np.cumsum(counts)
    return order, [(int(n), int(ends[n] - counts[n]), int(ends[n])) for n in np.flatnonzero(counts)]


def _model(tables: ContextTables, kind: str, row: int) -> Any:
    """The library's model of a row of `jumps`, or of `costs` seen as (K x Q, 256); kept with the tables."""
    model = tables.models.get((kind, row))
    if model is None:
        import constriction

        costs = tables.jumps[row] if kind == "jumps" else tables.costs.reshape(-1, SYMBOLS)[row]
        model = constriction.stream.model.Categorical(_FREQUENCIES[costs], perfect=False)
        tables.models[kind, row] = model
    return model
