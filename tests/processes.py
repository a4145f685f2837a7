"""The command as real processes: run it to its end, keep a cloud running, wait for what can be seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle

SUTURE = str(Path(sys.executable).with_name("suture"))
DEMO = Path(__file__).parents[1] / "data" / "demo"
#: Two that the network calls pneumonia and one that it calls normal, all far from the threshold.
CHESTS = [*sorted(DEMO.glob("CR_*pneumonia*.dcm")), *DEMO.glob("CT_chest*.dcm")]


def environment(cache: Path, **more: str) -> dict[str, str]:
    """One thread per process, profiles in a folder of the test's, and tables of a fixed width."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache), "COLUMNS": "200", **more}


@dataclass(frozen=True, kw_only=True)
class Command:
    """`suture` with a profile cache of the tests'."""

    cache: Path

    def run(self, *arguments: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """To its end."""
        command = [SUTURE, *map(str, arguments)]
        return subprocess.run(
            command, env=environment(self.cache), capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def run_without_namespaces(self, *arguments: object, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """To its end, on a system that forbids network namespaces; skips the test where that cannot be arranged."""
        forbid = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
        shell = ["unshare", "-Ur", "sh", "-c", forbid, "sh"]
        there = shutil.which("unshare") is not None
        if not there or subprocess.run([*shell, "true"], capture_output=True, check=False).returncode:
            pytest.skip("needs user namespaces, in which to forbid network namespaces")
        command = [*shell, SUTURE, *map(str, arguments)]
        return subprocess.run(
            command, env=environment(self.cache), capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def rows(self, *arguments: object, status: int = 0) -> list[dict[str, Any]]:
        """What it prints with `--json`, which must be all that it prints on stdout."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, f"exit {done.returncode}: {done.stderr or done.stdout}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextmanager
    def started(self, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """As a process to talk to; killed at the end if it still runs."""
        process = subprocess.Popen(
            [SUTURE, *map(str, arguments)],
            env=environment(self.cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs the tests in the background makes its children deaf to SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


class CloudProcess:
    """`suture cloud` on this machine's loopback, with one or more bundles."""

    def __init__(self, command: Command, folder: Path, *bundles: Bundle) -> None:
        self._command = command
        self._bundles = bundles
        self._port_file = folder / "address"
        self._log = folder / "cloud.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        """Starts it, on the same port as the last time where there was one."""
        self._port_file.unlink(missing_ok=True)
        options = [part for bundle in self._bundles for part in ("--bundle", str(bundle.path))]
        options += ["--listen", self.address, "--insecure", "--port-file", str(self._port_file)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [SUTURE, "cloud", *options], env=environment(self._command.cache), stdout=log, stderr=log
            )
        until(lambda: self._port_file.exists() or self.process.poll() is not None, 60)
        assert self._port_file.exists(), self.log
        self.address = self._port_file.read_text(encoding="utf-8").strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and gives the status that it ended with."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


@contextmanager
def running_cloud(command: Command, folder: Path, *bundles: Bundle) -> Iterator[CloudProcess]:
    """A cloud for as long as the block lasts."""
    cloud = CloudProcess(command, folder, *bundles)
    cloud.start()
    try:
        yield cloud
    finally:
        if cloud.process is not None:
            cloud.process.kill()
            cloud.process.wait(30)


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Waits for a state of another process that can only be looked at."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "the expected state was not reached"
        time.sleep(0.02)


def another_build(bundle: Bundle, folder: Path) -> Bundle:
    """The same network under another digest, as a second build with other versions would be."""
    shutil.copytree(bundle.path, folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["built_with"]["torch"] = "0.0.1"
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest, sort_keys=True), encoding="utf-8")
    return open_bundle(folder)


def middle_cut(bundle: Bundle) -> str:
    """A cut in the middle of the candidates."""
    inner = [cut.id for cut in bundle.manifest.cuts if cut.candidate][1:-1]
    return inner[len(inner) // 2]
