"""The unit alone: every engine and precision that a bundle has for this processor, measured, the fastest first."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.engines.base import Engine
from suture_edge.engines.openvino import OpenVinoEngine
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.slowdown import Slowdown
from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT, Precision
from suture_partitioner.device import device_fingerprint, processor_class
from suture_protocol.errors import BundleError, CapabilityMissing

_log = logging.getLogger(__name__)

_ENGINES: Final = ("openvino", "onnxruntime")
_RUNS: Final = 7
_BUDGET_S: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEngine:
    """One way to run a whole network on the unit; `median_s` is on the emulated device."""

    engine: str
    precision: str
    median_s: float
    heads: Heads

    def to_json(self) -> dict[str, Any]:
        """As plain data, without the heads."""
        return {"engine": self.engine, "precision": self.precision, "median_s": self.median_s}


def local_engines(bundle: Bundle, image: NDArray[Any], slow: Slowdown) -> list[LocalEngine]:
    """All that can run the whole network here, fastest first, by the median of a few runs in turns of their own.

    Raises:
        BundleError: nothing can.
    """
    found = []
    for engine, precision, variant in _choices():
        try:
            chosen = choose_variant(bundle, engine.name, processor_class(), variant)
            heads = Heads(bundle, engine, chosen, slow=slow)
            median_s = _median_s(heads, image)
        except (BundleError, CapabilityMissing) as error:
            _log.info("%s %s is not measured: %s", engine.name, precision, error)
            continue
        found.append(LocalEngine(engine=engine.name, precision=precision, median_s=median_s, heads=heads))
    if not found:
        raise BundleError(f"bundle {bundle.name} has no artefact that could run whole on this processor")
    return sorted(found, key=lambda local: local.median_s)


def _choices() -> list[tuple[Engine, str, Precision]]:
    choices: list[tuple[Engine, str, Precision]] = []
    for name in _ENGINES:
        choices += [(get_engine(name), "int8", "int8"), (get_engine(name), "f32", "f32")]
    if {"amx_bf16", "avx512_bf16"} & set(device_fingerprint().get("isa", "").split()):
        choices.append((OpenVinoEngine(float_hint="bf16"), "bf16", "f32"))
    return choices


def _median_s(heads: Heads, image: NDArray[Any]) -> float:
    last = heads.bundle.cut(LAST_CUT)
    heads.run(last, image)
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _BUDGET_S:
        start_s = time.perf_counter()
        heads.run(last, image)
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)
