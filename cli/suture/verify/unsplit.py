"""The unsplit INT8 network, asked for the codes it has at a cut: what a head's codes are compared with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_models.bundle import Bundle
from suture_models.manifest import Cut, Variant

Arrays = tuple[NDArray[Any], ...]


def openvino_codes(bundle: Bundle, variant: Variant, cut: Cut, images: list[NDArray[Any]]) -> list[Arrays]:
    """Codes at `cut` of the whole INT8 network, which still computes its own outputs, one tuple per image."""
    import openvino as ov

    from suture_models.ovgraph import cut_model

    core = ov.Core()
    whole = core.read_model(bundle.file(variant.files["model"]), bundle.file(variant.files["weights"]))
    quant = [variant.quantiser(cut, t) for t in cut.boundary]
    model = cut_model(whole, [t.name for t in cut.boundary], quant, keep_outputs=True)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1"}
    compiled = core.compile_model(model, "CPU", settings)
    found = []
    for image in images:
        outputs = list(compiled(image).values())[len(bundle.manifest.outputs) :]
        found.append(tuple(np.array(a).reshape(t.shape) for a, t in zip(outputs, cut.boundary, strict=True)))
    return found


def onnxruntime_codes(
    bundle: Bundle, variant: Variant, cut: Cut, images: list[NDArray[Any]]
) -> tuple[list[Arrays], list[Arrays], list[Arrays] | None]:
    """What ONNX Runtime gives for the whole INT8 network and for its INT8 tail.

    Returns:
        Codes at `cut` of the whole network; its outputs; and the outputs of the INT8 tail fed with those codes, or None
        where the network has no quantiser of its own at some tensor of the boundary, so that there is no INT8 tail.
    """
    import onnx
    import onnxruntime as ort
    from onnx.utils import Extractor

    from suture_models.onnxgraph import end_in_codes

    model = onnx.load(bundle.file(variant.files["model"]))
    quant = [variant.quantiser(cut, t) for t in cut.boundary]
    codes = end_in_codes(model, [t.name for t in cut.boundary], quant)
    outputs = [o.name for o in model.graph.output]
    name = model.graph.input[0].name
    extractor = Extractor(model)
    with tempfile.TemporaryDirectory(prefix="suture-verify-") as scratch:
        whole = _session(ort, extractor.extract_model([name], [*outputs, *codes]), Path(scratch) / "whole.onnx")
        has_tail = all(params is not None and params.origin == "graph" for params in quant)
        tail = _session(ort, extractor.extract_model(codes, outputs), Path(scratch) / "tail.onnx") if has_tail else None
    at_cut, ends, tail_ends = [], [], []
    for image in images:
        found = whole.run(None, {name: image})
        raw = found[len(outputs) :]
        at_cut.append(tuple(a.reshape(t.shape) for a, t in zip(raw, cut.boundary, strict=True)))
        ends.append(tuple(found[: len(outputs)]))
        if tail is not None:
            tail_ends.append(tuple(tail.run(None, dict(zip(codes, raw, strict=True)))))
    return at_cut, ends, tail_ends if tail is not None else None


def _session(ort: Any, model: Any, path: Path) -> Any:
    import onnx

    onnx.save(model, path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
