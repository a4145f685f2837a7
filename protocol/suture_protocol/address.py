"""Network addresses as people write them, and where traffic without TLS is allowed. Resolves no name, opens nothing."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from suture_protocol.errors import UsageError

#: Where `--insecure` is accepted: this machine, and the range that RFC 2544 sets aside for measurements, which
#: emulated links use and no router carries.
_INSECURE_NETWORKS: Final = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "198.18.0.0/15")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A host, by number or name, and a port; port 0 asks for any free one where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads `HOST:PORT`; an IPv6 host stands in brackets, as in `[::1]:7000`.

    Raises:
        UsageError: it is not of that form.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed) or any(c.isspace() or c in "/[]" for c in host):
        raise UsageError(f"{text!r} is not an address; write HOST:PORT, for example 127.0.0.1:7000 or [::1]:7000")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise UsageError(f"{text!r}: {port!r} is not a port; write a number from 0 to 65535 after the colon")
    return Address(host=host, port=int(port))


def check_insecure(address: Address) -> None:
    """Checks that traffic without TLS may use `address`.

    Raises:
        UsageError: it is neither this machine's loopback nor in 198.18.0.0/15.
    """
    if address.host == "localhost":
        return
    allowed = "127.0.0.0/8, ::1 or 198.18.0.0/15 (links made for measuring)"
    try:
        number = ipaddress.ip_address(address.host)
    except ValueError:
        raise UsageError(
            f"{address}: without TLS the host is given by number, within {allowed}; {address.host!r} is a name"
        ) from None
    if not any(number in network for network in _INSECURE_NETWORKS):
        raise UsageError(
            f"{address}: without TLS only {allowed} are allowed, because what crosses is patient data; "
            "use one of these, or a tunnel that ends on this machine"
        )


def refuse_without_tls(address: Address, *, insecure: bool) -> None:
    """The rule of both sides until certificates exist: `--insecure`, and only where it harms nobody.

    Raises:
        UsageError: TLS was asked for, which this version lacks, or the address must not be used without it.
    """
    if not insecure:
        raise UsageError(f"{address}: this version has no TLS yet; add --insecure, which loopback addresses accept")
    check_insecure(address)
