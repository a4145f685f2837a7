"""The ends of a link that a kernel routes (this one's or a User-Mode Linux): namespaces, their devices and counters."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from pathlib import Path
from typing import Literal

from suture_protocol.errors import CapabilityMissing
from suture_simulators import kernel
from suture_simulators.namespaces import (
    FAR_ADDRESS,
    HARDWARE_ADDRESS,
    NEAR_ADDRESS,
    give_address,
    here,
    leave_host,
    settle,
)

#: The router's third leg, beside the link: see `netem_watch`.
WATCH_ADDRESS, WATCHED_ADDRESS = "198.19.0.1", "198.19.0.2"
_SEATS = (("near0", NEAR_ADDRESS), ("far0", FAR_ADDRESS), ("watch0", WATCH_ADDRESS))
#: The router's devices, each leading to the seat of the same place.
LEGS = ("to-near", "to-far", "to-watch")
#: Where `ip` and `tc` are, which an ordinary user's PATH may lack.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IPV6_OFF = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What one device has sent to the router and had from it: packets, bytes (with the Ethernet header), drops."""

    sent_packets: int
    sent_bytes: int
    dropped: int
    heard_packets: int
    heard_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A device in a namespace of its own."""

    namespace: int
    device: str
    counters: int

    def traffic(self) -> Traffic:
        """What the kernel has counted at this device so far."""
        for line in os.pread(self.counters, 65536, 0).decode().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == self.device:
                n = [int(number) for number in numbers.split()]
                return Traffic(
                    sent_packets=n[9], sent_bytes=n[8], dropped=n[11] + n[3], heard_packets=n[1], heard_bytes=n[0]
                )
        raise OSError(f"{self.device} is gone")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RoutedEnds:
    """Near, far and watching seat. `user` is a descriptor of the user namespace; None where none was needed.

    `ports` are the TAP devices' descriptors, in the seats' order; none where veth devices lead to this process's own
    namespace, which then holds `LEGS`.
    """

    user: int | None
    near: Seat
    far: Seat
    watch: Seat
    ports: tuple[int, ...]


def create_routed_ends(by: Literal["tap", "veth"], congestion_control: str | None) -> RoutedEnds:
    """Creates the seats and moves this process into a namespace between them; call it in a process made for that.

    Raises:
        CapabilityMissing: the machine forbids what is needed; the message says how to allow it.
    """
    user = leave_host()
    middle = here()
    _turn_ipv6_off("all", "default")
    seats, ports = [], []
    for (device, address), leg in zip(_SEATS, LEGS, strict=True):
        kernel.unshare(kernel.CLONE_NEWNET)
        namespace = here()
        settle(congestion_control)
        _turn_ipv6_off("all", "default")
        try:
            if by == "tap":
                ports.append(kernel.open_tap(device))
            else:
                _lead_to(namespace, device, leg, middle)
            kernel.use_plain_ethernet(device, HARDWARE_ADDRESS)
        except OSError as error:
            raise CapabilityMissing(_DEVICE_MISSING[by].format(error)) from error
        give_address(device, address)
        # The file keeps showing the namespace it was opened in, wherever this process goes.
        seats.append(Seat(namespace=namespace, device=device, counters=os.open("/proc/self/net/dev", os.O_RDONLY)))
    kernel.enter_namespace(middle)
    return RoutedEnds(user=user, near=seats[0], far=seats[1], watch=seats[2], ports=tuple(ports))


_DEVICE_MISSING = {
    "tap": "the `uml` backend needs TAP devices, which this machine does not give ({}). Try: modprobe tun; "
    "chmod 666 /dev/net/tun; in a container, start it with --device /dev/net/tun",
    "veth": "the `netem` backend needs veth devices, which this machine does not give ({}). Use --backend tun",
}


def _lead_to(namespace: int, device: str, leg: str, middle: int) -> None:
    kernel.enter_namespace(middle)
    kernel.create_veth(leg, peer_name=device, peer_namespace=namespace)
    kernel.use_plain_ethernet(leg, HARDWARE_ADDRESS)
    kernel.enter_namespace(namespace)


def _turn_ipv6_off(*devices: str) -> None:
    """Keeps devices from chattering (router solicitations), which would be counted as load; as far as allowed."""
    for device in devices:
        with contextlib.suppress(OSError):
            Path(_IPV6_OFF.format(device)).write_text("1")


def socket_at(seat: Seat, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    """An IPv4 socket in the seat's namespace; this process stays where it is."""
    before = here()
    kernel.enter_namespace(seat.namespace)
    try:
        return socket.socket(socket.AF_INET, kind, protocol)
    finally:
        kernel.enter_namespace(before)
        os.close(before)
