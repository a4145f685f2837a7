"""Where the command writes: results on stdout, everything else for people on stderr. Imports rich only when used."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Width of tables that go to a file or a pipe, where there is no terminal to fit.
PIPE_COLUMNS = 160


def stdout_console() -> Console:
    """A console on stdout, for the result itself; wide where stdout is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def stderr_console() -> Console:
    """A console on stderr, for progress and remarks, so that stdout stays clean."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def write_json(value: Mapping[str, Any]) -> None:
    """Writes `value` as one line of JSON on stdout and flushes it.

    Raises:
        ValueError: a number in it is not finite; JSON has no word for that.
    """
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")
    sys.stdout.flush()


def size_text(size_bytes: int) -> str:
    """Bytes as people read them, SI units: `147 kB`."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 100 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def examples(*commands: str) -> str:
    """The Examples section of a command's help, for `epilog=`: one command a line, rich markup escaped."""
    escaped = (command.replace("[", "\\[") for command in commands)
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {command}" for command in escaped)
