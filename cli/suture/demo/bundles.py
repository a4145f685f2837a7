"""The demonstration's bundles: built on the first run for this machine's processor class, reused while they fit."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from suture.console import stderr_console
from suture_models.bundle import Bundle, open_bundle
from suture_partitioner.device import ProcessorClass, processor_class
from suture_protocol.errors import BundleError

ENGINE = "openvino"
#: What an emulated board without 8-bit dot products runs; one with them runs what this machine does.
_BOARDS_CLASS: ProcessorClass = "plain"
#: What experiments compare a unit alone on.
EXPERIMENT_ENGINES = (ENGINE, "onnxruntime")


def demo_bundle(network: str, folder: Path) -> Bundle:
    """The bundle of `network` in `folder`, with OpenVINO artefacts only; built where what is there does not fit.

    Raises:
        CapabilityMissing: it has to be built, and a library for that is not installed.
        UsageError: there is no such network.
    """
    return reusable(network, folder) or _build(network, folder / network, (ENGINE,))


def fitting_bundle(network: str, folder: Path, *, tables: bool = False) -> Bundle:
    """As `demo_bundle`, with the artefacts of ONNX Runtime too where they can be made; raises as that.

    What has to be built gets codec tables where they are asked for; what is there is left as it is.
    """
    return reusable(network, folder) or _build(network, folder / network, _experiment_engines(), tables=tables)


def reusable(network: str, folder: Path) -> Bundle | None:
    """The bundle of `network` in `folder`, if there is one that fits this machine and these versions."""
    found = _opened(folder / network)
    return found if found is not None and not unfit(found) else None


def unfit(bundle: Bundle) -> str:
    """Why `bundle` cannot serve here, in words; empty where it can."""
    from suture_edge.engines.registry import choose_variant

    for name, built in bundle.manifest.built_with.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            continue  # no library, but e.g. `calibration`; or one that was only needed for building
        if here != built:
            return f"it was built with {name} {built}, here is {here}"
    try:
        for processor in {processor_class(), _BOARDS_CLASS}:
            for precision in ("int8", "f32"):
                choose_variant(bundle, ENGINE, processor, precision)
        for artefact in (bundle.manifest.program, bundle.manifest.weights):
            bundle.file(artefact)
    except BundleError as error:
        return str(error)
    return ""


def _experiment_engines() -> tuple[str, ...]:
    from suture_models.build import available_engines

    return tuple(engine for engine in available_engines() if engine in EXPERIMENT_ENGINES)


def _opened(path: Path) -> Bundle | None:
    try:
        return open_bundle(path)
    except BundleError:
        return None


def _build(network: str, path: Path, engines: tuple[str, ...], *, tables: bool = False) -> Bundle:
    took = "two minutes or so, with codec tables" if tables else "a minute or so"
    stderr_console().print(f"building {path}, once ({took})", markup=False, soft_wrap=True)
    # torch and NNCF are needed for building only.
    from suture.commands.build import run_head, with_progress
    from suture_models.build import BuildSettings
    from suture_models.calibration import quantising_inputs
    from suture_models.zoo.registry import load_network

    # Libraries that importing a network brings in warn of accelerators that they would have for other machines.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        loaded = load_network(network)
    finally:
        logging.disable(disabled)
    chosen = quantising_inputs(loaded.spec, None)
    processors = tuple(sorted({processor_class(), _BOARDS_CLASS}))
    settings = BuildSettings(
        engines=engines,
        processors=processors,
        calibration=chosen.origin,
        # Training tables takes half a minute to a minute, and the demo is to be over by then.
        tables=tables,
        run_head=run_head,
    )
    return with_progress(loaded, chosen.inputs, path, settings)
