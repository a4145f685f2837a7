"""The near and the far end of an emulated link: network namespaces, the devices in them, and what lives there.

Nothing here outlives its processes: namespaces have no names, devices vanish with their descriptors, so there is
nothing to tidy up on disk or in the kernel once the last process is gone.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from suture_protocol.errors import CapabilityMissing
from suture_simulators import kernel
from suture_simulators.link_profile import FRAMING_BYTES, MTU_BYTES

# RFC 2544 keeps 198.18.0.0/15 for measurements, so it clashes with no real network.
NEAR_ADDRESS = "198.18.0.1"
FAR_ADDRESS = "198.18.0.2"
Device = Literal["auto", "tun", "veth"]
_NETMASK = "255.255.255.0"
_NEAR_DEVICE, _FAR_DEVICE = "near0", "far0"
HARDWARE_ADDRESS = bytes.fromhex("025355545552")
# Longer than any burst: the queue that counts is the relay's own, and nothing may be lost before it.
_DEVICE_QUEUE_PACKETS = 10_000
_PACKET_BUFFER_BYTES = 8 * 1024 * 1024
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_CONGESTION_CONTROL = "/proc/sys/net/ipv4/tcp_congestion_control"
_TERM_S = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """Where packets of one end are read and written.

    Attributes:
        descriptor: Non-blocking; one packet per read or write.
        framing_bytes: What to add to a packet's length to get the line's bytes.
        ip_at: Where the IP header begins in a packet.
        lost_before: Counts packets the kernel dropped before this descriptor was read.
    """

    descriptor: int
    framing_bytes: int
    ip_at: int
    lost_before: Callable[[], int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """Both ends. `user`, `near`, `far` are descriptors of namespaces; `user` is None where none was needed."""

    user: int | None
    near: int
    far: int
    near_port: Port
    far_port: Port
    device: str


def create_ends(device: Device = "auto", congestion_control: str | None = None) -> Ends:
    """Creates both ends and moves this process into a namespace of its own; call it in a process made for that.

    Args:
        device: `tun`, or `veth` with packet sockets, which needs no /dev/net/tun; `auto` prefers the first.
        congestion_control: TCP's at both ends; None leaves the system's default.

    Raises:
        CapabilityMissing: the machine forbids what is needed; the message says how to allow it.
    """
    user = leave_host()
    near = here()
    settle(congestion_control)
    tun = None if device == "veth" else _try_tun(_NEAR_DEVICE, needed=device == "tun")
    if tun is not None:
        give_address(_NEAR_DEVICE, NEAR_ADDRESS)
        near_port = _tun_port(tun, _NEAR_DEVICE)
    kernel.unshare(kernel.CLONE_NEWNET)
    far = here()
    settle(congestion_control)
    if tun is None:
        near_port, far_port = _veth_ports(near, far)
        return Ends(user=user, near=near, far=far, near_port=near_port, far_port=far_port, device="veth")
    far_port = _tun_port(kernel.open_tun(_FAR_DEVICE), _FAR_DEVICE)
    give_address(_FAR_DEVICE, FAR_ADDRESS)
    return Ends(user=user, near=near, far=far, near_port=near_port, far_port=far_port, device="tun")


def leave_host() -> int | None:
    """Enters a new network namespace, in a new user namespace where the first alone is not allowed."""
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        return None
    except OSError:  # no privilege here; there may be some in a user namespace
        pass
    uid, gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
        kernel.map_own_ids(uid, gid)
    except OSError as error:
        raise CapabilityMissing(
            f"this machine does not let user {uid} create network namespaces ({error.strerror or error}), which an "
            "emulated link is made of. Run it as root, or allow user namespaces: "
            "sysctl user.max_user_namespaces=10000, and where they exist kernel.unprivileged_userns_clone=1 and "
            "kernel.apparmor_restrict_unprivileged_userns=0; in a container, start it with --privileged"
        ) from error
    return os.open("/proc/self/ns/user", os.O_RDONLY)


def here() -> int:
    """A descriptor of the network namespace that this process is in."""
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def settle(congestion_control: str | None) -> None:
    """Makes the network namespace that this process is in ready for commands.

    Raises:
        CapabilityMissing: it may not use this congestion control.
    """
    kernel.bring_up("lo")
    if congestion_control is None:
        return
    try:
        with open(_CONGESTION_CONTROL, "w") as file:
            file.write(congestion_control)
    except OSError as error:
        allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().strip()
        raise CapabilityMissing(
            f"congestion control {congestion_control!r} cannot be set on the emulated link ({error.strerror}); "
            f"network namespaces may use: {allowed}. Choose one of those, or allow it on the host, as root: "
            f"sysctl net.ipv4.tcp_allowed_congestion_control='{allowed} {congestion_control}'"
        ) from error


def congestion_control_here() -> str:
    """What TCP connections of this network namespace use."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        name = probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return name.split(b"\0")[0].decode()


def give_address(device: str, address: str) -> None:
    """Gives a device of this network namespace its address, MTU and queue, and sets it up."""
    kernel.configure(
        device, address=address, netmask=_NETMASK, mtu_bytes=MTU_BYTES, queue_packets=_DEVICE_QUEUE_PACKETS
    )


def _try_tun(name: str, *, needed: bool) -> int | None:
    """A TUN device, or None where this machine has none to give: then a veth pair serves."""
    try:
        return kernel.open_tun(name)
    except OSError as error:
        if not needed:
            return None
        raise CapabilityMissing(
            f"/dev/net/tun cannot be used ({error.strerror}). Try: modprobe tun; chmod 666 /dev/net/tun; in a "
            "container, start it with --device /dev/net/tun; or let the link use veth devices"
        ) from error


def _tun_port(descriptor: int, device: str) -> Port:
    # The file keeps showing the namespace it was opened in, wherever this process goes.
    statistics = os.open("/proc/self/net/dev", os.O_RDONLY)

    def lost_before() -> int:
        for line in os.pread(statistics, 65536, 0).decode().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == device:
                return int(numbers.split()[11])
        return 0

    return Port(descriptor=descriptor, framing_bytes=FRAMING_BYTES, ip_at=0, lost_before=lost_before)


def _veth_ports(near: int, far: int) -> tuple[Port, Port]:
    """A middle namespace with one leg to each end, read and written through packet sockets; needs no /dev/net/tun."""
    ends = ((_NEAR_DEVICE, "to-near", near, NEAR_ADDRESS), (_FAR_DEVICE, "to-far", far, FAR_ADDRESS))
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        middle = here()
        for device, leg, namespace, address in ends:
            kernel.create_veth(leg, peer_name=device, peer_namespace=namespace)
            kernel.enter_namespace(namespace)
            kernel.use_plain_ethernet(device, HARDWARE_ADDRESS)
            give_address(device, address)
            kernel.enter_namespace(middle)
            kernel.bring_up(leg)
        near_port, far_port = (_packet_port(leg) for _, leg, _, _ in ends)
    except OSError as error:
        raise CapabilityMissing(
            f"an emulated link needs /dev/net/tun or veth devices, and this machine gives neither ({error}). "
            "Try: modprobe tun; chmod 666 /dev/net/tun; in a container, start it with --device /dev/net/tun"
        ) from error
    return near_port, far_port


def _packet_port(leg: str) -> Port:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    packets.setblocking(False)
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PACKET_BUFFER_BYTES)
    packets.bind((leg, _ETH_P_ALL))
    lost = 0

    def lost_before() -> int:
        nonlocal lost  # reading the kernel's counter resets it
        lost += int(struct.unpack("II", packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1])
        return lost

    return Port(descriptor=packets.fileno(), framing_bytes=0, ip_at=FRAMING_BYTES, lost_before=lost_before)


def processes_in(namespaces: list[int]) -> list[int]:
    """Ids of the processes, this one excepted, whose network namespace is one of these descriptors'."""
    wanted = {(status.st_dev, status.st_ino) for status in map(os.fstat, namespaces)}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            status = os.stat(f"/proc/{entry}/ns/net")
        except OSError:  # gone, a zombie, or somebody else's
            continue
        if (status.st_dev, status.st_ino) in wanted:
            found.append(int(entry))
    return found


def end_processes_in(namespaces: list[int]) -> None:
    """Ends every process that still lives in these network namespaces: asked first, then killed."""
    deadline_s = time.monotonic() + _TERM_S
    asked: set[int] = set()
    while left := processes_in(namespaces):
        late = time.monotonic() > deadline_s
        for process in left:
            if late or process not in asked:
                asked.add(process)
                _signal(process, signal.SIGKILL if late else signal.SIGTERM)
        if late and time.monotonic() > deadline_s + _TERM_S:
            return
        time.sleep(0.01)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except (ProcessLookupError, PermissionError):
        return
