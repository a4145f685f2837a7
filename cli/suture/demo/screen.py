"""The results on the screen: one table per link, then where a middle cut would win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suture.console import stdout_console
from suture.demo.settings import ARM_TITLES, ARMS
from suture.demo.words import (
    NOT_FOR_DIAGNOSIS,
    advice_lines,
    cut_title,
    device_text,
    link_text,
    middle_text,
    verdict,
    winner_text,
    won,
)
from suture_protocol.units import format_size, format_time

if TYPE_CHECKING:
    from rich.table import Table


def show(results: Mapping[str, Any], out: Path) -> None:
    """Prints everything that a person should see without opening the report."""
    console = stdout_console()

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(f"The unit is {device_text(results)}.")
    say(f"{results['calibration_text'][0].upper()}{results['calibration_text'][1:]}.")
    say(f"The cloud is this machine too ({results['cloud_device']}), at its own speed.")
    for rate_bps in dict.fromkeys(entry["rate_bps"] for entry in results["links"]):
        entries = [entry for entry in results["links"] if entry["rate_bps"] == rate_bps]
        console.print()
        console.print(_table(link_text(entries[0]), entries))
        for entry in entries:
            say(f"  {entry['network']}, {entry['study']}: {entry['finding']['text']}")
            say(f"    {middle_text(entry)}")
            say(f"    why cut {cut_title(entry['cut'])}: {entry['why']}")
    say("")
    for sentence in verdict(results):
        say(sentence)
    say("\nWhere a cut inside the network would win over lossless image, JPEG and edge only (computed, not measured):")
    for network, lines in results["advice"].items():
        for where in lines:
            say(f"  {network}, {advice_lines(where)}")
    say(f"\n{NOT_FOR_DIAGNOSIS}")
    say(f"{out / 'report.html'}  {out / 'results.json'}")


def _table(title: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title=f"Time to result over {title}", title_justify="left")
    for name in ("network", "study", "cut", "payload"):
        table.add_column(name, justify="right" if name == "payload" else "left", no_wrap=name == "network")
    for arm in ARMS:
        table.add_column(ARM_TITLES[arm].replace("split as planned", "split"), justify="right")
    table.add_column("winner")
    for entry in entries:
        times = [
            f"[bold]{format_time(time_s)}[/bold]" if won(entry, arm) else format_time(time_s)
            for arm, time_s in entry["times_s"].items()
        ]
        table.add_row(
            entry["network"],
            entry["study"],
            cut_title(entry["cut"]),
            format_size(entry["payload_bytes"]),
            *times,
            winner_text(entry),
        )
    return table
