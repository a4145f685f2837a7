"""Ending an ONNX graph in codes at a cut. Torch-free: the edge does this with the artefact of its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from suture_models.manifest import QuantParams
from suture_protocol.errors import BundleError


def end_in_codes(model: Any, names: Sequence[str], quant: Sequence[QuantParams | None]) -> list[str]:
    """Names of the tensors a head should end in: each boundary tensor's codes where it has a quantiser.

    Where the graph itself quantises the tensor, that node's output is taken; elsewhere a QuantizeLinear is added.

    Args:
        model: An ONNX model with inferred shapes; nodes are added to it.
        names: ONNX names of the boundary tensors.
        quant: One quantiser per name, or None to give the tensor as it is.

    Raises:
        BundleError: the model has no such tensor.
    """
    made = {output for node in model.graph.node for output in node.output}
    ends = []
    for name, params in zip(names, quant, strict=True):
        if name not in made:
            raise BundleError(f"the ONNX artefact has no tensor {name!r}; build the bundle again")
        if params is None:
            ends.append(name)
        else:
            ends.append(quantised_name(model, name) if params.origin == "graph" else _quantise(model, name, params))
    return ends


def quantised_name(model: Any, name: str) -> str:
    """Output of the QuantizeLinear that reads tensor `name`.

    Raises:
        BundleError: nothing quantises that tensor.
    """
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] == name:
            return str(node.output[0])
    raise BundleError(f"the ONNX artefact does not quantise {name!r}; build the bundle again")


def _quantise(model: Any, name: str, params: QuantParams) -> str:
    """Adds a per-tensor quantiser; a calibrated one has a whole code for 0, which is ONNX's zero point."""
    zero_point = np.clip(np.rint(-params.offset[0] / params.scale[0]), 0, params.levels - 1)
    constants = {"scale": np.float32(params.scale[0]), "zero_point": np.uint8(zero_point)}
    inputs = [name]
    for role, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}/cut_{role}"))
        inputs.append(f"{name}/cut_{role}")
    end = f"{name}/cut_codes"
    shape = next((v.type.tensor_type.shape for v in model.graph.value_info if v.name == name), None)
    model.graph.node.append(helper.make_node("QuantizeLinear", inputs, [end], name=end))
    sizes = None if shape is None else [d.dim_value for d in shape.dim]
    model.graph.value_info.append(helper.make_tensor_value_info(end, TensorProto.UINT8, sizes))
    return end
