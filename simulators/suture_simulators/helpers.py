"""Starts this package's own processes (relay, forwarder, probes), so that they find the packages as this one did."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suture_protocol import errors
from suture_simulators.namespaces import FAR_ADDRESS, NEAR_ADDRESS

#: Names the other end of a link to the commands at either end.
PEER_VARIABLE = "SUTURE_PEER"


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


def command_environment(base: Mapping[str, str], peer: str) -> dict[str, str]:
    """A command's environment: names the peer, and keeps a proxy of the host's network from being asked for it."""
    network = "198.18.0.0/15"
    result = {**base, PEER_VARIABLE: peer}
    for name in ("no_proxy", "NO_PROXY"):
        result[name] = ",".join(filter(None, [base.get(name), FAR_ADDRESS, NEAR_ADDRESS, network]))
    return result
