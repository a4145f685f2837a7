"""The few Linux calls an emulated link needs (namespaces, TUN, veth, addresses), made directly.

`ip` and pyroute2 would do most of it, but the demo has to run on a bare machine with nothing beside Python: minimal
images lack iproute2, and one more dependency for a dozen calls does not pay.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import struct

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_SCHED_FLAG_RESET_ON_FORK = 1
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x0001, 0x0002, 0x1000
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_SIOCSIFMTU, _SIOCSIFHWADDR = 0x8922, 0x8924
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM, _ETHTOOL_STSO, _ETHTOOL_SGSO = 0x17, 0x1F, 0x24
_ARPHRD_ETHER = 1

_RTM_NEWLINK = 16
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
_IFLA_IFNAME, _IFLA_TXQLEN, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 13, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Moves this process into new namespaces (unshare(2)); OSError when the system refuses."""
    _check(_libc().unshare(flags), "unshare")


def enter_namespace(descriptor: int) -> None:
    """Moves this thread into the namespace behind an open /proc/PID/ns file (setns(2)); OSError when refused."""
    _check(_libc().setns(descriptor, 0), "setns")


def die_with_parent() -> None:
    """Has this process killed when the one that started it dies; survives an exec."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def set_timer_slack_ns(slack_ns: int) -> None:
    """Lets this thread's sleeps end this close to their time; the kernel's default is 50 µs."""
    _check(_libc().prctl(_PR_SET_TIMERSLACK, slack_ns, 0, 0, 0), "prctl")


def ask_for_short_slices(slice_ns: int, process: int = 0, *, children: bool = True) -> None:
    """Lets a process (0: this thread) run soon after it wakes, at the price of short turns (sched_setattr(2)).

    Needs no privilege, but Linux 6.12 or later. `children`: whether those that it starts from now on inherit it.
    OSError where the system does not know it.
    """
    number = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "sched_setattr is not known on this processor")
    flags = 0 if children else _SCHED_FLAG_RESET_ON_FORK
    attributes = struct.pack("IIQiIQQQ", 48, os.SCHED_OTHER, flags, 0, 0, slice_ns, 0, 0)
    _check(_libc().syscall(number, process, attributes, 0), "sched_setattr")


def map_own_ids(uid: int, gid: int) -> None:
    """In a new user namespace: makes the user appear as who they are, so that commands find their files and home."""
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"{uid} {uid} 1")
    with open("/proc/self/gid_map", "w") as file:
        file.write(f"{gid} {gid} 1")


def open_tun(name: str) -> int:
    """Creates a TUN device in this network namespace; returns its non-blocking descriptor, one IP packet per read."""
    return _open_tun(name, _IFF_TUN)


def open_tap(name: str) -> int:
    """The same for a TAP device: one Ethernet frame per read."""
    return _open_tun(name, _IFF_TAP)


def _open_tun(name: str, kind: int) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def bring_up(name: str) -> None:
    """Sets a device of this network namespace up."""
    with _ioctl_socket() as control:
        _set_flags(control, name, _IFF_UP)


def configure(name: str, *, address: str, netmask: str, mtu_bytes: int, queue_packets: int) -> None:
    """Gives a device its address, MTU and queue length and sets it up; the route to its subnet follows by itself."""
    with _ioctl_socket() as control:
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu_bytes))
        fcntl.ioctl(control, _SIOCSIFADDR, _address_request(name, address))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(name, netmask))
        _set_flags(control, name, _IFF_UP)
    # The ioctl for this one is kept from user namespaces; netlink is not.
    link = struct.pack("BxHiII", socket.AF_UNSPEC, 0, socket.if_nametoindex(name), 0, 0)
    _new_link(link + _attribute(_IFLA_TXQLEN, struct.pack("I", queue_packets)), 0)


def use_plain_ethernet(name: str, hardware_address: bytes) -> None:
    """Turns off what a veth shares with its peer inside one kernel, so that whole, checksummed packets leave it.

    Without ARP a device addresses frames to its own hardware address; with the same one at both ends of a bridge
    they arrive.
    """
    with _ioctl_socket() as control:
        for command in (_ETHTOOL_STXCSUM, _ETHTOOL_STSO, _ETHTOOL_SGSO):
            setting = ctypes.create_string_buffer(struct.pack("II", command, 0))
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(setting)))
        fcntl.ioctl(control, _SIOCSIFHWADDR, struct.pack("16sH6s16x", name.encode(), _ARPHRD_ETHER, hardware_address))
        _set_flags(control, name, _IFF_NOARP)


def create_veth(name: str, *, peer_name: str, peer_namespace: int) -> None:
    """Creates a pair of veth devices, `name` here and its peer in another network namespace (RTM_NEWLINK)."""
    empty_link = struct.pack("BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
    peer = (
        empty_link
        + _attribute(_IFLA_IFNAME, peer_name.encode() + b"\0")
        + _attribute(_IFLA_NET_NS_FD, struct.pack("I", peer_namespace))
    )
    kind = _attribute(_IFLA_INFO_KIND, b"veth\0") + _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, peer))
    body = empty_link + _attribute(_IFLA_IFNAME, name.encode() + b"\0") + _attribute(_IFLA_LINKINFO, kind)
    _new_link(body, _NLM_F_EXCL | _NLM_F_CREATE)


def _new_link(body: bytes, flags: int) -> None:
    flags |= _NLM_F_REQUEST | _NLM_F_ACK
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.send(struct.pack("IHHII", 16 + len(body), _RTM_NEWLINK, flags, 1, 0) + body)
        number = -struct.unpack_from("i", route.recv(65536), 16)[0]
    if number:
        raise OSError(number, f"configuring a network device: {os.strerror(number)}")


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("HH", length, kind) + payload + b"\0" * (-length % 4)


def _ioctl_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _address_request(name: str, address: str) -> bytes:
    return struct.pack("16sHH4s16x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address))


def _set_flags(control: socket.socket, name: str, flags: int) -> None:
    request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
    have = struct.unpack_from("H", request, 16)[0]
    fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), have | flags))
