"""Runs `suture link` many times, whole and interrupted, and looks for namespaces, devices, processes left.

    python docs/benchmarks/link_leftovers.py

`bench_link.py` does this as well, at its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import typer

_MARK = "SUTURE_LEFTOVERS_RUN"
_GONE_S = 15.0
_LATEST_S = 1.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What was left, in words, and the exit statuses that were seen."""

    left: list[str]
    statuses: dict[str, list[int]]

    def said(self) -> str:
        """One line for the report."""
        seen = ", ".join(f"{name}: exit status {sorted(set(found))}" for name, found in self.statuses.items())
        return f"{'left: ' + '; '.join(self.left) if self.left else 'nothing left behind'} ({seen})"


def run_and_look(whole: int, interrupted: int, seed: int = 1) -> Leftovers:
    """Runs `whole` links to their end; interrupts others at random moments, half by Ctrl-C, half by `kill -9`."""
    generator = random.Random(seed)
    mark = uuid.uuid4().hex
    environment = {**os.environ, _MARK: mark}
    devices, namespaces = _devices(), _namespaces()
    statuses: dict[str, list[int]] = {"whole": [], "Ctrl-C": [], "kill -9": []}
    hung: list[str] = []
    for _ in range(whole):
        statuses["whole"].append(_start(["true"], environment).wait())
    for turn in range(interrupted):
        process = _start(["sleep", "60"], environment)
        time.sleep(generator.uniform(0.0, _LATEST_S))
        if turn % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        how = "kill -9" if turn % 2 else "Ctrl-C"
        try:
            statuses[how].append(process.wait(_GONE_S))
        except subprocess.TimeoutExpired:
            hung.append(f"a run still ran {_GONE_S:.0f} s after {how}")
            process.kill()
            process.wait()
    end_s = time.monotonic() + _GONE_S
    while (left := _left(mark, devices, namespaces)) and time.monotonic() < end_s:
        time.sleep(0.2)
    if any(statuses["whole"]):
        left.append(f"a whole run failed: {statuses['whole']}")
    return Leftovers(left=left + hung, statuses=statuses)


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    options = ["--rate", "20mbit", "--delay", "5ms"]
    # A shell's background job ignores Ctrl-C and passes that on; what is tested is a command of a terminal.
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "suture", "link", *options, "--", *command],
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


def _left(mark: str, devices: set[str], namespaces: set[str]) -> list[str]:
    ours = _marked(mark)
    found = [f"process {pid} {words}" for pid, words in ours.items()]
    found += [f"device {name}" for name in sorted(_devices() - devices)]
    # Somebody else's new namespace is full of their processes; ours would be empty or hold marked ones.
    for namespace in sorted(_namespaces() - namespaces):
        inhabitants = _inhabitants(namespace)
        if not inhabitants or any(pid in ours for pid in inhabitants):
            found.append(f"namespace {namespace}")
    return found


def _marked(mark: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def _inhabitants(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "ns/net") == f"net:[{namespace}]":
                found.append(int(entry.name))
    return found


def _devices() -> set[str]:
    done = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    return {line.split(":")[1].strip() for line in done.stdout.splitlines()}


def _namespaces() -> set[str]:
    command = ["lsns", "-t", "net", "-n", "-o", "NS"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def main(whole: int = 50, interrupted: int = 20) -> None:
    """Measures, writes docs/benchmarks/link-leftovers_<machine>_<date>.md, exits 1 where something was left."""
    from common import write_report  # the tests import this file, but not from its folder

    found = run_and_look(whole, interrupted)
    lines = [f"{whole} runs of `suture link … -- true`, {interrupted} interrupted at random moments: {found.said()}."]
    write_report("link-leftovers", lines, {"command": "python docs/benchmarks/link_leftovers.py"})
    raise typer.Exit(int(bool(found.left)))


if __name__ == "__main__":
    typer.run(main)
