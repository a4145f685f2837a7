"""`suture build`: export, calibrate and quantise a network into a bundle."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, size_text, stderr_console, stdout_console, write_json
from suture_protocol.errors import BundleError, CapabilityMissing, InputRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from suture_models.build import BuildSettings
    from suture_models.bundle import Bundle
    from suture_models.calibration import Calibration
    from suture_models.manifest import Cut, Variant
    from suture_models.zoo.registry import LoadedNetwork

_ENGINE_HELP = "Engine to make artefacts for; repeat for several. Default: all whose builders are installed."
#: Steps reported besides those of the engines: exporting, interchange, calibrating.
_COMMON_STEPS = 3
_LITERT_STEPS = 9


def register(app: typer.Typer) -> None:
    """Adds `build` to the command."""
    app.command(
        "build",
        epilog=examples(
            "suture build pneumonia_mobilenet_v2",
            "suture build resnet50 --weights resnet50.safetensors --calibration radiographs/",
            "suture build pneumonia_mobilenet_v2 --bottleneck pneumonia_bottleneck_m",
            "suture build mypackage.nets:make --engine openvino --out bundles/mine",
        ),
    )(build)


def build(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A zoo network, or your own `module:function`.")],
    weights: Annotated[Path | None, typer.Option(help="State dict (.pt) or .safetensors. Default: random.")] = None,
    bottleneck: Annotated[
        Path | None, typer.Option(help="A file of `suture train bottleneck`, or one that the package carries, by name.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Directory of images to calibrate with.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory to write. Default: bundles/NETWORK.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help=_ENGINE_HELP)] = None,
    seed: Annotated[int, typer.Option(help="Seed of random weights.")] = 0,
    annotate: Annotated[
        bool, typer.Option(help="Measure at the end what narrower codes cost the answers; about a minute.")
    ] = True,
    tables: Annotated[
        bool, typer.Option(help="Train tables for the smaller codecs (lossless-small, narrow); about a minute.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with path and digest, on stdout.")] = False,
) -> None:
    """Export, calibrate and quantise a network into a bundle that both sides load."""
    from suture_models.build import BuildSettings, available_engines
    from suture_models.calibration import quantising_inputs
    from suture_models.zoo.registry import load_network

    console = stderr_console()
    loaded = load_network(network, weights=weights, seed=seed)
    if bottleneck is not None:
        from suture_models.zoo.bottleneck import with_bottleneck

        loaded = with_bottleneck(loaded, bottleneck)

    def refused(error: InputRefused) -> None:
        console.print(f"calibration: {error}", markup=False)

    chosen = quantising_inputs(loaded.spec, calibration, refused)
    engines = tuple(engine or available_engines())
    if not engine and "litert" not in engines:
        console.print("no LiteRT artefacts: pip install 'suture[build-litert]' adds their converter", markup=False)
    target = out or Path("bundles") / loaded.spec.name
    settings = BuildSettings(engines=engines, calibration=chosen.origin, tables=tables, run_head=run_head)
    bundle = with_progress(loaded, chosen.inputs, target, settings)
    skipped = bundle.manifest.built_with.get("skipped", "")
    if skipped:
        console.print(f"left out: {skipped}", markup=False, soft_wrap=True)
    if annotate:
        _annotate(bundle, chosen)
    if as_json:
        write_json({"path": str(bundle.path), "digest": bundle.digest, "network": bundle.name})
    else:
        size = sum(f.stat().st_size for f in bundle.path.rglob("*") if f.is_file())
        random = "" if loaded.spec.weights == "trained" else "  [random weights]"
        text = (
            f"{bundle.path}  {size_text(size)}  {len(bundle.manifest.cuts)} cuts  digest {bundle.digest[:12]}{random}"
        )
        stdout_console().print(text, markup=False, soft_wrap=True)


def run_head(
    bundle: Bundle, variant: Variant, cut: Cut, inputs: Sequence[NDArray[Any]]
) -> list[tuple[NDArray[Any], ...]] | None:
    """What crosses `cut` for each input by the variant's own head; None where that head cannot be run here."""
    from suture_edge.engines.registry import get_engine, load_head
    from suture_partitioner.device import processor_class

    if variant.processor not in ("any", processor_class()):
        return None
    try:
        with contextlib.closing(load_head(get_engine(variant.engine), bundle, variant, cut)) as head:
            return [head.run(one) for one in inputs]
    except CapabilityMissing:
        return None
    except BundleError as error:
        console = stderr_console()
        console.print(f"codec tables take the float network's codes instead: {error}", markup=False, soft_wrap=True)
        return None


def _annotate(bundle: Bundle, inputs: Calibration) -> None:
    """Measures narrower codes; a bundle is whole without, so what keeps it from being measured is only told."""
    from suture.commands.annotate import annotated

    try:
        annotated(bundle, inputs)
    except BundleError as error:
        stderr_console().print(f"narrower codes were not measured: {error}", markup=False, soft_wrap=True)


def with_progress(
    loaded: LoadedNetwork, inputs: Sequence[NDArray[Any]], target: Path, settings: BuildSettings
) -> Bundle:
    """Builds with a progress bar on stderr; see `suture_models.build.build_bundle`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from suture_models.build import build_bundle

    total = _COMMON_STEPS + sum(
        _LITERT_STEPS if name == "litert" else 1 + len(settings.processors) for name in settings.engines
    )
    columns = (TextColumn("{task.description:<52}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A descriptor of its own: converters' native logs are muted by closing 2 for a while, and the bar should stay.
    with os.fdopen(os.dup(2), "w") as stream:
        console = Console(file=stream, highlight=False)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"building {target.name}", total=total)

            def step(text: str) -> None:
                started = bar.tasks[task].description != f"building {target.name}"
                bar.update(task, description=text, advance=1 if started else 0)

            return build_bundle(loaded, inputs, target, settings, step)
