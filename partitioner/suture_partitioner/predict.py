"""Times of the heads and tails that were not measured, from the engine's own counters and the ones that were.

Each part of a network (the head of a cut, or its tail) is described by a few figures that are known without running it:
the sum of its layers' counters, the values at the cut and those that its layers write; where the engine has no
counters, its arithmetic instead. A fit over the measured cuts turns these into seconds, and what the fit leaves over at
the measured neighbours is taken off, so that a prediction runs through what was measured.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import Cut, GraphNode, Manifest
from suture_partitioner.types import Side

#: What joins the names of the graph's nodes that one layer of an engine computes; behind `#` is the engine's own word.
JOINT: Final = "+"
MARK: Final = "#"
#: Measured cuts per coefficient of the fit: fewer, and the fit follows the noise.
_POINTS_PER_TERM: Final = 3
#: Rounds of the robust fit, and from how many typical deviations on a point loses weight (Huber's constant).
_ROUNDS: Final = 6
_HUBER: Final = 1.345
#: Relative errors below this are timing noise whatever the fit.
_LEAST_SPREAD: Final = 0.005


def part(manifest: Manifest, cut: Cut, side: Side) -> frozenset[str]:
    """Names of the graph's nodes that the head (edge) or the tail (cloud) of `cut` computes."""
    inputs = {node.name: node.inputs for node in manifest.graph}
    boundary = {tensor.name for tensor in cut.boundary}
    if side == "edge":
        return _needed(boundary, inputs, frozenset())
    return _needed({tensor.name for tensor in manifest.outputs} - boundary, inputs, boundary)


def _needed(wanted: Iterable[str], inputs: Mapping[str, tuple[str, ...]], given: Iterable[str]) -> frozenset[str]:
    """The nodes among `inputs` that have to run for `wanted` where `given` is at hand."""
    stack, known, found = list(wanted), set(given), set[str]()
    while stack:
        name = stack.pop()
        if name in known or name not in inputs:
            continue
        known.add(name)
        found.add(name)
        stack.extend(inputs[name])
    return frozenset(found)


def terms(
    manifest: Manifest, cuts: Iterable[Cut], side: Side, layers_s: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """What describes the part of each cut, the most telling figure first; see `predicted`.

    Args:
        manifest: The bundle's.
        cuts: Those to describe.
        side: Which part.
        layers_s: Least seconds of each layer, named after the graph's nodes (see `Head.layer_times_s`); may be empty.
    """
    layers = [(frozenset(layer_nodes(name)), seconds) for name, seconds in layers_s.items()]
    nodes = {node.name: node for node in manifest.graph}
    found: dict[str, tuple[float, ...]] = {}
    for cut in cuts:
        names = part(manifest, cut, side)
        here = [nodes[name] for name in names]
        crossing = cut.bytes_codes / 1e6 if names else 0.0
        written = sum(math.prod(node.shape) for node in here) / 1e6
        constant = float(bool(names))
        if layers:
            counted_s = sum(seconds for held, seconds in layers if held & names)
            found[cut.id] = (counted_s, constant, crossing, written)
        else:
            giga_macs = sum(node.macs for node in here) / 1e9
            found[cut.id] = (giga_macs, written, constant, _small_macs(here), crossing)
    return found


def _small_macs(nodes: Iterable[GraphNode]) -> float:
    """Giga-multiply-accumulates of layers that do few of them per element: depthwise convolutions, which run slower."""
    return sum(n.macs for n in nodes if 0 < n.macs <= 64 * math.prod(n.shape)) / 1e9


def layer_nodes(layer: str) -> tuple[str, ...]:
    """The graph's nodes that a layer named as in `Profile.layers_s` computes."""
    return tuple(layer.partition(MARK)[0].split(JOINT))


def predicted(described: Mapping[str, Sequence[float]], measured_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds for every cut in `described`; what was measured keeps its measured value.

    Args:
        described: Cut → its figures, none negative, all of the same length; all zero for a part without any layer.
        measured_s: Cut → measured seconds; cuts that are not described are not used.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured_s:
        raise ValueError("nothing was measured to predict from")
    rows = {cut: np.asarray(row, dtype=np.float64) for cut, row in described.items()}
    known = [cut for cut in rows if measured_s.get(cut, 0.0) > 0 and rows[cut].any()]
    if not known:
        nearest_s = float(np.median(list(measured_s.values())))
        return {cut: measured_s.get(cut, nearest_s if rows[cut].any() else 0.0) for cut in rows}
    weights = _fitted(np.stack([rows[cut] for cut in known]), np.array([measured_s[cut] for cut in known]))
    model_s = {cut: float(row @ weights) for cut, row in rows.items()}
    corrections = sorted((model_s[cut], measured_s[cut] / model_s[cut]) for cut in known if model_s[cut] > 0)
    return {
        cut: measured_s[cut] if cut in measured_s else seconds * _ratio_at(seconds, corrections)
        for cut, seconds in model_s.items()
    }


def _fitted(rows: NDArray[Any], seconds: NDArray[Any]) -> NDArray[Any]:
    """Coefficients ≥ 0 that make `rows @ coefficients` come near `seconds`, by relative error, robustly."""
    columns = rows.shape[1]
    used = max(1, min(columns, len(seconds) // _POINTS_PER_TERM))
    relative = rows[:, :used] / seconds[:, np.newaxis]
    trust = np.ones(len(seconds))
    found = np.zeros(used)
    for _ in range(_ROUNDS):
        found = _nonnegative(relative * trust[:, np.newaxis], trust)
        off = np.abs(relative @ found - 1)
        spread = max(float(np.median(off)) / 0.6745, _LEAST_SPREAD)
        # Square roots, since a weight goes into both sides of the least squares.
        trust = np.sqrt(np.minimum(1.0, _HUBER * spread / np.maximum(off, 1e-12)))
    return np.concatenate([found, np.zeros(columns - used)])


def _nonnegative(rows: NDArray[Any], wanted: NDArray[Any]) -> NDArray[Any]:
    """Least squares without negative coefficients: the best of all choices of columns, of which there are few."""
    columns = rows.shape[1]
    best, least = np.zeros(columns), float(wanted @ wanted)
    for size in range(1, columns + 1):
        for chosen in itertools.combinations(range(columns), size):
            some = rows[:, chosen]
            found, *_ = np.linalg.lstsq(some, wanted, rcond=None)
            left = some @ found - wanted
            if (found >= 0).all() and left @ left < least:
                best = np.zeros(columns)
                best[list(chosen)] = found
                least = float(left @ left)
    return best


def _ratio_at(seconds: float, corrections: Sequence[tuple[float, float]]) -> float:
    """Measured ÷ fitted at a fitted time, on the line between its measured neighbours; beyond the last, the last's."""
    above = bisect_left(corrections, (seconds, 0.0))
    if above == 0:
        return corrections[0][1] if corrections else 1.0
    if above == len(corrections):
        return corrections[-1][1]
    (low_s, low), (high_s, high) = corrections[above - 1], corrections[above]
    share = (seconds - low_s) / (high_s - low_s) if high_s > low_s else 0.5
    return low + share * (high - low)
