"""A comparison of two runs as a person reads it on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from suture_protocol.units import format_time
from suture_simulators.experiments.compare import LEAST_CHANGE, Cell, Change, Comparison
from suture_simulators.experiments.statistics import LEAST_SAMPLES

if TYPE_CHECKING:
    from rich.console import Console

#: Lists of one side's points and of differences end after so many.
_LISTED: Final = 12


def show(comparison: Comparison, console: Console) -> None:
    """Writes what changed first, then what did not, then what could not be compared."""
    console.print(f"{comparison.experiment}: {comparison.a} → {comparison.b}", markup=False, soft_wrap=True)
    console.print("Links and devices are emulated. Times are medians; below 1, B is faster.", markup=False)
    _show_changes(comparison, console)
    _show_losses(comparison, console)
    _show_figures(comparison, console)
    _list(console, "differs in what was run, or on what", comparison.differences)
    _list(console, "only in A", _named(comparison.only_a))
    _list(console, "only in B", _named(comparison.only_b))
    _list(console, "left out, the emulation was invalid in one of the runs", comparison.invalid)
    console.print(
        "Noise is that of the samples within each run; how far two runs of the same thing differ, only such two show.",
        markup=False,
        soft_wrap=True,
    )


def _show_changes(comparison: Comparison, console: Console) -> None:
    from rich.table import Table

    changed = comparison.beyond_noise
    if changed:
        table = Table(title="changed beyond noise", title_justify="left")
        table.add_column("point", overflow="fold")
        table.add_column("arm", overflow="fold")
        for name in ("A", "B", "B / A", "95 % interval", "p adjusted", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for change in changed:
            table.add_row(*_cells(change), style="red" if change.verdict == "slower" else "green")
        console.print(table)
    elif not comparison.changes:
        console.print("the runs share no arm at any valid point: nothing to compare", markup=False)
    elif all(change.verdict == "too few samples" for change in comparison.changes):
        console.print(
            f"too few samples to tell a change from noise: run both with --samples {LEAST_SAMPLES} or more",
            markup=False,
        )
    else:
        console.print("nothing changed beyond noise", markup=False)
    for verdict in ("within noise", "too few samples"):
        count = sum(change.verdict == verdict for change in comparison.changes)
        if count:
            least = f" (or by less than {LEAST_CHANGE:.0%})" if verdict == "within noise" else ""
            console.print(f"{verdict}{least}: {count} of {len(comparison.changes)} pairs of arms", markup=False)


def _cells(change: Change) -> Sequence[str]:
    ratio = change.ratio
    interval = "–" if ratio.low is None or ratio.high is None else f"{ratio.low:.3f} to {ratio.high:.3f}"
    point = change.point or f"all {change.n_a} points"
    p = "–" if change.p is None else f"{change.p:.2g}"
    count = f"{change.n_a}, {change.n_b}"
    times = (format_time(change.a_s), format_time(change.b_s))
    return (point, change.arm, *times, f"{ratio.value:.3f}", interval, p, count, change.verdict)


def _show_losses(comparison: Comparison, console: Console) -> None:
    for losses in comparison.losses:
        word = "beyond noise" if losses.beyond_noise else "within noise"
        counts = f"{losses.lost_a} of {losses.of_a} → {losses.lost_b} of {losses.of_b}"
        console.print(f"results lost, {losses.point}, {losses.arm}: {counts} ({word})", markup=False, soft_wrap=True)


def _show_figures(comparison: Comparison, console: Console) -> None:
    from rich.table import Table

    if not comparison.figures:
        return
    table = Table(title="figures", title_justify="left")
    table.add_column("figure", overflow="fold")
    for name in ("A", "B", "B / A"):
        table.add_column(name, justify="right")
    for pair in comparison.figures:
        ratio = f"{pair.b / pair.a:.3f}" if pair.a and pair.b is not None else "–"
        table.add_row(pair.name, _number(pair.a), _number(pair.b), ratio)
    console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _named(cells: Iterable[Cell]) -> list[str]:
    return [f"{point}, {arm}" for point, arm in cells]


def _list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"{title}:", markup=False)
    for line in lines[:_LISTED]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  … and {len(lines) - _LISTED} more; --json lists them all", markup=False)
