"""Building a bundle: export once, calibrate, quantise per engine and processor class, write the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.calibrate import calibrated_quantisers
from suture_models.cuts import enumerate_cuts
from suture_models.export import Exported, export_network
from suture_models.manifest import Cut, GraphNode, Manifest, ProcessorClass, TensorSpec, Variant
from suture_models.order import in_cutting_order
from suture_models.quantisers.variants import MAKERS, Source
from suture_models.tabulate.bundles import RunHead, add_tables
from suture_models.zoo.registry import LoadedNetwork
from suture_protocol.errors import BundleError, CapabilityMissing, UsageError

_VERSIONED = ("torch", "openvino", "nncf", "onnx", "onnxscript", "onnxruntime", "litert-torch", "ai-edge-quantizer")
_PROGRAM, _WEIGHTS = "program.json", "weights.safetensors"
PROCESSORS: tuple[ProcessorClass, ...] = ("vnni", "plain")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSettings:
    """What to build. `calibration` names where `inputs` came from, for the manifest.

    Without `tables` the bundle is ready sooner, and the codecs that need them are not offered. For `run_head` see
    `add_tables`.
    """

    engines: tuple[str, ...]
    processors: tuple[ProcessorClass, ...] = PROCESSORS
    calibration: str = ""
    tables: bool = True
    run_head: RunHead | None = None


def available_engines() -> tuple[str, ...]:
    """Engines whose artefacts this installation can make."""
    return tuple(name for name, (_, package) in MAKERS.items() if find_spec(package) is not None)


def build_bundle(
    network: LoadedNetwork,
    inputs: Sequence[NDArray[Any]],
    out: Path,
    settings: BuildSettings,
    step: Callable[[str], None] = lambda _text: None,
) -> Bundle:
    """Builds the bundle of `network` in `out`, replacing what was there only when all has succeeded.

    Args:
        network: Module and spec.
        inputs: Calibration inputs of the spec's input shape and dtype.
        out: The bundle's directory.
        settings: Engines and processor classes.
        step: Called with a text before each longer piece of work.

    Raises:
        BundleError: the network cannot be exported or cut.
        CapabilityMissing: an engine's builder is not installed.
        UsageError: there is nothing fit to calibrate with, an engine is unknown, or `out` holds something else.
    """
    target = out.resolve()
    _check(inputs, network.spec.input, settings, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as scratch, _quiet_libraries():
        root = Path(scratch) / "bundle"
        root.mkdir()
        manifest = _build(network, tuple(inputs), root, settings, step)
        (root / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if settings.tables:
            add_tables(root, inputs, step, settings.run_head)
        _put(root, target, Path(scratch) / "old")
    return open_bundle(out)


def _check(inputs: Sequence[NDArray[Any]], spec: TensorSpec, settings: BuildSettings, target: Path) -> None:
    """Refuses what cannot be built before time is spent on it; raises as `build_bundle` says."""
    if not inputs:
        raise UsageError("there is no calibration input; give --calibration a directory of images")
    for array in inputs:
        if array.shape != spec.shape or array.dtype.name != spec.dtype:
            got, wanted = f"{array.dtype} {array.shape}", f"{spec.dtype} {spec.shape}"
            raise UsageError(f"a calibration input is {got}, the network takes {wanted}")
    for engine in settings.engines:
        if engine not in MAKERS:
            raise UsageError(f"unknown engine {engine!r}; there are: {', '.join(MAKERS)}")
        if find_spec(MAKERS[engine][1]) is None:
            extra = "build-litert" if engine == "litert" else "build"
            raise CapabilityMissing(f"{engine} artefacts cannot be made here: pip install 'suture[{extra}]'")
    is_bundle = all((target / name).is_file() for name in (MANIFEST_NAME, _PROGRAM))
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_bundle and not is_free:
        raise UsageError(f"{target} exists and is not a bundle; give --out a place of its own")


def _put(root: Path, target: Path, old: Path) -> None:
    """Moves a finished bundle to its place, what was there to `old`; if that fails, back."""
    if target.exists():
        target.rename(old)
    try:
        root.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _build(
    network: LoadedNetwork,
    inputs: tuple[NDArray[Any], ...],
    root: Path,
    settings: BuildSettings,
    step: Callable[[str], None],
) -> Manifest:
    step("exporting")
    exported = export_network(network.module, network.spec.input)
    exported.program.save(root / _PROGRAM, root / _WEIGHTS)
    with tempfile.TemporaryDirectory(prefix="suture-onnx-") as scratch:
        step("writing the interchange graph")
        onnx_path = Path(scratch) / "network.onnx"
        kept = _write_onnx(exported, onnx_path)
        openvino = None
        if "openvino" in settings.engines:
            step("OpenVINO: converting")
            openvino, names = _openvino(onnx_path)
            kept &= names
        crossable, results = exported.crossable & kept, {output.name for output in exported.outputs}
        exported = replace(
            exported, graph=in_cutting_order(exported.graph, network.spec.input.name, results, crossable)
        )
        cuts = enumerate_cuts(exported.graph, network.spec.input, exported.outputs, crossable)
        tensors = tuple({t.name: t for cut in cuts[1:-1] for t in cut.boundary}.values())
        step("calibrating")
        source = Source(
            root=root,
            onnx_path=onnx_path,
            openvino=openvino,
            program=exported.program,
            cuts=cuts,
            tensors=tensors,
            calibrated=calibrated_quantisers(exported.program, tensors, inputs),
            inputs=inputs,
            processors=settings.processors,
            transformer=_has_attention(exported.graph),
            step=step,
        )
        variants = [v for engine in settings.engines for v in MAKERS[engine][0](source)]
    return _manifest(network, exported, cuts, variants, source, settings)


def _has_attention(graph: Sequence[GraphNode]) -> bool:
    """Attention as one operator, or spelt out as a softmax between products; a last softmax alone is none."""
    ops = {node.op.split(".")[1] for node in graph if "." in node.op}
    products = {"matmul", "bmm", "baddbmm", "einsum"}
    return any("attention" in op for op in ops) or bool({"softmax", "_softmax"} & ops and products & ops)


def _manifest(
    network: LoadedNetwork,
    exported: Exported,
    cuts: tuple[Cut, ...],
    variants: list[Variant],
    source: Source,
    settings: BuildSettings,
) -> Manifest:
    versions = {name: version(name) for name in _VERSIONED if find_spec(name.replace("-", "_")) is not None}
    calibration = hashlib.sha256(b"".join(a.tobytes() for a in source.inputs)).hexdigest()
    built_with = {
        **versions,
        **network.made_from,
        "calibration": settings.calibration,
        "calibration_inputs": str(len(source.inputs)),
        "calibration_sha256": calibration,
        **({"skipped": "; ".join(source.skipped)} if source.skipped else {}),
    }
    return Manifest(
        network=network.spec,
        graph=exported.graph,
        outputs=exported.outputs,
        cuts=cuts,
        variants=tuple(variants),
        program=source.artefact(source.root / _PROGRAM),
        weights=source.artefact(source.root / _WEIGHTS),
        built_with=built_with,
    )


def _write_onnx(exported: Exported, path: Path) -> frozenset[str]:
    """Writes the interchange graph; returns the names it keeps (copies and the like are optimised away)."""
    program = torch.onnx.export(exported.static, dynamo=True, verbose=False)
    if program is None:
        raise BundleError("torch.onnx.export gave no program")
    program.save(str(path))
    graph = program.model.graph
    return frozenset(
        {str(value.name) for value in graph.inputs} | {str(out.name) for node in graph for out in node.outputs}
    )


def _openvino(onnx_path: Path) -> tuple[Any, frozenset[str]]:
    """OpenVINO's model, and the tensor names that survive; it renames a few, and there the network is not cut."""
    from suture_models.ovgraph import ports_by_name
    from suture_models.quantisers.openvino import convert

    model = convert(onnx_path)
    return model, frozenset(ports_by_name(model))


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keeps the notes, bars and warnings of torch, NNCF and ONNX off the terminal while a bundle is built."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
