"""Codes seen as maps: channels on a grid, walked from coarse to fine so that later codes have known neighbours.

Axes: P grid points (H x W of them, row by row), C channels. Knows no codec and no tables.

The walk is that of interlaced pictures: a coarse lattice first, then the points in the middle of its squares, then
those in the middle of their sides, and again with half the spacing. A code that is not on the coarse lattice so has
four neighbours on all sides that are known before it, which tell more of it than those above and to the left do in a
walk row by row; and all points of a pass can be looked up at once, which Python needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Spacing of the coarse lattice: a 64th of the points have no known neighbours.
_COARSEST: Final = 8
#: Points of a pass, at most: a longer one is cut, which bounds what is worked out for each point, some 100 bytes.
MOST_POINTS: Final = 1 << 15
#: Grids up to which walks are kept, many and few of them: 40 bytes for each point, 32 MB in all.
_MANY_KEPT: Final = 1 << 14
_FEW_KEPT: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pass:
    """Points that are coded together. `around` (4, n) are their neighbours, None where none is known yet."""

    at: NDArray[np.intp]
    around: NDArray[np.intp] | None


def grid_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of the map that a boundary tensor of `shape` (batch 1) is.

    Axis 1 are the channels of maps and volumes, whose slices lie below each other; the last axis those of a sequence;
    a vector is one point of many channels.
    """
    if len(shape) >= 4:
        return shape[1], math.prod(shape[2:-1]), shape[-1]
    if len(shape) == 3:
        return shape[2], shape[1], 1
    return math.prod(shape), 1, 1


def points_of(codes: NDArray[Any]) -> NDArray[Any]:
    """The (P, C) view of codes with a leading batch axis of 1, contiguous."""
    channels, height, width = grid_of(codes.shape)
    if codes.ndim >= 4:
        return np.ascontiguousarray(codes.reshape(channels, height * width).T)
    return np.ascontiguousarray(codes.reshape(height * width, channels))


def codes_of(points_PC: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """What `points_of` was given, contiguous."""
    if len(shape) >= 4:
        return np.ascontiguousarray(points_PC.T).reshape(shape)
    return points_PC.reshape(shape)


def passes(height: int, width: int) -> Iterable[Pass]:
    """The walk over a grid: each point is in exactly one pass, its neighbours in earlier ones.

    The walk over a small grid is kept; that over a large one is made anew, pass by pass, for it takes several times the
    memory of the codes where channels are few.
    """
    points = height * width
    if points <= _MANY_KEPT:
        return _one_of_many(height, width)
    return _one_of_few(height, width) if points <= _FEW_KEPT else _walk(height, width)


def _walk(height: int, width: int) -> Iterator[Pass]:
    spacing = 1
    while spacing < _COARSEST and 2 * spacing < max(height, width):
        spacing *= 2
    rows, columns = np.arange(height), np.arange(width)
    for at in _parts([_points(rows[::spacing], columns[::spacing], width)]):
        yield Pass(at=at, around=None)
    while spacing > 1:
        half = spacing // 2
        middle = _points(rows[half::spacing], columns[half::spacing], width)
        for at in _parts([middle]):
            yield _pass(at, ((-half, -half), (-half, half), (half, -half), (half, half)), height, width)
        sides = [
            _points(rows[::spacing], columns[half::spacing], width),
            _points(rows[half::spacing], columns[::spacing], width),
        ]
        for at in _parts(sides):
            yield _pass(at, ((0, -half), (0, half), (-half, 0), (half, 0)), height, width)
        spacing = half


def _whole_walk(height: int, width: int) -> tuple[Pass, ...]:
    return tuple(_walk(height, width))


_one_of_many = lru_cache(maxsize=32)(_whole_walk)
_one_of_few = lru_cache(maxsize=4)(_whole_walk)


def _points(rows: NDArray[Any], columns: NDArray[Any], width: int) -> NDArray[np.int32]:
    """The places of a lattice's points, row by row."""
    places: NDArray[np.int32] = (rows[:, None] * width + columns[None, :]).astype(np.int32).ravel()
    return places


def _parts(lattices: list[NDArray[np.int32]]) -> Iterator[NDArray[np.intp]]:
    """The places of all lattices, one behind the other, in parts that are not too long; none where there is none."""
    places = lattices[0] if len(lattices) == 1 else np.concatenate(lattices)
    for first in range(0, places.size, MOST_POINTS):
        yield places[first : first + MOST_POINTS].astype(np.intp)


def _pass(at: NDArray[np.intp], steps: tuple[tuple[int, int], ...], height: int, width: int) -> Pass:
    """Points with their neighbours; one that would lie outside is replaced by that across."""
    row, column = np.divmod(at, width)
    around = np.empty((len(steps), at.size), np.intp)
    for place, (down, right) in enumerate(steps):
        y, x = _inside(row, down, height), _inside(column, right, width)
        # A grid of one row or column has neighbours along the other axis only.
        across = (y < 0) | (x < 0)
        around[place] = np.where(across, -1, y * width + x)
    for place in range(len(steps)):
        lost = around[place] < 0
        around[place][lost] = around[(place + 2) % 4][lost]
    return Pass(at=at, around=around)


def _inside(places: NDArray[Any], step: int, size: int) -> NDArray[Any]:
    """`places` moved by `step`, or by as much the other way where that is outside; -1 where both are."""
    there, back = places + step, places - step
    return np.where((there >= 0) & (there < size), there, np.where((back >= 0) & (back < size), back, -1))


def tiled(codes: NDArray[Any], *, column: bool) -> NDArray[Any] | None:
    """Maps as one (1, H, W) picture; None where there are none, or no picture holds them.

    In one column, or side by side and about square: which is smaller in the end depends on how alike maps are that
    touch, and on how much of each lies at a border.
    """
    found = _tiles(codes.shape, column=column)
    if found is None:
        return None
    maps, rows, columns, height, width = found
    padded = np.zeros((rows * columns, height, width), codes.dtype)
    padded[:maps] = codes.reshape(maps, height, width)
    tiles = padded.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles.reshape(1, rows * height, columns * width))


def tiled_shape(shape: tuple[int, ...], *, column: bool) -> tuple[int, int, int] | None:
    """The shape of what `tiled` gives."""
    found = _tiles(shape, column=column)
    return None if found is None else (1, found[1] * found[3], found[2] * found[4])


def untiled(picture_1HW: NDArray[Any], shape: tuple[int, ...], *, column: bool) -> NDArray[Any]:
    """The codes of `shape` that `tiled` made a picture of."""
    found = _tiles(shape, column=column)
    if found is None:
        raise ValueError(f"a tensor of shape {shape} is no picture")
    maps, rows, columns, height, width = found
    tiles = picture_1HW.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles.reshape(rows * columns, height, width)[:maps]).reshape(shape)


def _tiles(shape: tuple[int, ...], *, column: bool) -> tuple[int, int, int, int, int] | None:
    """Number of maps, rows and columns of tiles, height and width of a tile."""
    if len(shape) < 3 or 0 in shape:
        return None
    height, width = shape[-2:]
    maps = math.prod(shape[:-2])
    columns = 1 if column else min(maps, max(1, round(math.sqrt(maps * height / width))))
    rows = -(-maps // columns)
    longest = 65_535
    return None if max(rows * height, columns * width) > longest else (maps, rows, columns, height, width)
