"""ONNX Runtime artefacts: the whole network once in float and once in INT8 (QDQ) per processor class."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from suture_models.manifest import ProcessorClass, QuantParams, TensorSpec
from suture_models.quantisers.rounding import Grid, Shift, matching

#: How weights are rounded per processor class. Kernels without 8-bit dot products widen unsigned weights before they
#: add, while those for signed weights saturate.
GRIDS: dict[ProcessorClass, Grid] = {"vnni": "int8", "plain": "uint8"}


def prepare(source: Path, target: Path) -> None:
    """Writes `source` with inferred shapes, which extraction needs, and without its exporter's notes.

    The notes hold stack traces with paths, so that equal networks would differ from checkout to checkout.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(source))
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, target)


def quantise(
    source: Path, target: Path, inputs: Sequence[NDArray[Any]], shifts: Sequence[Shift], processor: ProcessorClass
) -> None:
    """INT8 of the whole network: static, QDQ, per-channel weights, uint8 activations.

    `shifts` are those of the network's layers on the grid of `processor`; they are taken off the biases.
    """
    from onnxruntime import quantization as ortq
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(source)
    name = model.graph.input[0].name
    folded = target.with_suffix(".pre.onnx")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        _correct_biases(folded, shifts)
        ortq.quantize_static(
            str(folded),
            str(target),
            _Reader(name, inputs),
            quant_format=ortq.QuantFormat.QDQ,
            per_channel=True,
            activation_type=ortq.QuantType.QUInt8,
            weight_type=ortq.QuantType.QUInt8 if GRIDS[processor] == "uint8" else ortq.QuantType.QInt8,
        )
    finally:
        root.setLevel(level)
        folded.unlink(missing_ok=True)
    quantised = onnx.load(target)
    _free_outputs(quantised)
    onnx.save(onnx.shape_inference.infer_shapes(quantised), target)


def _correct_biases(path: Path, shifts: Sequence[Shift]) -> None:
    """Takes each layer's output shift off its bias, where both its weights and its bias are constants of its own."""
    model = onnx.load(path)
    constants = {i.name: i for i in model.graph.initializer}
    uses = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3:
            continue
        weight, bias = constants.get(node.input[1]), constants.get(node.input[2])
        if weight is None or bias is None or uses[bias.name] > 1:
            continue
        array = numpy_helper.to_array(weight)
        turned = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
        shift = matching(shifts, array.T if turned else array.reshape(len(array), -1))
        if shift is not None:
            bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - shift, bias.name))
    onnx.save(model, path)


def _free_outputs(model: Any) -> None:
    """Takes the quantisers off the network's outputs, in place: nothing computes with those codes.

    Their range is that of the calibration inputs' logits, and would clip the logits of others.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    for output in model.graph.output:
        dequantise = makers.get(output.name)
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        quantise = makers.get(dequantise.input[0])
        if quantise is None or quantise.op_type != "QuantizeLinear":
            continue
        maker = makers.get(quantise.input[0])
        readers = [node for node in model.graph.node if quantise.output[0] in node.input]
        if maker is None or len(readers) != 1:
            continue
        maker.output[list(maker.output).index(quantise.input[0])] = output.name
        model.graph.node.remove(quantise)
        model.graph.node.remove(dequantise)


def graph_quantisers(path: Path, tensors: Sequence[TensorSpec]) -> dict[str, QuantParams]:
    """The INT8 network's own quantiser of each tensor that is read through just one."""
    model = onnx.load(path)
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    found: dict[str, QuantParams] = {}
    for tensor in tensors:
        readers = [n for n in model.graph.node if tensor.name in n.input]
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            continue
        scale = np.asarray(constants[readers[0].input[1]], dtype=np.float64).ravel()
        zero = np.asarray(constants[readers[0].input[2]]).ravel()
        if scale.size == 1 and zero.dtype == np.uint8:
            offset = float(np.float32(-float(zero[0]) * scale[0]))
            found[tensor.name] = QuantParams(scale=(float(scale[0]),), offset=(offset,), origin="graph")
    return found


class _Reader:
    """Calibration inputs in the form that ONNX Runtime's quantiser reads."""

    def __init__(self, name: str, inputs: Sequence[NDArray[Any]]) -> None:
        self._name = name
        self._inputs: Iterator[NDArray[Any]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next input, or None when all have been given."""
        array = next(self._inputs, None)
        return None if array is None else {self._name: array}
