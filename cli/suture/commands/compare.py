"""`suture experiment compare A B`: what changed between two runs beyond noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suture.console import stdout_console, write_json

_RUN_HELP = "A folder that --out wrote, or its results.json."


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help=_RUN_HELP)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_RUN_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what changed from run A to run B of the same experiment beyond noise."""
    from suture_simulators.experiments.compare import compare as compared
    from suture_simulators.experiments.compare_text import show

    found = compared(a, b)
    if as_json:
        write_json(found.to_json())
    else:
        show(found, stdout_console())
