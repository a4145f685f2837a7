"""Time of a layer from what it is: linear regressions by type of layer, as Neurosurgeon fits them (Kang et al., 2017).

The paper times each layer alone. Here the stretches between measured cuts are the observations, each the sum over its
layers, which is the same linear model with fewer rows. Coefficients are kept at or above zero (more work takes no less
time), which also settles those that the rows cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import numpy as np

from suture_models.manifest import GraphNode, Manifest
from suture_simulators.experiments.rivals.costs import SideTimes, scipy_optimize

#: Types whose time follows their multiply-accumulates; of all others it follows the numbers they read and write.
_MULTIPLY: Final = ("conv", "depthwise", "fc", "attention", "recurrent")
_TYPES: Final = (
    ("conv", ("conv",)),
    ("fc", ("linear", "addmm")),
    ("attention", ("matmul", "einsum", "bmm", "scaled_dot_product")),
    ("recurrent", ("lstm", "gru")),
    ("pool", ("pool", "mean")),
    ("norm", ("norm",)),
    ("activation", ("relu", "hardtanh", "silu", "gelu", "sigmoid", "softmax", "tanh", "hardswish")),
    ("join", ("cat", "add", "mul", "sub")),
)


def layer_times(manifest: Manifest, times: SideTimes) -> dict[str, float]:
    """Predicted time of every node, in seconds.

    Raises:
        CapabilityMissing: scipy is not installed.
    """
    shapes = _shapes(manifest)
    features = [_features(node, shapes) for node in manifest.graph]
    names = sorted({name for row in features for name in row})
    columns = np.array([[row.get(name, 0.0) for name in names] for row in features])
    rows = np.array([columns[stretch.start : stretch.end].sum(axis=0) for stretch in times.stretches])
    # Features are of very different sizes; the fit is told apart from their units.
    scale = np.maximum(rows.max(axis=0), 1.0)
    coefficients, _ = scipy_optimize().nnls(rows / scale, np.array([stretch.time_s for stretch in times.stretches]))
    predicted = columns @ (coefficients / scale)
    return {node.name: float(time_s) for node, time_s in zip(manifest.graph, predicted, strict=True)}


def shared_out(manifest: Manifest, times: SideTimes) -> dict[str, float]:
    """Time of every node such that each measured stretch keeps its sum: shared out by what the regression predicts.

    Nodes beyond the measured cuts keep their prediction.

    Raises:
        CapabilityMissing: scipy is not installed.
    """
    found = layer_times(manifest, times)
    for stretch in times.stretches:
        nodes = manifest.graph[stretch.start : stretch.end]
        shares = _shares(nodes, found)
        found |= {node.name: share * stretch.time_s for node, share in zip(nodes, shares, strict=True)}
    return found


def _shares(nodes: Sequence[GraphNode], predicted: Mapping[str, float]) -> list[float]:
    """By prediction; where that is zero throughout by multiply-accumulates; where there are none evenly."""
    for weights in ([predicted[node.name] for node in nodes], [float(node.macs) for node in nodes]):
        if sum(weights) > 0:
            return [weight / sum(weights) for weight in weights]
    return [1 / len(nodes)] * len(nodes)


def _shapes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor; a node that makes a tuple (batch norm) counts as its first input's shape."""
    shapes = {manifest.network.input.name: manifest.network.input.shape}
    for node in manifest.graph:
        shapes[node.name] = node.shape or next((shapes[name] for name in node.inputs if name in shapes), ())
    return shapes


def _features(node: GraphNode, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """What the time of a node depends on, by name, with its type before it; a constant for each type."""
    read = float(sum(prod(shapes.get(name, ())) for name in node.inputs))
    made = float(prod(shapes[node.name]))
    kind = _kind(node, shapes, made)
    if kind == "":
        return {}
    if kind in _MULTIPLY:
        return {f"{kind} macs": float(node.macs), f"{kind} numbers": read + made, f"{kind} layers": 1.0}
    return {f"{kind} numbers": read + made, f"{kind} layers": 1.0}


def _kind(node: GraphNode, shapes: Mapping[str, tuple[int, ...]], made: float) -> str:
    """The node's type; empty for one that only names or reshapes what is there."""
    operation = node.op.removeprefix("aten.").split(".")[0]
    # `pool` and `norm` come within longer names, `conv` at the start of several.
    kind = next((kind for kind, marks in _TYPES if any(mark in operation for mark in marks)), "")
    if kind == "conv":
        channels = shapes.get(node.inputs[0], (1, 1))[1:2] if node.inputs else ()
        # Fewer multiply-accumulates for an output than there are channels to read: a grouped convolution.
        grouped = bool(channels) and node.macs < made * channels[0]
        return "depthwise" if grouped else "conv"
    return kind
