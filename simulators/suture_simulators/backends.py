"""Which backends of the emulated link this machine has, and why not the others: tried for real, in a process that ends.

Run as `python -m suture_simulators.backends` by `usable_backends`; it prints one JSON object.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping

from suture_protocol.errors import CapabilityMissing
from suture_simulators import kernel
from suture_simulators.helpers import module_command, module_environment
from suture_simulators.namespaces import create_ends
from suture_simulators.netem_ends import create_routed_ends
from suture_simulators.netem_machine import ThisKernel
from suture_simulators.uml_image import find_parts

_TRY_S = 20.0


@functools.cache
def usable_backends(*names: str) -> Mapping[str, str | None]:
    """Each backend's name (by default all), with None where it can be used here, else why not and the way out.

    Takes about a third of a second, once per process. `uml` is not booted for it: that its parts are there and that it
    may have its devices is all that is looked at, so it may still refuse to boot.
    """
    wanted = names or tuple(_TRIES)
    if sys.platform != "linux":
        return dict.fromkeys(wanted, f"emulated links need Linux; this is {sys.platform}")
    try:
        done = subprocess.run(
            module_command("backends", *wanted),
            env=module_environment(),
            capture_output=True,
            check=True,
            timeout=_TRY_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return dict.fromkeys(wanted, f"what this machine has could not be found out: {error}")
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def _try_tun() -> None:
    create_ends()


def _try_netem() -> None:
    create_routed_ends("veth", None)
    ThisKernel().require_netem()


def _try_uml() -> None:
    find_parts()
    create_routed_ends("tap", None)
    kernel.unshare(kernel.CLONE_NEWPID)


_TRIES: dict[str, Callable[[], None]] = {"tun": _try_tun, "netem": _try_netem, "uml": _try_uml}


def _why_not(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except (CapabilityMissing, OSError) as error:
        return str(error)
    return None


def main() -> int:
    """Tries those named and prints what came of it."""
    sys.stdout.write(json.dumps({name: _why_not(_TRIES[name]) for name in sys.argv[1:]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
