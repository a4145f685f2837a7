"""Cutting an OpenVINO model by tensor names. Torch-free: the edge does this with the artefact of its bundle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from suture_models.manifest import QuantParams
from suture_protocol.errors import BundleError


def ports_by_name(model: ov.Model) -> dict[str, ov.Output]:
    """Every output port of the model's nodes under each of its tensor names."""
    return {name: port for node in model.get_ordered_ops() for port in node.outputs() for name in port.get_names()}


def cut_model(
    model: ov.Model, names: Sequence[str], quant: Sequence[QuantParams | None], *, keep_outputs: bool = False
) -> ov.Model:
    """The part of `model` that computes the named tensors, as codes where a quantiser is given.

    Args:
        model: A whole network. It is left as it was; the cut shares its constants.
        names: OpenVINO's names of the boundary tensors. Where there are several, those that the graph itself quantises
            are taken behind its quantiser, so that the head computes exactly what the whole network does.
        quant: One quantiser per name, or None to give the tensor as it is.
        keep_outputs: Keep the network's own outputs too, before the named tensors: the unsplit network, watched.

    Raises:
        BundleError: the model has no such tensor.
    """
    clone = model.clone()
    ports = ports_by_name(clone)
    results = list(clone.get_results()) if keep_outputs else []
    for name, params in zip(names, quant, strict=True):
        if name not in ports:
            raise BundleError(f"the OpenVINO artefact has no tensor {name!r}; build the bundle again")
        port = ports[name]
        if (keep_outputs or len(names) > 1) and params is not None and params.origin == "graph":
            port = _quantised(port)
        results.append(ops.result(port if params is None else _codes(port, params)))
    return ov.Model(results, clone.get_parameters(), "head")


def _quantised(port: ov.Output) -> ov.Output:
    """Output of the graph's own quantiser of `port`.

    Where other tensors of the boundary are computed from it, a second quantiser beside it would keep OpenVINO from
    fusing the first with what makes the tensor, and the head would round otherwise than the whole network does.
    """
    for reader in port.get_target_inputs():
        if reader.get_node().get_type_name() == "FakeQuantize":
            return reader.get_node().output(0)
    return port


def _codes(port: ov.Output, params: QuantParams) -> ov.Output:
    rank = len(port.get_partial_shape())
    shape = [1] * rank
    if params.axis is not None:
        shape[params.axis] = -1
    low = np.asarray(params.offset, dtype=np.float32).reshape(shape)
    high = low + np.asarray(params.scale, dtype=np.float32).reshape(shape) * np.float32(params.levels - 1)
    top = np.float32(params.levels - 1)
    codes = ops.fake_quantize(port, low, high, np.float32(0), top, params.levels)
    return ops.convert(codes, "u8").output(0)
