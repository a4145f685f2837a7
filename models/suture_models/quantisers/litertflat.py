"""LiteRT's flat buffers, read and changed as objects: corrected biases, and what is to stay in float. Build only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_models.quantisers.rounding import Shift, matching


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """A convolution or linear layer with its constants; `rows` are its weights, one row per output channel."""

    output: str
    rows: NDArray[np.float32]
    bias: Any


def last_layer(float_path: Path) -> str | None:
    """Name of the network's output tensor where a linear layer computes it; None where something else does."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(float_path))
    graph = model.subgraphs[0]
    outputs = {graph.tensors[index].name.decode() for index in graph.outputs}
    return next((layer.output for layer in _layers(model) if layer.output in outputs), None)


def with_corrected_biases(float_path: Path, shifts: Sequence[Shift], kept: str | None) -> bytearray:
    """The float flat buffer with each layer's output shift taken off its bias, to be quantised; not layer `kept`'s."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(float_path))
    for layer in _layers(model):
        shift = matching(shifts, layer.rows) if layer.output != kept else None
        if shift is not None:
            bias = np.frombuffer(bytes(layer.bias.data), dtype=np.float32) - shift
            layer.bias.data = np.frombuffer(bias.tobytes(), dtype=np.uint8)
    return bytearray(flatbuffer_utils.convert_object_to_bytearray(model))


def recipe(kept: str | None) -> list[dict[str, Any]]:
    """INT8 weights per channel and activations per tensor for all but the network's input and the layer `kept`.

    The input crosses no cut and comes as it was read. The last layer's outputs would be clipped to the range of the
    calibration inputs' logits; the layer is a small part of any network.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer import recipe as recipes
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    manager.load_quantization_recipe(recipes.static_wi8_ai8())
    ops = qtyping.TFLOperationName
    manager.add_quantization_config(".*", ops.INPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if kept is not None:
        manager.add_quantization_config(
            f"^{re.escape(kept)};$", ops.FULLY_CONNECTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
        manager.add_quantization_config(".*", ops.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return list(manager.get_quantization_recipe())


def _layers(model: Any) -> Iterator[_Layer]:
    """Layers of the main graph whose weights and biases are constants that no other operator reads."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    graph = model.subgraphs[0]
    kinds = (BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D, BuiltinOperator.FULLY_CONNECTED)
    for operator in graph.operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        if kind not in kinds or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        weights, bias = (graph.tensors[index] for index in operator.inputs[1:3])
        data, biases = model.buffers[weights.buffer].data, model.buffers[bias.buffer]
        readers = sum(list(other.inputs).count(operator.inputs[2]) for other in graph.operators)
        if data is None or biases.data is None or readers != 1:
            continue
        array = np.frombuffer(bytes(data), dtype=np.float32).reshape(tuple(weights.shape))
        if array.ndim == 4:  # OHWI, or 1HWO where each channel is convolved on its own
            array = array.transpose((3, 0, 1, 2) if kind == BuiltinOperator.DEPTHWISE_CONV_2D else (0, 3, 1, 2))
        rows = array.reshape(len(array), -1)
        yield _Layer(output=graph.tensors[operator.outputs[0]].name.decode(), rows=rows, bias=biases)
