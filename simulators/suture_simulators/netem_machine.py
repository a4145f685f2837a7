"""Where a routing kernel is told what to do: what the router asks of it, and this kernel as one that can be asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Protocol

from suture_protocol.errors import CapabilityMissing, LinkError
from suture_simulators.netem_ends import SYSTEM_PATH

_COMMAND_S = 10.0


class Machine(Protocol):
    """Where the router is. Either raises LinkError when something fails."""

    def run(self, line: str) -> str:
        """Runs a line of shell; returns what it wrote."""

    def tell_tc(self, commands: Sequence[str]) -> None:
        """Gives commands to tc, without its name."""

    def cpu_s(self) -> float:
        """Processor time that the routing has taken, where it can be told."""


class ThisKernel:
    """The namespace that this process is in, as a router."""

    def run(self, line: str) -> str:
        """As the protocol says."""
        return self._do(["sh", "-c", line], "", line)

    def tell_tc(self, commands: Sequence[str]) -> None:
        """As the protocol says."""
        self._do(["tc", "-batch", "-"], "".join(f"{command}\n" for command in commands), f"tc {'; tc '.join(commands)}")

    def cpu_s(self) -> float:
        """None: the kernel's own work is nobody's."""
        return 0.0

    def require_netem(self) -> None:
        """Tries what the router needs of this kernel.

        Raises:
            CapabilityMissing: it has no netem, tbf, ifb or what leads packets there, or there is no `tc`.
        """
        try:
            self.run("tc qdisc replace dev lo root netem delay 1us")
            self.run("tc qdisc replace dev lo root tbf rate 1mbit burst 2k limit 9k")
            self.run("ip link add dev try-ifb type ifb && tc qdisc add dev try-ifb ingress")
            self.run("tc filter add dev try-ifb ingress protocol ip matchall action mirred egress redirect dev lo")
            self.run("tc qdisc del dev lo root; ip link del dev try-ifb")
        except LinkError as error:
            raise CapabilityMissing(
                f"this kernel cannot shape packets itself: {error}. Try: modprobe -a sch_netem sch_tbf ifb "
                "act_mirred cls_matchall, and apt-get install iproute2; or use --backend tun, or --backend uml, which "
                "brings a kernel that can"
            ) from error

    def _do(self, command: list[str], text: str, what: str) -> str:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), SYSTEM_PATH])
        try:
            done = subprocess.run(
                command,
                input=text,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                check=False,
                timeout=_COMMAND_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LinkError(f"`{what}` did not run: {error}") from error
        if done.returncode != 0:
            raise LinkError(f"`{what}` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout
