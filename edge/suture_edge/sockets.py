"""What the operating system is asked for on the sockets that gRPC opens and gives nobody a handle of; best effort.

TCP_NOTSENT_LOWAT (Linux, tcp(7)) bounds what a socket takes beyond what is on its way. Without it the kernel takes
megabytes ahead on a slow link, and what is urgent, and a change of plan, wait behind them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

from suture_protocol.address import Address

_DESCRIPTORS: Final = Path("/proc/self/fd")
#: Number of the option where Python does not name it (linux/tcp.h).
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
#: Enough to keep any link of a unit busy until gRPC's thread writes again: 2.6 ms at 100 Mbit/s.
UNSENT_BYTES: Final = 32 * 1024
_MAPPED: Final = "::ffff:"


def limit_unsent(address: Address, unsent_bytes: int = UNSENT_BYTES) -> int:
    """Bounds what lies unsent in the kernel, for each TCP connection of this process to `address`.

    Returns:
        For how many connections; 0 where the system does not know how, or there is none.
    """
    peers = _peers(address)
    done = 0
    with contextlib.suppress(OSError):
        for entry in list(_DESCRIPTORS.iterdir()):
            # A descriptor may be closed, or be something else, by the time it is looked at.
            with contextlib.suppress(OSError, ValueError):
                done += _limit(int(entry.name), peers, unsent_bytes)
    return done


def _limit(descriptor: int, peers: set[tuple[str, int]], unsent_bytes: int) -> bool:
    """A duplicate shares the socket with the original, which stays gRPC's."""
    copy = os.dup(descriptor)
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # a file, a pipe
        os.close(copy)
        return False
    with connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return False
        host, port = connection.getpeername()[:2]
        if (str(host).removeprefix(_MAPPED), port) not in peers:
            return False
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, unsent_bytes)
        return True


def _peers(address: Address) -> set[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(peer[0]), int(peer[1])) for *_, peer in found}
