"""Other processes of experiments and of the demonstration: the cloud, and modules that run at an end of a link."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from suture_simulators.experiments.types import ExperimentFailed
from suture_simulators.link import EmulatedLink

#: Importing torch from a cold disk is most of it.
CLOUD_START_S: Final = 120.0
_STOP_S: Final = 8.0
_TAIL_LINES: Final = 4
_CHILD: Final = "suture_simulators.experiments.child"


class CloudProcess:
    """`suture cloud` on a free loopback port, from entering to leaving."""

    def __init__(self, bundles: Sequence[Path], scratch: Path) -> None:
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
            self._process = start_module([_CHILD, "suture", "cloud", *words, *options], stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            stop(self._process)

    def wait_ready(self) -> str:
        """The address, once it serves.

        Raises:
            ExperimentFailed: it ended, or did not come up in time.
        """
        until_s = time.monotonic() + CLOUD_START_S
        while not (address := self._address()):
            self.check()
            if time.monotonic() > until_s:
                text = f"the cloud did not come up within {CLOUD_START_S:.0f} s{last_words(self._log_path)}"
                raise ExperimentFailed(text)
            time.sleep(0.02)
        self.port = int(address.rpartition(":")[2])
        return address

    def check(self) -> None:
        """Raises ExperimentFailed where the cloud has ended."""
        if self._process is not None and self._process.poll() is not None:
            status = self._process.returncode
            raise ExperimentFailed(f"the cloud process ended with status {status}{last_words(self._log_path)}")

    def _address(self) -> str:
        with suppress(OSError):
            text = self._port_file.read_text(encoding="utf-8")
            return text.strip() if text.endswith("\n") else ""
        return ""


def start_module(
    module: Sequence[str],
    *,
    stderr: IO[bytes],
    stdout: int | None = None,
    link: EmulatedLink | None = None,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts one of our modules in a session of its own: a terminal's Ctrl-C is for the parent, which ends the rest.

    Args:
        module: Its name and its arguments.
        stderr: Where it complains.
        stdout: As `subprocess.Popen` takes it; by default where it complains.
        link: The link at whose near end it runs; None for this machine's own network.
        pass_fds: Descriptors that it inherits.
        environment: Added to this process's.
    """
    command = [sys.executable, "-P", "-m", *module]
    settings: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": stderr if stdout is None else stdout,
        "stderr": stderr,
        "start_new_session": True,
        "pass_fds": tuple(pass_fds),
        # So that it finds the packages wherever this process found them.
        "env": {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    }
    return subprocess.Popen(command, **settings) if link is None else link.popen(command, **settings)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends it: asked first, then killed."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait()


def last_words(log_path: Path) -> str:
    """The end of a process's log, to be put behind a message."""
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log_path.exists() else []
    return ": " + " | ".join(line.strip() for line in lines[-_TAIL_LINES:]) if lines else " without a word"
