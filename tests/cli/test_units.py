"""What the commands share: a progress bar on a terminal must leave the results on stdout alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

SCRIPT = """
from suture.console import write_json
from suture.units import profiling_bar

with profiling_bar() as report:
    write_json({"line": 0})
    report(0, 2, "measuring cut 0")
    write_json({"line": 1})
    report(2, 2, "measured")
    write_json({"line": 2})
"""


def test_results_stay_on_stdout_while_a_bar_is_on_the_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment,
            timeout=60,
            check=True,
        )
        os.close(theirs)
        shown = _all_of(terminal.fileno())
    assert done.stdout.splitlines() == [b'{"line": 0}', b'{"line": 1}', b'{"line": 2}']
    assert b"measuring cut 0" in shown
    assert b"line" not in shown


def _all_of(descriptor: int) -> bytes:
    shown = b""
    while True:
        try:
            more = os.read(descriptor, 65536)
        except OSError:  # Linux reports the other end's closing so
            return shown
        if not more:
            return shown
        shown += more
