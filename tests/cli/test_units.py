"""What the commands share: a bar on a terminal leaves stdout to the results, and emulated devices are said to be."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from suture.app import main
from suture.units import emulated
from suture_models.bundle import Bundle
from tests.processes import CHESTS, Command

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


@pytest.mark.parametrize("command", [["infer", "chest.dcm"], ["profile"]])
@pytest.mark.parametrize("asked", ["abacus", "0.5", "cgroup:0", "nan"])
def test_a_device_that_cannot_be_emulated_is_refused_at_once(
    command: list[str], asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--bundle", "none"] if command[0] == "infer" else ["none", "--out", str(tmp_path / "edge.json")]
    assert main([*command, *place, "--device-factor", asked]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pi-4" in err or "so 1 to" in err


def test_a_device_of_factor_one_is_this_machine_as_it_is() -> None:
    assert emulated("1") is None
    assert emulated(None) is None


def test_an_emulated_unit_says_so_on_stderr_and_in_each_row(command: Command, pneumonia_bundle: Bundle) -> None:
    asked = ("--bundle", pneumonia_bundle.path, "--cut", "last", "--device-factor", "3", "--json")
    done = command.run("infer", CHESTS[0], *asked)
    assert done.returncode == 0, done.stderr
    said = "emulated device: 3 times slower than this machine by dilation"
    assert f"{said} (given with --device-factor)" in done.stderr
    assert "set to 3 times slower, measured" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert all(row["emulated"].startswith(said) for row in rows)
