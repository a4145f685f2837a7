"""Short requests over raw TCP, for a link that loses packets: `serve`, or `send HOST tell|silent`.

The sender writes the rates that BBR knew before and after them, in Mbit/s.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

from suture_edge.sockets import IdleTeller

PORT, USER_TIMEOUT, TCP_CC_INFO, MARK = 7777, 18, 26, 12_345
FILL_BYTES, REQUEST_BYTES, REQUESTS = 3_000_000, 50_000, 30
_SIZE = struct.Struct("!I")


def serve() -> None:
    """Answers each request of one connection with a byte."""
    with socket.create_server(("", PORT)) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(_SIZE.size):
                stream.read(*_SIZE.unpack(head))
                connection.sendall(b"!")


def request(connection: socket.socket, teller: IdleTeller | None, size: int) -> None:
    """Sends so many bytes and waits for the answer, telling the kernel meanwhile that there is nothing to send."""
    connection.sendall(_SIZE.pack(size) + bytes(size))
    connection.settimeout(0.01)
    while True:
        try:
            connection.recv(1)
        except TimeoutError:
            if teller is not None:
                teller.tell()
        else:
            connection.settimeout(None)
            return


def known_bps(connection: socket.socket) -> float:
    """BBR's estimate (struct tcp_bbr_info, linux/inet_diag.h)."""
    low, high = struct.unpack_from("=II", connection.getsockopt(socket.IPPROTO_TCP, TCP_CC_INFO, 20))
    return float(8 * (low + (high << 32)))


def send(host: str, teller: IdleTeller | None) -> None:
    """Shows the kernel the line once, then sends short requests."""
    with socket.create_connection((host, PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, MARK)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        request(connection, None, FILL_BYTES)
        filled_bps = known_bps(connection)
        for _ in range(REQUESTS):
            request(connection, teller, REQUEST_BYTES)
            time.sleep(0.005)
        sys.stdout.write(f"{filled_bps / 1e6} {known_bps(connection) / 1e6}\n")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        send(sys.argv[2], IdleTeller(MARK) if sys.argv[3] == "tell" else None)
