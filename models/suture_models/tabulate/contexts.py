"""Trains `ContextTables`: which classes of channels there are, and how likely each code is in them. Torch-free.

Axes: P points, C channels, K classes, Q contexts; a *row* is one channel of one input.

Classes are found as in k-means, with code length for distance: tables from the rows of each class, rows to the class
that codes them shortest, and again. All draws are seeded, so equal codes give equal tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.contexts import contexts_of, neighbours
from suture_protocol.codecs.maps import grid_of, passes, points_of
from suture_protocol.codecs.tables import SYMBOLS, ContextTables

#: More classes tell channels better apart and have fewer codes each: 16 won on MobileNetV2, 8 and 64 were 0.5 % worse.
_CLASSES: Final = 16
#: Channels of fewer codes are all of one class: to tell theirs would cost more than it saves (5 % of a vector's bytes).
_CLASS_POINTS: Final = 4
#: Bins of the neighbours' sum and spread, for tensors of many codes and of few.
_MANY: Final = 30_000
_BINS_MANY: Final = (10, 3)
_BINS_FEW: Final = (8, 1)
_TURNS: Final = 6
#: Codes of a context weigh as much as so many that its class has in all contexts, those as so many of all classes.
_CONTEXT_PRIOR: Final = 40.0
_CLASS_PRIOR: Final = 64.0
#: Share of probability that is spread evenly: a code never seen costs 17 bits, not all that there are.
_EVEN: Final = 2e-3
_JUMP_PRIOR: Final = 4.0


def train_contexts(
    codes: Sequence[NDArray[np.uint8]], *, searched: int = 1_500_000, counted: int = 6_000_000
) -> ContextTables | None:
    """Tables for a boundary tensor, from its codes for several inputs; None where there is nothing to train from.

    Args:
        codes: uint8, all of one shape with a leading batch axis of 1.
        searched: How many of the codes classes are found with.
        counted: How many the tables are counted from.
    """
    if not codes or not codes[0].size:
        return None
    points = [points_of(one) for one in codes]
    grid = grid_of(codes[0].shape)[1:]
    channels = points[0].shape[1]
    classes = min(_CLASSES, channels) if len(points[0]) >= _CLASS_POINTS else 1
    blank = _blank(points, grid, classes)
    contexts = blank.costs.shape[1]
    rng = np.random.default_rng(0)
    sought = np.concatenate([rows for _, rows in _rows(points, grid, blank, searched, rng)])
    own = _by_level(sought, classes)
    for _ in range(_TURNS):
        costs = _costs(_counts(sought, own, classes, contexts))
        own = _lengths(sought, costs).argmin(axis=0)
    counts = np.zeros((classes, contexts, SYMBOLS))
    found = np.zeros((channels, classes), np.int64)
    for drawn, rows in _rows(points, grid, blank, counted, rng):
        own = _lengths(rows, costs).argmin(axis=0)
        counts += _counts(rows, own, classes, contexts)
        np.add.at(found, (drawn, own), 1)
    home = found.argmax(axis=1).astype(np.uint8)
    return ContextTables(
        home=home,
        jumps=_jumps(found, home),
        sum_bins=blank.sum_bins,
        spread_bins=blank.spread_bins,
        costs=_costs(counts),
    )


def _blank(points: Sequence[NDArray[np.uint8]], grid: tuple[int, int], classes: int) -> ContextTables:
    """Tables with bins and nothing else: each holds about as many codes as the others."""
    sums: list[NDArray[Any]] = [np.zeros(0, np.uint16)]
    spreads: list[NDArray[Any]] = [np.zeros(0, np.uint8)]
    for points_PC in points:
        for one in passes(*grid):
            if one.around is not None:
                step = max(1, points_PC.size // 20_000)
                every_sum, every_spread = neighbours(points_PC, one.around)
                sums.append(every_sum.ravel()[::step])
                spreads.append(every_spread.ravel()[::step])
    by_sum, by_spread = _BINS_MANY if points[0].size >= _MANY else _BINS_FEW
    sum_bins = _bins(np.concatenate(sums), by_sum).astype(np.uint16)
    spread_bins = _bins(np.concatenate(spreads), by_spread).astype(np.uint8)
    contexts = 1 + (len(sum_bins) + 1) * (len(spread_bins) + 1)
    return ContextTables(
        home=np.zeros(points[0].shape[1], np.uint8),
        jumps=np.zeros((classes, classes), np.uint8),
        sum_bins=sum_bins,
        spread_bins=spread_bins,
        costs=np.zeros((classes, contexts, SYMBOLS), np.uint8),
    )


def _bins(values: NDArray[Any], number: int) -> NDArray[np.int64]:
    """The lower ends of all bins but the first, where values are shared out evenly among them."""
    if not values.size:
        return np.zeros(0, np.int64)
    ends = np.unique(np.quantile(values, np.linspace(0, 1, number + 1)[1:-1]).astype(np.int64))
    return ends[ends > 0]


def _rows(
    points: Sequence[NDArray[np.uint8]],
    grid: tuple[int, int],
    tables: ContextTables,
    most: int,
    rng: np.random.Generator,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Per input the channels drawn and their rows: context x 256 + code at each point, at most `most` codes in all."""
    walk = tuple(passes(*grid))
    at = np.concatenate([one.at for one in walk])
    for points_PC in points:
        count, channels = points_PC.shape
        wanted = min(channels, max(1, most // (len(points) * count)))
        drawn = np.sort(rng.choice(channels, wanted, replace=False))
        part = np.ascontiguousarray(points_PC[:, drawn])
        contexts = np.concatenate([contexts_of(part, one, tables) for one in walk])
        yield drawn, np.ascontiguousarray((contexts.astype(np.intp) * SYMBOLS + part[at]).T)


def _by_level(rows: NDArray[np.intp], classes: int) -> NDArray[np.intp]:
    """Classes to begin with: rows in order of their mean code, in equal parts."""
    means = (rows % SYMBOLS).mean(axis=1)
    order = np.empty(len(rows), np.intp)
    order[np.argsort(means, kind="stable")] = np.arange(len(rows))
    return order * classes // len(rows)


def _counts(rows: NDArray[np.intp], own: NDArray[np.intp], classes: int, contexts: int) -> NDArray[np.float64]:
    """How often each code stands in each context of each class (K, Q, 256)."""
    shape = (classes, contexts, SYMBOLS)
    counts = [np.bincount(rows[own == one].ravel(), minlength=contexts * SYMBOLS) for one in range(classes)]
    return np.stack(counts).reshape(shape).astype(np.float64)


def _costs(counts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Counts as costs: a context that was seen seldom takes after its class, a class after the tensor."""
    every = counts.sum(axis=(0, 1)) + 0.5
    of_class = counts.sum(axis=1) + _CLASS_PRIOR * every / every.sum()
    of_class /= of_class.sum(axis=1, keepdims=True)
    shares = counts + _CONTEXT_PRIOR * of_class[:, np.newaxis]
    shares /= shares.sum(axis=2, keepdims=True)
    return _as_costs((1 - _EVEN) * shares + _EVEN / SYMBOLS)


def _as_costs(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    costs: NDArray[np.uint8] = np.clip(np.rint(-8 * np.log2(shares)), 0, 255).astype(np.uint8)
    return costs


def _lengths(rows: NDArray[np.intp], costs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What each row takes in each class (K, rows), in eighths of a bit."""
    return np.stack([one[rows].sum(axis=1, dtype=np.int64) for one in costs.reshape(len(costs), -1)])


def _jumps(found: NDArray[np.int64], home: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The cost of each class for channels at home in another, from how often channels (C, K) were in each."""
    classes = found.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, home, found)
    every = counts.sum(axis=0) + 1
    shares = counts + _JUMP_PRIOR * every / every.sum()
    return _as_costs(shares / shares.sum(axis=1, keepdims=True))
