"""Which nodes of the bundle's graph each layer of a compiled OpenVINO model computes."""

from __future__ import annotations

from collections.abc import Set
from typing import Any


def layer_names(compiled: Any, model: Any, graph: Set[str]) -> dict[str, str]:
    """OpenVINO's name of each layer → its name as `Head.layer_times_s` promises.

    The compiled model says of each layer which operations were fused into it; those operations' tensors carry the names
    of the graph's nodes, which came through ONNX and NNCF unchanged. Operations that these or OpenVINO added are called
    after the one they belong to, with a suffix behind a slash.

    Args:
        compiled: A compiled model.
        model: What it was compiled from.
        graph: Names of the graph's nodes.
    """
    of_operation: dict[str, list[str]] = {}
    for operation in model.get_ordered_ops():
        names = [name for output in operation.outputs() for name in sorted(output.get_names()) if name in graph]
        if names:
            of_operation[operation.get_friendly_name()] = names
    layers = list(compiled.get_runtime_model().get_ordered_ops())
    readers: dict[str, list[str]] = {}
    for layer in layers:
        for port in layer.inputs():
            readers.setdefault(port.get_source_output().get_node().get_friendly_name(), []).append(
                layer.get_friendly_name()
            )
    own = {layer.get_friendly_name(): _fused(layer, of_operation) for layer in layers}
    return {name: f"{'+'.join(_served(name, own, readers))}#{name}" for name in own}


def _fused(layer: Any, of_operation: dict[str, list[str]]) -> list[str]:
    info = layer.get_rt_info()
    if "originalLayersNames" not in info:
        return []
    operations = info["originalLayersNames"].astype(str).split(",")
    found = (name for operation in operations for name in of_operation.get(operation.split("/")[0], []))
    return list(dict.fromkeys(found))


def _served(layer: str, own: dict[str, list[str]], readers: dict[str, list[str]]) -> list[str]:
    """The layer's own nodes, or else those of the nearest layer that reads what it makes."""
    queue, seen = [layer], set[str]()
    for name in queue:
        if own.get(name):
            return own[name]
        queue += [reader for reader in readers.get(name, []) if reader not in seen]
        seen.update(readers.get(name, []))
    return []
