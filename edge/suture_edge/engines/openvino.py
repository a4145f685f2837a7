"""OpenVINO heads: cut out of the bundle's one graph per precision and processor class, on the unit, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_edge.engines.base import library_errors
from suture_edge.engines.ovlayers import layer_names
from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT, Cut, Variant
from suture_protocol.errors import BundleError, CapabilityMissing

#: Oldest networks first; a whole network's graph is read once and cut many times.
_GRAPHS_KEPT = 2


class OpenVinoEngine:
    """Heads by OpenVINO's CPU plugin, latency mode, one stream."""

    name = "openvino"

    def __init__(self, *, counters: bool = False, float_hint: str = "f32") -> None:
        """Prepares the engine.

        Args:
            counters: Switches per-layer times on, at some cost to each run.
            float_hint: What floating-point layers compute in, `f32` or `bf16`.
        """
        self._counters = counters
        self._float_hint = float_hint
        self._core: Any = None
        self._graphs: dict[tuple[str, str], Any] = {}

    def version(self) -> str:
        """OpenVINO's release, e.g. `2026.4.1`."""
        return str(_openvino().__version__).split("-")[0]

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> _OpenVinoHead:
        """See `Engine.load`."""
        ov = _openvino()
        what = f"OpenVINO, head of bundle {bundle.name} at cut {cut.id!r}"
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            # Without it "float" silently means bf16 on processors with AMX.
            "INFERENCE_PRECISION_HINT": self._float_hint,
            "PERF_COUNT": "YES" if self._counters else "NO",
        }
        with library_errors(what, RuntimeError):
            if self._core is None:
                self._core = ov.Core()
            model = self._graph(bundle, variant)
            if cut.id != LAST_CUT:
                from suture_models.ovgraph import cut_model

                names = [t.name for t in cut.boundary]
                model = cut_model(model, names, [variant.quantiser(cut, t) for t in cut.boundary])
            compiled = self._core.compile_model(model, "CPU", settings)
            graph = {node.name for node in bundle.manifest.graph}
            layers = layer_names(compiled, model, graph) if self._counters else {}
            return _OpenVinoHead(compiled, cut, layers, what)

    def _graph(self, bundle: Bundle, variant: Variant) -> Any:
        key = (bundle.digest, variant.id)
        if key not in self._graphs:
            if "model" not in variant.files or "weights" not in variant.files:
                raise BundleError(f"bundle {bundle.name}: {variant.id} has no OpenVINO graph; build it again")
            weights = bundle.file(variant.files["weights"])
            while len(self._graphs) >= _GRAPHS_KEPT:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[key] = self._core.read_model(bundle.file(variant.files["model"]), weights)
        return self._graphs[key]


class _OpenVinoHead:
    """One compiled head with its inference request."""

    def __init__(self, compiled: Any, cut: Cut, layer_names: Mapping[str, str], what: str) -> None:
        self._what = what
        self._layer_names = layer_names
        self._shapes = [t.shape for t in cut.boundary]
        self._outputs = len(cut.boundary)
        self._request = compiled.create_infer_request()

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """See `Head.run`."""
        with library_errors(self._what, RuntimeError):
            self._request.infer([np.ascontiguousarray(image)], share_inputs=True)
        found = (self._request.get_output_tensor(i).data for i in range(self._outputs))
        return tuple(np.array(a).reshape(shape) for a, shape in zip(found, self._shapes, strict=True))

    def layer_times_s(self) -> dict[str, float]:
        """See `Head.layer_times_s`; empty unless the engine was made with counters."""
        counted = ((p.node_name, p.real_time.total_seconds()) for p in self._request.profiling_info if p.real_time)
        return {self._layer_names.get(name, f"#{name}"): seconds for name, seconds in counted}

    def close(self) -> None:
        """See `Head.close`."""
        self._request = None


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise CapabilityMissing("OpenVINO is not installed: pip install 'suture[edge]'") from error
    return openvino
