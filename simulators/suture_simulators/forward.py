"""Carries TCP connections from the far end of an emulated link to a port of the host.

Run by `suture_simulators.link` as `python -m suture_simulators.forward LISTENER_FD HOST PORT PARENT_PID`. The listener
was made in the far end's namespace and came here through a Unix socket; a socket stays in the namespace it was made in,
so one process accepts beyond the bottleneck and connects in front of the host's server.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading

_CHUNK_BYTES = 256 * 1024
# What may wait unsent towards the link: more would only hide the link's back-pressure from the server.
_UNSENT_BYTES = 128 * 1024
_CONNECT_S = 10.0
_RESET = struct.pack("ii", 1, 0)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copies until the source ends, then ends the sink's half; a broken side breaks the other."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    try:
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.shutdown(socket.SHUT_RDWR)


def _carry(near: socket.socket, host: str, port: int) -> None:
    with near:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        try:
            server = socket.create_connection((host, port), timeout=_CONNECT_S)
        except OSError:  # nobody listens: the client sees a reset, as it would without us
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        with server:
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(server, near), daemon=True)
            back.start()
            _pump(near, server)
            back.join()


def serve(listener: socket.socket, host: str, port: int, parent: int) -> None:
    """Accepts and carries connections, a pair of threads each, until the parent is gone."""
    descriptors: list[socket.socket | int] = [listener]
    with contextlib.suppress(OSError):  # kernels without pidfd: our parent ends us itself
        descriptors.append(os.pidfd_open(parent))
    while os.getppid() == parent:
        ready = select.select(descriptors, [], [], 1.0)[0]
        if listener in ready:
            connection, _ = listener.accept()
            threading.Thread(target=_carry, args=(connection, host, port), daemon=True).start()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
