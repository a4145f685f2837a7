"""A link whose router is a User-Mode Linux: `python -m suture_simulators.uml_router CONTROL_FD PARENT_PID`.

For kernels without netem: everything else, from the qdiscs to the verdict, is `netem_router`'s.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from suture_simulators.netem_ends import LEGS, RoutedEnds
from suture_simulators.netem_machine import Machine
from suture_simulators.netem_router import Backend, serve
from suture_simulators.uml_guest import UmlGuest


def _open(ends: RoutedEnds, stack: ExitStack) -> tuple[Machine, str]:
    guest = stack.enter_context(UmlGuest(ends.ports))
    for number, leg in enumerate(LEGS):
        guest.run(f"ip link set dev vec{number} name {leg}")
    return guest, guest.hurry()


def main(control_fd: int, parent: int) -> int:
    """The `uml` backend's helper."""
    return serve(Backend("uml", "tap", _open), control_fd, parent)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
