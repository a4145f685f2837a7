"""The demonstration's other processes: the cloud, and a unit at the near end of a link or on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from suture_protocol.errors import SutureError
from suture_simulators.link import EmulatedLink

#: Importing torch from a cold disk is most of it.
CLOUD_START_S = 120.0
_STOP_S = 8.0
_TAIL_LINES = 4
#: Told how far a unit is: done, in all, what it does now.
Report = Callable[[int, int, str], None]


class DemoFailed(SutureError):
    """A process of the demonstration failed; the message ends with the last lines that it wrote."""


class CloudProcess:
    """`suture cloud` on a free loopback port, from entering to leaving."""

    def __init__(self, bundles: list[Path], scratch: Path) -> None:
        """Prepares; nothing runs yet."""
        self._bundles = bundles
        self._port_file = scratch / "cloud.port"
        self._log_path = scratch / "cloud.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        words = [word for path in self._bundles for word in ("--bundle", str(path))]
        options = ["--listen", "127.0.0.1:0", "--insecure", "--allow-files", "--port-file", str(self._port_file)]
        with self._log_path.open("wb") as log:
            self._process = _start(["suture.demo.child", "cloud", *words, *options], stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            _stop(self._process)

    def wait_ready(self) -> str:
        """The address, once it serves.

        Raises:
            DemoFailed: it ended, or did not come up in time.
        """
        until_s = time.monotonic() + CLOUD_START_S
        while not (address := self._address()):
            self.check()
            if time.monotonic() > until_s:
                raise DemoFailed(f"the cloud did not come up within {CLOUD_START_S:.0f} s{_tail(self._log_path)}")
            time.sleep(0.02)
        self.port = int(address.rpartition(":")[2])
        return address

    def check(self) -> None:
        """Raises DemoFailed where the cloud has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise DemoFailed(f"the cloud process ended with status {self._process.returncode}{_tail(self._log_path)}")

    def _address(self) -> str:
        with suppress(OSError):
            text = self._port_file.read_text(encoding="utf-8")
            return text.strip() if text.endswith("\n") else ""
        return ""


def run_unit(
    config: Mapping[str, Any], scratch: Path, report: Report, link: EmulatedLink | None, cloud: CloudProcess
) -> dict[str, Any]:
    """Runs a unit's process to its end and gives back what it measured.

    Args:
        config: See `suture.demo.unit`.
        scratch: Folder for its files.
        report: Told how it goes.
        link: The link at whose near end it runs; None for this machine's own network.
        cloud: What it talks to; where it has ended, that is the error.

    Raises:
        DemoFailed: it, or the cloud, failed.
    """
    config_path, result_path, log_path = (scratch / f"unit.{kind}" for kind in ("config", "result", "log"))
    result_path.unlink(missing_ok=True)
    config_path.write_text(json.dumps({**config, "result": str(result_path)}), encoding="utf-8")
    module = ["suture.demo.unit", str(config_path)]
    with log_path.open("wb") as log:
        process = _start(module, stderr=log, stdout=subprocess.PIPE, link=link)
    try:
        _follow(process, report)
    finally:
        _stop(process)
    if process.returncode or not result_path.is_file():
        cloud.check()
        raise DemoFailed(f"the unit's process ended with status {process.returncode}{_tail(log_path)}")
    result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    return result


def _follow(process: subprocess.Popen[bytes], report: Report) -> None:
    if process.stdout is None:
        raise ValueError("the process has no pipe to follow")
    with process.stdout as lines:
        for line in lines:
            with suppress(ValueError, KeyError):
                told = json.loads(line)
                report(told["done"], told["total"], told["text"])
    process.wait()


def _start(
    module: list[str], *, stderr: IO[bytes], stdout: int | None = None, link: EmulatedLink | None = None
) -> subprocess.Popen[bytes]:
    """Starts one of our modules in a session of its own: a terminal's Ctrl-C is for the parent, which ends the rest."""
    command = [sys.executable, "-P", "-m", *module]
    settings: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": stderr if stdout is None else stdout,
        "stderr": stderr,
        "start_new_session": True,
        # So that it finds the packages wherever this process found them.
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    }
    return subprocess.Popen(command, **settings) if link is None else link.popen(command, **settings)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait()


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log_path.exists() else []
    return ": " + " | ".join(line.strip() for line in lines[-_TAIL_LINES:]) if lines else " without a word"
