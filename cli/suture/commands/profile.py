"""`suture profile`: measured time of each layer and cut of a bundle on this device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suture.console import examples, stderr_console
from suture.units import FACTOR_HELP, PRECISION_HELP, emulated, in_force, open_heads, profiling_bar, slowed

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_partitioner.types import Profile

_IMAGES = 16


def register(app: typer.Typer) -> None:
    """Adds `profile` to the command."""
    app.command(
        "profile",
        epilog=examples(
            "suture profile bundles/mobilenet_v2 --engine openvino --out edge.json --plot edge.svg",
            "suture profile bundles/mobilenet_v2 --engine torch --out cloud.json",
            "suture profile bundles/unet --images radiographs/ --device-factor 8 --out slow.json",
            "suture profile bundles/unet --device-factor pi-4 --out pi.json",
        ),
    )(profile)


def profile(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory that `suture build` wrote.")],
    out: Annotated[Path, typer.Option(help="File to write, JSON.")],
    engine: Annotated[
        str, typer.Option(help="openvino, onnxruntime or litert (heads), or torch (tails).")
    ] = "openvino",
    precision: Annotated[str, typer.Option(help=PRECISION_HELP)] = "int8",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    device: Annotated[str, typer.Option(help="For torch: auto, cpu or cuda.")] = "auto",
    device_factor: Annotated[str | None, typer.Option(metavar="FACTOR|BOARD", help=FACTOR_HELP)] = None,
    images: Annotated[Path | None, typer.Option(help="Inputs to measure with. Default: the package's own.")] = None,
    budget: Annotated[float, typer.Option(min=1, help="Seconds to spend.")] = 45.0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw times and payloads of cuts and layers, as SVG.")
    ] = None,
) -> None:
    """Measure each layer and cut of a bundle on this device; `--engine torch` measures the tails.

    Cuts for which there is no time are predicted from the layers' times, and marked. Ctrl-C loses nothing: the same
    command goes on where it was. Another load on the machine spoils the figures a little: measure when it is quiet.
    """
    from suture.profiling import tables
    from suture_partitioner.profile_file import save_profile
    from suture_protocol.errors import UsageError

    if engine == "torch" and device_factor is not None:
        raise UsageError("--device-factor emulates a slow unit; the tails (--engine torch) run on the cloud")
    _check_writable(out)
    if plot is not None:
        from suture.planning.options import check_drawing

        check_drawing(plot)
    if engine == "torch":
        measured = _tails(bundle, device, threads, budget)
    else:
        measured = _heads(bundle, engine, precision, threads, device_factor, images, budget)
    save_profile(measured, out)
    tables.show(measured)
    if plot is not None:
        from suture.profiling.chart import drawing

        plot.write_text(drawing(measured, _weights(bundle)), encoding="utf-8")
        stderr_console().print(f"drawing written to {plot}", markup=False, soft_wrap=True)


def _check_writable(out: Path) -> None:
    """Refuses at once what would fail after a minute of measuring."""
    from suture_protocol.errors import UsageError

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: the folder cannot be made: {error.strerror}") from error
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    if not os.access(out.parent, os.W_OK):
        raise UsageError(f"--out {out}: the folder cannot be written to")


def _announce(budget_s: float) -> None:
    stderr_console().print(f"measuring for up to {budget_s:.0f} s; Ctrl-C keeps what is done", markup=False)


def _tails(bundle: Path, device: str, threads: int, budget_s: float) -> Profile:
    import torch

    from suture_cloud.profiling import measure_tails, partial_profile
    from suture_cloud.tail import Tails, choose_device
    from suture_models.bundle import open_bundle

    torch.set_num_threads(threads)
    tails = Tails(open_bundle(bundle), choose_device(device))
    _announce(budget_s)
    with profiling_bar() as progress:
        return measure_tails(tails, budget_s=budget_s, progress=progress, resume=partial_profile(tails))


def _heads(
    bundle: Path, engine: str, precision: str, threads: int, asked: str | None, images: Path | None, budget_s: float
) -> Profile:
    from suture_edge.profiling import measure_edge, partial_profile, time_of
    from suture_models.calibration import calibration_inputs
    from suture_protocol.errors import UsageError

    device = emulated(asked)
    slow = slowed(device)
    heads = open_heads(bundle, engine, precision, threads, slow)
    try:
        found = calibration_inputs(heads.bundle.manifest.network, images).inputs
    except UsageError as error:
        raise UsageError(str(error).replace("--calibration", "--images", 1)) from error
    samples = found[:: max(len(found) // _IMAGES, 1)][:_IMAGES]
    factor = 1.0 if device is None else device.factor
    _announce(budget_s)
    with in_force(device, heads) as said, profiling_bar() as progress:
        preprocess_s = time_of(slow(lambda: _read_one(heads.bundle, images)))
        return measure_edge(
            heads,
            samples,
            budget_s=budget_s,
            device_factor=factor,
            emulated=said,
            slow=slow,
            preprocess_s=preprocess_s,
            progress=progress,
            resume=partial_profile(heads, samples, factor),
        )


def _read_one(bundle: Bundle, images: Path | None) -> None:
    """Reads and preprocesses one input, for its time."""
    from suture_models import calibration
    from suture_models.preprocess import preprocess
    from suture_models.walk import find_inputs, read_file
    from suture_protocol.errors import InputRefused

    spec = bundle.manifest.network
    if spec.kind != "image":
        return
    folder = images or Path(calibration.__file__).parent
    for path in find_inputs([folder]):
        try:
            preprocess(read_file(path), spec)
        except InputRefused:
            continue
        return


def _weights(bundle: Path) -> str:
    """What a drawing says of weights that were never trained."""
    from suture_models.bundle import open_bundle

    return ", random weights" if open_bundle(bundle).manifest.network.weights == "random" else ""
