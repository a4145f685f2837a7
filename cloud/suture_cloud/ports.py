"""Where the server listens: the one seam through which its ports are made, so that TLS is one more factory."""

from __future__ import annotations

from typing import Any, Protocol

from suture_protocol.address import Address, refuse_without_tls
from suture_protocol.errors import UsageError


class PortFactory(Protocol):
    """Makes the port of a `grpc.aio.Server`."""

    def check(self, address: Address) -> None:
        """Raises UsageError where `address` must not be listened on; called before anything is loaded."""
        ...

    def add(self, server: Any, address: Address) -> int:
        """Adds the port to `server` and returns its number, which differs from the address's where that is 0.

        Raises:
            UsageError: the address is refused, or cannot be listened on.
        """
        ...


class PlainPorts:
    """Ports without TLS, on loopback and measuring links only.

    Args:
        insecure: Whether the user said `--insecure`.
    """

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure

    def check(self, address: Address) -> None:
        refuse_without_tls(address, insecure=self._insecure)

    def add(self, server: Any, address: Address) -> int:
        self.check(address)
        try:
            return int(server.add_insecure_port(str(address)))
        except RuntimeError as error:
            raise UsageError(
                f"cannot listen on {address}: the port is taken or the address is not this machine's; choose another"
            ) from error
