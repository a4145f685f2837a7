"""OpenVINO artefacts: the whole network in float and in INT8 per processor class; the edge cuts them itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from suture_models.manifest import ProcessorClass, QuantParams, TensorSpec
from suture_models.ovgraph import ports_by_name


def convert(onnx_path: Path) -> ov.Model:
    """The float network as an OpenVINO model at batch 1."""
    return ov.convert_model(onnx_path)


def save(model: ov.Model, path: Path) -> tuple[Path, Path]:
    """Writes IR (`path` ends in .xml) without touching weights; returns the .xml and .bin paths."""
    _strip_build_info(model)
    _number_nameless(model)
    ov.save_model(model, path, compress_to_fp16=False)
    return path, path.with_suffix(".bin")


def quantise(
    model: ov.Model, inputs: Sequence[NDArray[Any]], processor: ProcessorClass, *, transformer: bool
) -> ov.Model:
    """INT8 of the whole network by NNCF's post-training quantisation.

    For processors without 8-bit dot products, weights of all layers are halved in range, since `vpmaddubsw` saturates
    its 16-bit sums otherwise (NNCF's overflow fix).

    Activations get one range per tensor, over all calibration inputs. NNCF's default, a range per channel for
    depthwise convolutions, clips what the calibration inputs do not excite: MobileNetV2 calibrated on grey
    radiographs fell to a cosine of 0.68 on colour photographs that way, and keeps 0.996 this way.
    """
    import nncf
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    overflow = advanced.OverflowFix.ENABLE if processor == "plain" else advanced.OverflowFix.DISABLE
    return nncf.quantize(
        model,
        nncf.Dataset(list(inputs)),
        subset_size=len(inputs),
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        advanced_parameters=advanced.AdvancedQuantizationParameters(
            overflow_fix=overflow,
            activations_quantization_params=advanced.QuantizationParameters(per_channel=False),
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )


def graph_quantisers(model: ov.Model, tensors: Sequence[TensorSpec]) -> dict[str, QuantParams]:
    """The INT8 network's own quantiser of each tensor that has just one, reading it everywhere."""
    ports = ports_by_name(model)
    found: dict[str, QuantParams] = {}
    for tensor in tensors:
        port = ports.get(tensor.name)
        readers = [] if port is None else [i.get_node() for i in port.get_target_inputs()]
        if len(readers) == 1 and readers[0].get_type_name() == "FakeQuantize":
            params = _quantiser(readers[0], len(tensor.shape))
            if params is not None:
                found[tensor.name] = params
    return found


def _quantiser(node: ov.Node, ndim: int) -> QuantParams | None:
    """The affine form of a FakeQuantize whose input and output ranges are equal; None for any other."""
    ranges = []
    for place in range(1, 5):
        constant = node.input_value(place).get_node()
        if constant.get_type_name() != "Constant":
            return None
        ranges.append(np.asarray(constant.get_data(), dtype=np.float64))
    in_low, in_high, out_low, out_high = np.broadcast_arrays(*ranges)
    levels = int(node.get_attributes()["levels"])
    if levels != 256 or not (np.allclose(in_low, out_low) and np.allclose(in_high, out_high)):
        return None
    shape = in_low.shape
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if len(axes) > 1 or (axes and len(shape) != ndim):
        return None
    scale = (in_high - in_low).ravel() / (levels - 1)
    return QuantParams(
        scale=tuple(float(np.float32(s)) for s in scale),
        offset=tuple(float(np.float32(o)) for o in in_low.ravel()),
        axis=axes[0] if axes else None,
        levels=levels,
        origin="graph",
    )


def _number_nameless(model: ov.Model) -> None:
    """Numbers the nodes that OpenVINO named itself (`Constant_58750`) anew, from 0 on.

    It counts them over the life of the process, so the second of two equal networks would differ on disk.
    """
    numbers: dict[str, str] = {}
    for node in model.get_ordered_ops():
        own = re.match(r"([A-Z][A-Za-z]*)_\d+(?=/|$)", node.get_friendly_name())
        if own is not None:
            number = numbers.setdefault(own[0], f"{own[1]}_{len(numbers)}")
            node.set_friendly_name(number + own.string[own.end() :])


def _strip_build_info(model: ov.Model) -> None:
    """Drops what would make equal networks differ on disk: paths, dates and versions of the conversion."""
    for key in ("conversion_parameters", "nncf", "Runtime_version", "legacy_frontend"):
        if model.has_rt_info([key]):
            model.set_rt_info("", [key])
