"""What commands that run for minutes share: their output folder, how they end, and a bar that says how far they are."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suture.console import stderr_console
from suture_protocol.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def make_folder(out: Path) -> None:
    """Makes the folder of `--out`.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be made: {error.strerror}") from error


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, with everything that it started."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StagedBar:
    """A progress bar on stderr; where no bar is seen, a line for each stage. Made by `staged_bar`."""

    def __init__(self, bar: Progress, task: TaskID, console: Console) -> None:
        self._bar, self._task, self._console = bar, task, console
        self._stage = ""

    def say(self, text: str) -> None:
        """Says something above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, done: int, total: int | None, text: str, *, stage: str, line: str) -> None:
        """How far it is; `line` is said where there is no bar and `stage` is a new one."""
        self._bar.update(self._task, completed=done, total=total, description=text)
        if stage != self._stage and not self._console.is_terminal:
            self.say(line)
        self._stage = stage


@contextmanager
def staged_bar(beginning: str, middle_column: Any) -> Iterator[StagedBar]:
    """A bar that goes when it is done; `middle_column` stands between it and what is said of the stage."""
    from rich.progress import BarColumn, Progress, TextColumn

    console = stderr_console()
    columns = (BarColumn(bar_width=24), middle_column, TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield StagedBar(bar, bar.add_task(beginning, total=None), console)
