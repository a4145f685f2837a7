"""The engines by name, and the choice of a bundle's artefact for this processor. One row adds an engine."""

from __future__ import annotations

from importlib import import_module

from suture_edge.engines.base import Engine, Head
from suture_edge.engines.input import InputHead
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, Cut, Precision, ProcessorClass, Variant
from suture_protocol.errors import BundleError, UsageError

#: name → module and class, imported only when asked for
_ENGINES = {
    "openvino": ("suture_edge.engines.openvino", "OpenVinoEngine"),
    "onnxruntime": ("suture_edge.engines.onnxruntime", "OnnxRuntimeEngine"),
    "litert": ("suture_edge.engines.litert", "LiteRtEngine"),
}


def engine_names() -> list[str]:
    """Names that `--engine` takes."""
    return list(_ENGINES)


def get_engine(name: str, *, counters: bool = False) -> Engine:
    """The engine named `name`; its library is imported when it loads its first head.

    Raises:
        UsageError: no engine has that name.
    """
    if name not in _ENGINES:
        raise UsageError(f"unknown engine {name!r}; there are: {', '.join(_ENGINES)}")
    module, kind = _ENGINES[name]
    engine: Engine = getattr(import_module(module), kind)(counters=counters)
    return engine


def choose_variant(bundle: Bundle, engine: str, processor: ProcessorClass, precision: Precision = "int8") -> Variant:
    """The artefact of `bundle` for an engine on a processor of this class.

    Raises:
        BundleError: the bundle has none; the message says what it has.
    """
    fitting = [v for v in bundle.manifest.variants if v.engine == engine and v.precision == precision]
    for wanted in (processor, "any"):
        for variant in fitting:
            if variant.processor == wanted:
                return variant
    have = ", ".join(v.id for v in bundle.manifest.variants) or "none"
    raise BundleError(
        f"bundle {bundle.name} has no {precision} artefact for {engine} on a {processor!r} processor; it has: {have}"
    )


def load_head(engine: Engine, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> Head:
    """The head of `cut`, cut 0 included.

    Raises:
        BundleError: see `Engine.load`.
        CapabilityMissing: see `Engine.load`.
    """
    if cut.id == INPUT_CUT:
        return InputHead()
    return engine.load(bundle, variant, cut, threads=threads)
