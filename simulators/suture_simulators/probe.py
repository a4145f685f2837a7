"""Measures an emulated link from its two ends: round trips and loss by UDP, goodput by TCP (or UDP on a lossy link).

Run by `suture_simulators.check`: `probe far` at the far end, `probe near JSON` at the near one, which prints JSON.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from suture_simulators.link_profile import FRAMING_BYTES, UDP_PAYLOAD_SHARE
from suture_simulators.namespaces import FAR_ADDRESS

_ECHO_PORT, _BULK_PORT = 5007, 5201
_PROBE = struct.Struct("!Id52x")
PROBE_LINE_BYTES = _PROBE.size + 28 + FRAMING_BYTES
_DATAGRAM_BYTES = 1472
_CHUNK_BYTES = 256 * 1024
_LOSS_PROBES = 2000
_LOSS_SHARE_OF_LINE, _LOSS_PROBES_PER_S_MAX = 0.2, 500.0
_RTT_PROBES, _RTT_GAP_S = 40, 0.02
_FLOOD = 1.15
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Window:
    """Counts what arrives between two instants of `time.monotonic`; rates run from arrival to arrival."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._first_s: float | None = None
        self._last_s = 0.0
        self._bytes = 0

    def add(self, count: int) -> bool:
        """Counts bytes that arrived just now; False once the window is over."""
        now_s = time.monotonic()
        if now_s >= self._end_s:
            return False
        if self._first_s is not None:
            self._bytes += count
            self._last_s = now_s
        elif now_s >= self._start_s:
            self._first_s = now_s
        return True

    def to_json(self) -> dict[str, float]:
        """Rate of the payload, and the instants it was measured between."""
        first_s = self._start_s if self._first_s is None else self._first_s
        spent_s = self._last_s - first_s
        return {"bps": self._bytes * 8 / spent_s if spent_s > 0 else 0.0, "from_s": first_s, "to_s": self._last_s}


def _receive_stream(connection: socket.socket, window: Window) -> dict[str, float]:
    buffer = bytearray(_CHUNK_BYTES)
    while (count := connection.recv_into(buffer)) and window.add(count):
        pass
    return window.to_json()


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


def _receive_datagrams(source: socket.socket, window: Window, end_s: float) -> dict[str, float]:
    source.settimeout(0.1)
    while time.monotonic() < end_s:
        try:
            if not window.add(len(source.recv(65536))):
                break
        except TimeoutError:
            continue
    return window.to_json()


def _send_datagrams(sink: socket.socket, rate_bps: float, end_s: float) -> None:
    """Keeps the line full: somewhat more than it can carry, in bursts of a millisecond."""
    payload = bytes(_DATAGRAM_BYTES)
    gap_s = _DATAGRAM_BYTES * 8 / (rate_bps * UDP_PAYLOAD_SHARE * _FLOOD)
    next_s = time.monotonic()
    while (now_s := time.monotonic()) < end_s:
        while next_s <= now_s:
            sink.send(payload)
            next_s += gap_s
        time.sleep(max(next_s - now_s, 1e-3))


def _serve_bulk(connection: socket.socket) -> None:
    """One measurement: a line of JSON says which, data flows on a socket of its own, then the receiver reports."""
    with connection, connection.makefile("rb", buffering=0) as lines:
        order = json.loads(lines.readline())
        kind = socket.SOCK_DGRAM if order["udp"] else socket.SOCK_STREAM
        if order["way"] == "up":
            with socket.socket(socket.AF_INET, kind) as source:
                source.bind((FAR_ADDRESS, 0))
                if not order["udp"]:
                    source.listen()
                connection.sendall(json.dumps(source.getsockname()[1]).encode() + b"\n")
                result = _receive(source, order)
            connection.sendall(json.dumps(result).encode() + b"\n")
        else:
            _send(kind, (connection.getpeername()[0], order["port"]), order)


def _receive(source: socket.socket, order: dict[str, Any]) -> dict[str, float]:
    """Measures what comes in on a bound datagram socket, or on the first connection of a listening one."""
    window = Window(order["start_s"], order["end_s"])
    if source.type == socket.SOCK_DGRAM:
        return _receive_datagrams(source, window, order["end_s"])
    stream, _ = source.accept()
    with stream:
        return _receive_stream(stream, window)


def _send(kind: socket.SocketKind, target: tuple[str, int], order: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, kind) as sink:
        sink.connect(target)
        if kind == socket.SOCK_DGRAM:
            _send_datagrams(sink, order["rate_bps"], order["end_s"])
        else:
            _send_stream(sink, order["end_s"])
            # What is still queued is of no use to anyone and would delay the next measurement.
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def _echo(heard: dict[int, int]) -> None:
    """Sends every probe back; the first number of a probe is its series, and each series is counted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((FAR_ADDRESS, _ECHO_PORT))
        while True:
            data, sender = echo.recvfrom(65536)
            series = _PROBE.unpack(data)[0]
            heard[series] = heard.get(series, 0) + 1
            echo.sendto(data, sender)


def far() -> None:
    """Serves measurements until killed."""
    heard: dict[int, int] = {}
    threading.Thread(target=_echo, args=(heard,), daemon=True).start()
    with socket.create_server((FAR_ADDRESS, _BULK_PORT)) as listener:
        os.write(sys.stdout.fileno(), b"ready\n")
        while True:
            connection, _ = listener.accept()
            first = connection.recv(1, socket.MSG_PEEK)
            if first == b"?":
                with connection:
                    connection.sendall(json.dumps(heard).encode() + b"\n")
                continue
            threading.Thread(target=_serve_bulk, args=(connection,), daemon=True).start()


def _probe_series(series: int, count: int, gap_s: float, linger_s: float) -> list[float]:
    """Sends `count` probes, one each `gap_s`; returns the round trips of those that came back."""
    trips: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probes:
        probes.connect((FAR_ADDRESS, _ECHO_PORT))
        sent, next_s = 0, time.monotonic()
        end_s = next_s + count * gap_s + linger_s
        while (now_s := time.monotonic()) < end_s and (len(trips) < count or sent < count):
            if sent < count and now_s >= next_s:
                probes.send(_PROBE.pack(series, now_s))
                sent, next_s = sent + 1, next_s + gap_s
                continue
            until_s = next_s if sent < count else end_s
            if select.select([probes], [], [], max(until_s - now_s, 0.0))[0]:
                trips.append(time.monotonic() - _PROBE.unpack(probes.recv(65536))[1])
    return trips


def _ask_bulk(way: str, order: dict[str, Any]) -> dict[str, float]:
    kind = socket.SOCK_DGRAM if order["udp"] else socket.SOCK_STREAM
    with socket.create_connection((FAR_ADDRESS, _BULK_PORT)) as control, control.makefile("rb") as answers:
        start_s = time.monotonic() + order["warm_s"]
        line = {
            "way": way,
            "udp": order["udp"],
            "start_s": start_s,
            "end_s": start_s + order["seconds"],
            "rate_bps": order[f"{way}_bps"],
        }
        if way == "up":
            control.sendall(json.dumps(line).encode() + b"\n")
            _send(kind, (FAR_ADDRESS, json.loads(answers.readline())), line)
            result: dict[str, float] = json.loads(answers.readline())
            return result
        with socket.socket(socket.AF_INET, kind) as source:
            source.bind(("", 0))
            if kind == socket.SOCK_STREAM:
                source.listen()
            control.sendall(json.dumps(line | {"port": source.getsockname()[1]}).encode() + b"\n")
            return _receive(source, line)


def near(order: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """Takes all measurements that `order` asks for (see `suture_simulators.check`)."""
    progress("round trips")
    linger_s = 4 * order["rtt_s"] + 0.3
    _probe_series(0, 3, _RTT_GAP_S, linger_s)
    trips = _probe_series(1, _RTT_PROBES, _RTT_GAP_S, linger_s)
    progress("loss")
    slowest_bps = min(order["up_bps"], order["down_bps"])
    per_s = min(_LOSS_PROBES_PER_S_MAX, slowest_bps * _LOSS_SHARE_OF_LINE / (PROBE_LINE_BYTES * 8))
    count = max(100, min(_LOSS_PROBES, int(per_s * order["seconds"])))
    came_back = len(_probe_series(2, count, 1 / per_s, linger_s))
    with socket.create_connection((FAR_ADDRESS, _BULK_PORT)) as connection:
        connection.sendall(b"?")
        heard = json.loads(connection.makefile("rb").readline()).get("2", 0)
    progress("goodput up")
    up = _ask_bulk("up", order)
    progress("goodput down")
    down = _ask_bulk("down", order)
    return {"rtt_s": trips, "loss": {"sent": count, "heard": heard, "came_back": came_back}, "up": up, "down": down}


def main(arguments: list[str]) -> None:
    """`far`, or `near` with an order in JSON; the result goes to stdout."""
    if arguments[0] == "far":
        far()
    result = near(json.loads(arguments[1]), lambda stage: print(json.dumps({"stage": stage}), flush=True))  # noqa: T201
    print(json.dumps(result), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
