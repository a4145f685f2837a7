"""What the commands that run heads share: the bundle, engine and artefact, the way to the cloud, the progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from suture_edge.client import CloudClient
    from suture_edge.heads import Heads
    from suture_edge.slowdown import Slowdown
    from suture_partitioner.profile import Progress

ENGINE_HELP = "openvino, onnxruntime or litert."
PRECISION_HELP = "int8 or f32."
FACTOR_HELP = "Emulate a device this many times slower; every figure then says so."


def slowdown(factor: float) -> Slowdown:
    """The emulation of a device `factor` times slower; none for 1.

    Raises:
        UsageError: a factor below 1.
    """
    from suture_edge.slowdown import full_speed
    from suture_protocol.errors import UsageError

    if factor < 1:
        raise UsageError(f"--device-factor {factor:g}: a device can only be emulated as slower, so 1 or more")
    if factor == 1:
        return full_speed
    from suture_simulators.device import dilate

    return dilate(factor)


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
