"""LiteRT heads: one flat buffer per cut; `tflite_runtime` is used where that is what the unit has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_edge.engines.base import library_errors
from suture_models.bundle import Bundle
from suture_models.litertgraph import ordered_outputs
from suture_models.manifest import LAST_CUT, Cut, Variant
from suture_protocol.errors import BundleError, CapabilityMissing

_CODE_SHIFT = 128  # LiteRT's codes are int8, ours uint8
#: What its interpreter raises.
_ERRORS = (RuntimeError, ValueError)


class LiteRtEngine:
    """Heads by LiteRT's interpreter with XNNPACK."""

    name = "litert"

    def __init__(self, *, counters: bool = False) -> None:
        """Prepares the engine; it has no cheap per-layer counters, so `counters` changes nothing here."""
        del counters

    def version(self) -> str:
        """LiteRT's release, or tflite_runtime's."""
        from importlib.metadata import PackageNotFoundError, version

        for package in ("ai-edge-litert", "tflite-runtime"):
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        raise _missing()

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> _LiteRtHead:
        """See `Engine.load`."""
        file = variant.files.get(f"cut:{cut.id}")
        if file is None:
            have = ", ".join(role.removeprefix("cut:") for role in variant.files)
            raise BundleError(f"bundle {bundle.name}: {variant.id} has no head for cut {cut.id!r}; it has: {have}")
        make, path = _interpreter_class(), str(bundle.file(file))
        what = f"LiteRT, head of bundle {bundle.name} at cut {cut.id!r}"
        with library_errors(what, *_ERRORS):
            return _LiteRtHead(make(path, num_threads=threads), cut, what)


class _LiteRtHead:
    """One interpreter of a head."""

    def __init__(self, interpreter: Any, cut: Cut, what: str) -> None:
        self._what = what
        interpreter.allocate_tensors()
        self._interpreter: Any = interpreter
        self._input = interpreter.get_input_details()[0]["index"]
        self._outputs = ordered_outputs(interpreter, len(cut.boundary))
        self._shapes = [t.shape for t in cut.boundary]
        self._as_values = cut.id == LAST_CUT

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """See `Head.run`."""
        with library_errors(self._what, *_ERRORS):
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(image))
            self._interpreter.invoke()
        found = (self._output(detail) for detail in self._outputs)
        return tuple(a.reshape(shape) for a, shape in zip(found, self._shapes, strict=True))

    def _output(self, detail: Any) -> NDArray[Any]:
        array = np.asarray(self._interpreter.get_tensor(detail["index"]))
        if array.dtype != np.int8:
            return array
        if self._as_values:
            scale, zero_point = detail["quantization"]
            values: NDArray[Any] = ((array.astype(np.float32) - zero_point) * scale).astype(np.float32)
            return values
        return (array.astype(np.int16) + _CODE_SHIFT).astype(np.uint8)

    def layer_times_s(self) -> dict[str, float]:
        """See `Head.layer_times_s`; always empty here."""
        return {}

    def close(self) -> None:
        """See `Head.close`."""
        self._interpreter = None


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            raise _missing() from error
    return Interpreter


def _missing() -> CapabilityMissing:
    return CapabilityMissing("LiteRT is not installed: pip install 'suture[litert]' (or tflite-runtime)")
