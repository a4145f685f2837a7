"""What every benchmark here shares: the machine's description and the result file."""

from __future__ import annotations

import datetime
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from suture.console import stdout_console
from suture_partitioner.device import device_fingerprint

_START_S = 60.0
_PACKAGES = ("torch", "openvino", "onnxruntime", "ai-edge-litert", "nncf", "numpy", "grpcio", "suture")


def machine_name(device: Mapping[str, Any]) -> str:
    """A short name of a machine for file names, e.g. `intel-xeon-2cores`."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)|processor|cpu", " ", device["cpu"].lower()))
    return "-".join([*words[:4], f"{device['cores']}cores"])


def versions() -> dict[str, str]:
    """Versions of the libraries that figures depend on."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_report(what: str, lines: Sequence[str], configuration: Mapping[str, Any], suffix: str = "") -> Path:
    """Writes `<what>_<machine>_<date>.md` beside this file, with a letter where that is there, and shows it.

    Machine, versions and date are those of `configuration` (`device`, `versions`, `measured`) where it has them, as
    that of an earlier run does; else those of now.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = {"device": dict(device_fingerprint()), "versions": versions(), "measured": today, **configuration}
    stem = f"{what}_{suffix or machine_name(rows['device'])}_{rows['measured'][:10]}"
    paths = (Path(__file__).parent / f"{stem}{letter}.md" for letter in ("", *ascii_lowercase[1:]))
    path = next(path for path in paths if not path.exists())
    text = [f"# {what}", "", *lines, "", "## Configuration", ""]
    text += [f"- {name}: {_text(value)}" for name, value in rows.items()]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    stdout_console().print("\n".join(text), markup=False, soft_wrap=True)
    return path


@contextmanager
def running_cloud(bundle: Path) -> Iterator[str]:
    """A `suture cloud` process with `bundle` on a free loopback port; yields its address once it serves."""
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as scratch:
        port_file = Path(scratch) / "port"
        command = [sys.executable, "-m", "suture", "cloud", "--bundle", str(bundle), "--listen", "127.0.0.1:0"]
        cloud = subprocess.Popen([*command, "--insecure", "--port-file", str(port_file)])
        try:
            until_s = time.monotonic() + _START_S
            while not port_file.exists() or not port_file.read_text(encoding="utf-8").strip():
                if time.monotonic() > until_s or cloud.poll() is not None:
                    raise SystemExit("the cloud did not start")
                time.sleep(0.05)
            yield port_file.read_text(encoding="utf-8").strip()
        finally:
            cloud.terminate()
            cloud.wait(timeout=10)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
