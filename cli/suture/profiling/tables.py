"""A profile as tables on stdout."""

from __future__ import annotations

from rich.table import Table

from suture.console import stdout_console
from suture.profiling import words
from suture_partitioner.types import CutTiming, Profile
from suture_protocol.units import format_size, format_time

#: Layers and cuts that are named as the slowest.
TOP = 8


def show(profile: Profile) -> None:
    """Every cut, then the slowest layers, on stdout."""
    console = stdout_console()
    console.print(words.title(profile), markup=False, soft_wrap=True)
    console.print(_cuts(profile))
    console.print(words.coverage(profile), markup=False, soft_wrap=True)
    layers = words.slowest_layers(profile, TOP)
    if layers:
        console.print(_layers(profile, layers))


def _cuts(profile: Profile) -> Table:
    edge = profile.side == "edge"
    table = Table()
    table.add_column("cut", overflow="fold")
    columns = (words.part(profile), "least", "first run", "loading", "memory")
    for name in (*columns, *(() if edge else ("batch of 8",)), "encoding" if edge else "decoding", "payload", "runs"):
        table.add_column(name, justify="right")
    for cut_id, timing in profile.cuts.items():
        batch = () if edge else (format_time(timing.batch_s[8]) if 8 in timing.batch_s else "-",)
        table.add_row(cut_id, *_computing(timing), *batch, *_crossing(timing), str(timing.samples or "predicted"))
    return table


def _computing(timing: CutTiming) -> tuple[str, ...]:
    times = (timing.compute_s, timing.compute_min_s, timing.first_s, timing.load_s)
    return (*(format_time(seconds) for seconds in times), format_size(timing.memory_bytes))


def _crossing(timing: CutTiming) -> tuple[str, str]:
    """Time and size with the lossless codec that sends least, the size with its spread."""
    codec = words.lossless(timing)
    if codec is None:
        return "-", "-"
    size = format_size(timing.payload_bytes[codec])
    low, *_, high = timing.payload_quantiles_bytes[codec]
    spread = f" ({format_size(low)} to {format_size(high)})" if low < high else ""
    return f"{codec} {format_time(timing.codec_s[codec])}", f"{size}{spread}"


def _layers(profile: Profile, layers: list[tuple[str, float]]) -> Table:
    total_s = sum(profile.layers_s.values())
    table = Table(title=f"slowest of {words.layers_named(profile)} layers, at full speed", title_justify="left")
    table.add_column("layer", overflow="fold")
    for name in ("least", "share"):
        table.add_column(name, justify="right")
    for layer, seconds in layers:
        table.add_row(layer, format_time(seconds), f"{seconds / total_s:.0%}")
    return table
