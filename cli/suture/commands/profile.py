"""`suture profile`: measured time of each layer and cut of a bundle on this device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suture.console import examples, stdout_console
from suture.units import FACTOR_HELP, PRECISION_HELP, emulated, in_force, open_heads, profiling_bar, slowed

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_partitioner.types import Profile

_TOP_LAYERS = 5
_IMAGES = 6


def register(app: typer.Typer) -> None:
    """Adds `profile` to the command."""
    app.command(
        "profile",
        epilog=examples(
            "suture profile bundles/mobilenet_v2 --engine openvino --out edge.json",
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
) -> None:
    """Measure each layer and cut of a bundle on this device; `--engine torch` measures the tails.

    The other load on the machine goes into the figures: measure when it is quiet.
    """
    from suture_partitioner.profile_file import save_profile
    from suture_protocol.errors import UsageError

    if engine == "torch" and device_factor is not None:
        raise UsageError("--device-factor emulates a slow unit; the tails (--engine torch) run on the cloud")
    _check_writable(out)
    if engine == "torch":
        measured = _tails(bundle, device, threads, budget)
    else:
        measured = _heads(bundle, engine, precision, threads, device_factor, images, budget)
    save_profile(measured, out)
    _show(measured)


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


def _tails(bundle: Path, device: str, threads: int, budget_s: float) -> Profile:
    import torch

    from suture_cloud.profiling import measure_tails
    from suture_cloud.tail import Tails, choose_device
    from suture_models.bundle import open_bundle

    torch.set_num_threads(threads)
    with profiling_bar() as progress:
        tails = Tails(open_bundle(bundle), choose_device(device))
        return measure_tails(tails, budget_s=budget_s, progress=progress)


def _heads(
    bundle: Path, engine: str, precision: str, threads: int, asked: str | None, images: Path | None, budget_s: float
) -> Profile:
    from suture_edge.profiling import measure_edge, time_of
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
    with in_force(device, heads) as said, profiling_bar() as progress:
        preprocess_s = time_of(slow(lambda: _read_one(heads.bundle, images)))
        return measure_edge(
            heads,
            samples,
            budget_s=budget_s,
            device_factor=1.0 if device is None else device.factor,
            emulated=said,
            slow=slow,
            preprocess_s=preprocess_s,
            progress=progress,
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


def _show(profile: Profile) -> None:
    from rich.table import Table

    from suture_protocol.units import format_time

    emulated = f", emulated {profile.device_factor:g} times slower" if profile.device_factor != 1 else ""
    title = f"{profile.network}, {profile.variant_id or profile.engine} on {profile.device.get('cpu', '?')}{emulated}"
    stdout_console().print(title, markup=False, soft_wrap=True)
    table = Table()
    for name in ("cut", "head" if profile.side == "edge" else "tail", "least", "codec", "payload", "samples"):
        table.add_column(name, justify="left" if name in ("cut", "codec") else "right")
    for cut_id, timing in profile.cuts.items():
        codec = ", ".join(f"{name} {format_time(seconds)}" for name, seconds in timing.codec_s.items())
        sizes = ", ".join(f"{size:,}" for size in timing.payload_bytes.values())
        samples = str(timing.samples) if timing.samples else "interpolated"
        times = (format_time(timing.compute_s), format_time(timing.compute_min_s))
        table.add_row(cut_id, *times, codec, sizes, samples)
    stdout_console().print(table)
    top = sorted(profile.layers_s.items(), key=lambda row: -row[1])[:_TOP_LAYERS]
    if top:
        text = ", ".join(f"{name} {format_time(seconds)}" for name, seconds in top)
        stdout_console().print(f"slowest of {len(profile.layers_s)} layers: {text}", markup=False, soft_wrap=True)
