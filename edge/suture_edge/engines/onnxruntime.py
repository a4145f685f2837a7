"""ONNX Runtime heads: extracted from the bundle's one ONNX graph per precision and processor class."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_edge.engines.base import library_errors
from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT, Cut, Variant
from suture_protocol.errors import BundleError, CapabilityMissing


class OnnxRuntimeEngine:
    """Heads by ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self, *, counters: bool = False) -> None:
        """Prepares the engine; it has no cheap per-layer counters, so `counters` changes nothing here."""
        del counters

    def version(self) -> str:
        """ONNX Runtime's release, e.g. `1.31.1`."""
        return str(_onnxruntime().__version__)

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> _OnnxRuntimeHead:
        """See `Engine.load`."""
        ort = _onnxruntime()
        if "model" not in variant.files:
            raise BundleError(f"bundle {bundle.name}: {variant.id} has no ONNX graph; build it again")
        path = bundle.file(variant.files["model"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        what = f"ONNX Runtime, head of bundle {bundle.name} at cut {cut.id!r}"
        with tempfile.TemporaryDirectory(prefix="suture-head-") as scratch, library_errors(what, *_errors()):
            if cut.id != LAST_CUT:
                path = _extract(path, variant, cut, Path(scratch))
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return _OnnxRuntimeHead(session, cut, what)


class _OnnxRuntimeHead:
    """One session of a head."""

    def __init__(self, session: Any, cut: Cut, what: str) -> None:
        self._what, self._errors = what, _errors()
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self._shapes = [t.shape for t in cut.boundary]

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """See `Head.run`."""
        with library_errors(self._what, *self._errors):
            found = self._session.run(None, {self._input: np.ascontiguousarray(image)})
        return tuple(a.reshape(shape) for a, shape in zip(found, self._shapes, strict=True))

    def layer_times_s(self) -> dict[str, float]:
        """See `Head.layer_times_s`; always empty here."""
        return {}

    def close(self) -> None:
        """See `Head.close`."""
        self._session = None


def _extract(path: Path, variant: Variant, cut: Cut, scratch: Path) -> Path:
    """Writes the head of `cut` as an ONNX file of its own, ending in the codes of each boundary tensor."""
    try:
        import onnx
        from onnx.utils import Extractor
    except ImportError as error:
        raise CapabilityMissing("cutting ONNX graphs needs onnx: pip install 'suture[onnxruntime]'") from error
    from suture_models.onnxgraph import end_in_codes

    model = onnx.load(path)
    names = [t.name for t in cut.boundary]
    ends = end_in_codes(model, names, [variant.quantiser(cut, t) for t in cut.boundary])
    head = Extractor(model).extract_model([model.graph.input[0].name], ends)
    target = scratch / "head.onnx"
    onnx.save(head, target)
    return target


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise CapabilityMissing("ONNX Runtime is not installed: pip install 'suture[onnxruntime]'") from error
    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime and onnx raise: each of the former's errors derives from Exception alone."""
    from google.protobuf.message import DecodeError
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (RuntimeError, ValueError, DecodeError, *own)
