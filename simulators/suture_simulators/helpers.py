"""Starts this package's own processes (relay, forwarder, probes), so that they find the packages as this one did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from suture_protocol import errors


def start_helper(module: str, descriptors: list[int], arguments: list[Any], noise: Any) -> subprocess.Popen[bytes]:
    """Starts one of this package's modules, in a session of its own: a terminal's Ctrl-C is for the commands."""
    return subprocess.Popen(
        module_command(module, *map(str, arguments)),
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=noise,
        env=module_environment(),
        start_new_session=True,
    )


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of this package's modules; it needs `module_environment`."""
    return [sys.executable, "-P", "-m", f"suture_simulators.{module}", *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment, with the packages findable from wherever this process found them."""
    roots = {str(Path(file).parents[1]) for file in (__file__, errors.__file__)}
    path = os.pathsep.join([*sorted(roots), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def end_helper(process: subprocess.Popen[bytes]) -> None:
    """Ends a helper that has nothing to tidy up."""
    process.kill()
    process.wait()
