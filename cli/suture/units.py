"""What the commands that run heads share: the bundle, engine and artefact, the way to the cloud, the progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from suture_edge.client import CloudClient
    from suture_edge.heads import Heads
    from suture_edge.slowdown import Slowdown
    from suture_partitioner.energy import PowerModel
    from suture_partitioner.profile import Progress
    from suture_partitioner.types import Constraints, Objective
    from suture_simulators.device import Calibration, EmulatedDevice

ENGINE_HELP = "openvino, onnxruntime or litert."
PRECISION_HELP = "int8 or f32."
ENGINES_HELP = (
    "openvino, onnxruntime, litert, several with commas, or auto: all installed that the bundle is built for."
)
PRECISIONS_HELP = "int8, f32, or auto: both, so that the plan takes the faster one at each cut."
OBJECTIVE_HELP = "What the plan makes small: latency, latency_quantile, throughput, energy or cloud."
CODEC_HELP = (
    "Force a codec: raw, zstd, jpegls, lossless-fast or lossless-small; or a lossy one: jpeg, narrow@1 (an operating "
    "point of the bundle) or zstd@4 (bits)."
)
BUDGET_HELP = (
    "Narrowed codes may change the answer of this share of calibration inputs, e.g. 1%; without: no such codes."
)
MEMORY_HELP = "Heads that take more memory are not planned, e.g. 200mb."
POWER_HELP = (
    "The unit's power, needed where energy is the objective: pi-zero-2, pi-3b-plus, pi-4 or rk3588 (/lte, /wifi)."
)
#: An inference that takes longer on the slow device is not calibrated on: a shorter operation is.
_CALIBRATED_MAX_S = 1.5
FACTOR_HELP = (
    "Emulate a slower device: a factor (12) or a board (pi-4, banana-pi-m2-zero, …), slowed after each operation, or "
    "as a whole by the kernel (cgroup:12). Every figure then says so."
)


def emulated(device: str | None) -> EmulatedDevice | None:
    """The slow device that was asked for; None for this machine as it is. Call it before an engine is loaded.

    Raises:
        UsageError: no such board, or a factor below 1.
        CapabilityMissing: this host has not what it takes.
    """
    from suture_simulators.device import emulate, parse_device

    if device is None:
        return None
    asked = parse_device(device)
    return None if asked.preset is None and asked.factor == 1 else emulate(device)


def slowed(device: EmulatedDevice | None) -> Slowdown:
    """The wrapper for the unit's operations."""
    from suture_edge.slowdown import full_speed

    return full_speed if device is None else device


@contextmanager
def in_force(device: EmulatedDevice | None, heads: Heads) -> Iterator[str]:
    """The slow device, calibrated on `heads` and told of on stderr, from entering to leaving; yields its record."""
    if device is None:
        yield ""
        return
    from suture.console import stderr_console

    calibration = _calibrated(device, heads)
    origin = "; ".join(filter(None, (device.basis, device.source)))
    stderr_console().print(f"{device} ({origin})\n{calibration}", markup=False, soft_wrap=True)
    device.start()
    try:
        yield f"{device}; {calibration}"
    finally:
        device.close()


def _calibrated(device: EmulatedDevice, heads: Heads) -> Calibration:
    """The factor on one whole inference, where there is one and it does not take all day; else on the default."""
    from suture_edge.engines.registry import load_head
    from suture_models.calibration import calibration_inputs
    from suture_models.manifest import LAST_CUT

    last = heads.bundle.cut(LAST_CUT)
    if not heads.variant.has_cut(last):
        return device.calibrate()
    image = calibration_inputs(heads.bundle.manifest.network, None).inputs[0]
    with closing(load_head(heads.engine, heads.bundle, heads.variant, last, threads=heads.threads)) as head:
        head.run(image)
        began_s = time.perf_counter()
        head.run(image)
        if (time.perf_counter() - began_s) * device.factor > _CALIBRATED_MAX_S:
            return device.calibrate()
        return device.calibrate(lambda: head.run(image), name=f"{heads.bundle.name} {heads.variant.id}")


def open_heads(bundle: Path, engine: str, precision: str, threads: int, slow: Slowdown) -> Heads:
    """The bundle's heads on this processor.

    Raises:
        BundleError: no such bundle, or no artefact of it for this engine and processor.
        UsageError: no such engine or precision.
    """
    from suture_edge.engines.registry import choose_variant, get_engine
    from suture_edge.heads import Heads
    from suture_models.bundle import open_bundle
    from suture_partitioner.device import processor_class
    from suture_protocol.errors import UsageError

    if precision not in ("int8", "f32"):
        raise UsageError(f"--precision {precision}: choose int8 or f32")
    opened = open_bundle(bundle)
    made = get_engine(engine)
    variant = choose_variant(opened, engine, processor_class(), "int8" if precision == "int8" else "f32")
    return Heads(opened, made, variant, threads=threads, slow=slow)


def open_variants(bundle: Path, engines: str, precision: str, threads: int, slow: Slowdown) -> list[Heads]:
    """Heads of each engine and precision that the plan may choose from; of the first, where a cut is forced.

    Args:
        bundle: The bundle.
        engines: An engine, several with commas, or `auto`: all installed ones that the bundle has an artefact for.
        precision: int8, f32, or `auto`: those of both that the bundle has.
        threads: Of each engine.
        slow: The emulated slow device.

    Raises:
        BundleError: no such bundle, or no artefact of it fits.
        UsageError: no such engine or precision.
    """
    from suture_edge.engines.registry import engine_names, get_engine
    from suture_protocol.errors import BundleError, CapabilityMissing

    names = engine_names() if engines == "auto" else [name.strip() for name in engines.split(",")]
    kinds = ["int8", "f32"] if precision == "auto" else [precision]
    found: list[Heads] = []
    refused: list[BundleError | CapabilityMissing] = []
    for name in names:
        for kind in kinds:
            try:
                if engines == "auto":
                    get_engine(name).version()  # fails where the library is not installed
                found.append(open_heads(bundle, name, kind, threads, slow))
            except (BundleError, CapabilityMissing) as error:
                if engines != "auto" and precision != "auto":
                    raise
                refused.append(error)
    if not found:
        raise refused[0]
    return found


def aims(
    *,
    objective: str,
    accuracy_budget: str | None,
    memory: str | None,
    power: str | None,
    privacy_floor: str | None,
    codec: str | None,
) -> tuple[Constraints, Objective, PowerModel | None]:
    """What the plan makes small and must respect; floor and codec are checked with the unit.

    Raises:
        UsageError: one of them does not read, and the message begins with its option.
    """
    from dataclasses import replace

    from suture.planning import options
    from suture_partitioner.types import Constraints

    aim = options.objective(objective)
    limits = options.limits(Constraints(), memory=memory, accuracy_budget=accuracy_budget)
    limits = replace(limits, privacy_floor=privacy_floor, codecs=None if codec is None else (codec,))
    return limits, aim, options.power(power, aim, None)


def open_client(cloud: str | None, *, insecure: bool) -> CloudClient | None:
    """A client of the cloud at `cloud`, not connected yet; None without one.

    Raises:
        UsageError: not an address, or one that must not be used so.
    """
    if cloud is None:
        return None
    from suture_edge.channels import PlainChannels
    from suture_edge.client import CloudClient
    from suture_protocol.address import parse_address, refuse_without_tls

    address = parse_address(cloud)
    refuse_without_tls(address, insecure=insecure)
    return CloudClient(address, PlainChannels(insecure=insecure))


@contextmanager
def profiling_bar() -> Iterator[Progress]:
    """A progress bar on stderr, where that is a terminal; it appears with the first report and is gone after the last,
    so that lines of output which follow it stand alone."""
    bars: list[Bar] = []

    def report(done: int, total: int, text: str) -> None:
        if not bars and done < total:
            bars.append(_bar())
            bars[0].add_task(text, total=total)
            bars[0].start()
        for bar in bars:
            bar.update(bar.task_ids[0], completed=done, total=total, description=text[:48])
            if done >= total:
                bar.stop()
        if done >= total:
            bars.clear()

    try:
        yield report
    finally:
        for bar in bars:
            bar.stop()


def _bar() -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from suture.console import stderr_console

    console = stderr_console()
    columns: tuple[Any, ...] = (TextColumn("{task.description:<48}"), BarColumn(), MofNCompleteColumn())
    # rich would send what is written to stdout meanwhile to stderr, results and all.
    return Bar(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
