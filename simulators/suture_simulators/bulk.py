"""Moves as much as a link carries and counts what arrives: one TCP connection, or UDP paced above the line.

As a program it does one end's part of keeping a line full, with nothing but the data itself on the link: it reads an
order in JSON from its standard input (see `flood`) and prints what arrived.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import sys
import threading
import time
from typing import Any

from suture_simulators.link_profile import UDP_PAYLOAD_SHARE
from suture_simulators.namespaces import FAR_ADDRESS

BULK_PORT = 5201
_DATAGRAM_BYTES = 1472
_CHUNK_BYTES = 256 * 1024
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
# So much more than the line carries; in an outage a trickle goes on, so that something waits when it ends.
_FLOOD, _TRICKLE, _TRICKLE_MIN_BPS = 1.15, 0.05, 50e3
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Window:
    """Counts what arrives between two instants of `time.monotonic`; rates run from arrival to arrival."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._first_s: float | None = None
        self._last_s = 0.0
        self._bytes = 0
        self._seconds = [0] * (int(end_s - start_s) + 1)

    def add(self, count: int) -> bool:
        """Counts bytes that arrived just now; False once the window is over."""
        now_s = time.monotonic()
        if now_s >= self._end_s:
            return False
        if now_s >= self._start_s:
            self._seconds[int(now_s - self._start_s)] += count
        if self._first_s is not None:
            self._bytes += count
            self._last_s = now_s
        elif now_s >= self._start_s:
            self._first_s = now_s
        return True

    def to_json(self) -> dict[str, Any]:
        """Rate of the payload, the instants it was measured between, and the bytes of each second of the window."""
        first_s = self._start_s if self._first_s is None else self._first_s
        spent_s = self._last_s - first_s
        rate_bps = self._bytes * 8 / spent_s if spent_s > 0 else 0.0
        return {"bps": rate_bps, "from_s": first_s, "to_s": self._last_s, "bytes_per_s": self._seconds}


def serve(connection: socket.socket) -> None:
    """One measurement: a line of JSON says which, data flows on a socket of its own, then the receiver reports."""
    with connection, connection.makefile("rb", buffering=0) as lines:
        order = json.loads(_line(lines))
        kind = socket.SOCK_DGRAM if order["udp"] else socket.SOCK_STREAM
        if order["way"] == "up":
            with socket.socket(socket.AF_INET, kind) as source:
                _prepare(source, FAR_ADDRESS, window_bytes=order["window_bytes"])
                connection.sendall(json.dumps(source.getsockname()[1]).encode() + b"\n")
                result = _receive(source, order)
            connection.sendall(json.dumps(result).encode() + b"\n")
        else:
            _send(kind, (connection.getpeername()[0], order["port"]), order)


def measure(way: str, order: dict[str, Any]) -> dict[str, Any]:
    """Measures one way from the near end.

    Args:
        way: `up` or `down`.
        order: `udp`; `start_s` and `end_s` of the window (`time.monotonic`); for UDP `pace`, (from_s, bit/s of the
            line) steps, times as in `start_s`; for TCP its `congestion_control` and `window_bytes`, the most that may
            be on its way (None: what TCP likes).
    """
    kind = socket.SOCK_DGRAM if order["udp"] else socket.SOCK_STREAM
    with socket.create_connection((FAR_ADDRESS, BULK_PORT)) as control, control.makefile("rb") as answers:
        order = order | {"way": way}
        if way == "up":
            control.sendall(json.dumps(order).encode() + b"\n")
            _send(kind, (FAR_ADDRESS, json.loads(answers.readline())), order)
            result: dict[str, Any] = json.loads(answers.readline())
            return result
        with socket.socket(socket.AF_INET, kind) as source:
            _prepare(source, "", window_bytes=order["window_bytes"])
            control.sendall(json.dumps(order | {"port": source.getsockname()[1]}).encode() + b"\n")
            return _receive(source, order)


def flood(order: dict[str, Any]) -> dict[str, Any]:
    """Sends and receives at once, as far as `order` says.

    Args:
        order: `send`: `target`, `pace`, `end_s`; `receive`: `address` and the window, as in `measure`. Either may lack.
    """
    result: dict[str, Any] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source, contextlib.ExitStack() as stack:
        if (receive := order.get("receive")) is not None:
            _prepare(source, *receive["address"])
        if (send := order.get("send")) is not None:
            address, port = send["target"]
            sender = threading.Thread(target=_send, args=(socket.SOCK_DGRAM, (address, port), send))
            sender.start()
            stack.callback(sender.join)
        if receive is not None:
            result = _receive(source, receive)
    return result


def _line(lines: io.RawIOBase) -> bytes:
    """One line of an unbuffered stream, whose reads may end early."""
    line = b""
    while not line.endswith(b"\n") and (part := lines.readline()):
        line += part
    return line


def _prepare(source: socket.socket, address: str, port: int = 0, window_bytes: int | None = None) -> None:
    if source.type == socket.SOCK_DGRAM:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    elif window_bytes is not None:
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, window_bytes)
    source.bind((address, port))
    if source.type == socket.SOCK_STREAM:
        source.listen()


def _receive(source: socket.socket, order: dict[str, Any]) -> dict[str, Any]:
    """Measures what comes in on a bound datagram socket, or on the first connection of a listening one."""
    window = Window(order["start_s"], order["end_s"])
    if source.type == socket.SOCK_DGRAM:
        return _receive_datagrams(source, window, order["end_s"])
    stream, _ = source.accept()
    with stream:
        buffer = bytearray(_CHUNK_BYTES)
        with contextlib.suppress(ConnectionResetError):  # how the sender ends
            while (count := stream.recv_into(buffer)) and window.add(count):
                pass
        return window.to_json()


def _receive_datagrams(source: socket.socket, window: Window, end_s: float) -> dict[str, Any]:
    source.settimeout(0.1)
    while time.monotonic() < end_s:
        try:
            if not window.add(len(source.recv(65536))):
                break
        except TimeoutError:
            continue
    return window.to_json()


def _send(kind: socket.SocketKind, target: tuple[str, int], order: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, kind) as sink:
        if kind == socket.SOCK_STREAM:
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, order["congestion_control"].encode())
        sink.connect(target)
        if kind == socket.SOCK_DGRAM:
            _send_datagrams(sink, order["pace"], order["end_s"])
        else:
            _send_stream(sink, order["end_s"])
            # What is still queued is of no use to anyone and would delay the next measurement.
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _send_stream(connection: socket.socket, end_s: float) -> None:
    chunk = bytes(64 * 1024)
    connection.settimeout(0.2)
    while time.monotonic() < end_s:
        try:
            connection.send(chunk)
        except TimeoutError:
            continue
        except OSError:  # the receiver has seen enough
            return


def _send_datagrams(sink: socket.socket, pace: list[tuple[float, float]], end_s: float) -> None:
    """Keeps the line full: somewhat more than it can carry at each moment, in bursts of a millisecond."""
    payload = bytes(_DATAGRAM_BYTES)
    floor_bps = max(_TRICKLE_MIN_BPS, *(rate * _TRICKLE for _, rate in pace))
    steps = iter([*pace[1:], (float("inf"), 0.0)])
    rate_bps, (until_s, next_bps) = pace[0][1], next(steps)
    next_s = time.monotonic()
    while (now_s := time.monotonic()) < end_s:
        while next_s <= now_s:
            while next_s >= until_s:
                rate_bps, (until_s, next_bps) = next_bps, next(steps)
            with contextlib.suppress(ConnectionRefusedError):  # the receiver is not there yet
                sink.send(payload)
            next_s += _DATAGRAM_BYTES * 8 / (max(rate_bps * _FLOOD, floor_bps) * UDP_PAYLOAD_SHARE)
        time.sleep(max(min(next_s - now_s, 0.1), 1e-3))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(flood(json.load(sys.stdin))) + "\n")
