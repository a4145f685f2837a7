"""Measures an emulated link from its two ends: probes that are echoed (round trip, loss, order), and bulk data.

Run by `suture_simulators.check`: `probe far` at the far end, `probe near` at the near one, which takes an order in JSON
on its standard input and prints JSON.
"""

from __future__ import annotations

import dataclasses
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

from suture_simulators import bulk
from suture_simulators.link_profile import FRAMING_BYTES
from suture_simulators.namespaces import FAR_ADDRESS
from suture_simulators.patterns import path_pattern

_ECHO_PORT = 5007
# Series, number, when the near end sent it, when the far end sent it back.
_PROBE = struct.Struct("!IIdd40x")
PROBE_LINE_BYTES = _PROBE.size + 28 + FRAMING_BYTES
_COUNTED = 2
_LOSS_SHARE_OF_LINE, _LOSS_PROBES_PER_S_MAX = 0.2, 500.0
_RTT_PROBES, _RTT_GAP_S = 40, 0.02


class Echo:
    """Sends every probe back, and keeps when those of the counted series arrived."""

    def __init__(self) -> None:
        self.arrived_s: dict[int, float] = {}

    def run(self) -> None:
        """Serves for ever."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
            echo.bind((FAR_ADDRESS, _ECHO_PORT))
            while True:
                data, sender = echo.recvfrom(65536)
                series, number, sent_s, _ = _PROBE.unpack(data)
                now_s = time.monotonic()
                if series == _COUNTED:
                    self.arrived_s[number] = now_s
                echo.sendto(_PROBE.pack(series, number, sent_s, now_s), sender)


def far() -> None:
    """Serves measurements until killed."""
    echo = Echo()
    threading.Thread(target=echo.run, daemon=True).start()
    with socket.create_server((FAR_ADDRESS, bulk.BULK_PORT)) as listener:
        os.write(sys.stdout.fileno(), b"ready\n")
        while True:
            connection, _ = listener.accept()
            if connection.recv(1, socket.MSG_PEEK) == b"?":
                with connection:
                    connection.recv(1)  # closing with something unread would reset the connection
                    connection.sendall(json.dumps(list(echo.arrived_s.items())).encode() + b"\n")
                continue
            threading.Thread(target=bulk.serve, args=(connection,), daemon=True).start()


class Series:
    """Probes sent at a steady pace: when each was sent, echoed and came back."""

    def __init__(self) -> None:
        self.sent_s: dict[int, float] = {}
        self.echoed_s: dict[int, float] = {}
        self.returned_s: dict[int, float] = {}

    def run(self, series: int, count: int, gap_s: float, linger_s: float) -> None:
        """Sends `count` probes, one each `gap_s`, and waits `linger_s` for the last ones."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probes:
            probes.connect((FAR_ADDRESS, _ECHO_PORT))
            next_s = time.monotonic()
            end_s = next_s + count * gap_s + linger_s
            while (now_s := time.monotonic()) < end_s and len(self.returned_s) < count:
                number = len(self.sent_s)
                if number < count and now_s >= next_s:
                    self.sent_s[number] = now_s
                    probes.send(_PROBE.pack(series, number, now_s, 0.0))
                    next_s += gap_s
                    continue
                until_s = next_s if number < count else end_s
                if select.select([probes], [], [], max(until_s - now_s, 0.0))[0]:
                    _, number, _, echoed_s = _PROBE.unpack(probes.recv(65536))
                    self.returned_s[number] = time.monotonic()
                    self.echoed_s[number] = echoed_s


def _round_trips(linger_s: float) -> list[float]:
    Series().run(0, 3, _RTT_GAP_S, linger_s)
    series = Series()
    series.run(1, _RTT_PROBES, _RTT_GAP_S, linger_s)
    return [returned_s - series.sent_s[number] for number, returned_s in series.returned_s.items()]


def _fates(order: dict[str, Any], linger_s: float) -> dict[str, Any]:
    """What became of many spaced probes on either way."""
    slowest_bps = min(order["up_bps"], order["down_bps"])
    per_s = min(_LOSS_PROBES_PER_S_MAX, slowest_bps * _LOSS_SHARE_OF_LINE / (PROBE_LINE_BYTES * 8))
    count = max(100, min(order["probes"], int(per_s * order["probe_s"])))
    series = Series()
    series.run(_COUNTED, count, 1 / per_s, linger_s)
    with socket.create_connection((FAR_ADDRESS, bulk.BULK_PORT)) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"?")
        heard_s = {int(number): float(at_s) for number, at_s in json.loads(answer.readline())}
    return {
        "up": dataclasses.asdict(path_pattern(series.sent_s, heard_s, order["up_delay_s"])),
        "down": dataclasses.asdict(path_pattern(heard_s, series.returned_s, order["down_delay_s"])),
    }


def _goodput(order: dict[str, Any], way: str) -> dict[str, Any]:
    start_s = time.monotonic() + order["warm_s"]
    window: dict[str, Any] = {
        "start_s": start_s,
        "end_s": start_s + order["seconds"],
        "pace": [(0.0, order[f"{way}_bps"])],
    }
    window |= {"udp": order["udp"], "congestion_control": order["congestion_control"]}
    return bulk.measure(way, window | {"window_bytes": order[f"{way}_window_bytes"]})


def near(order: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """Takes all measurements that `order` asks for (see `suture_simulators.check`)."""
    linger_s = 4 * order["rtt_s"] + 0.3
    progress("round trips")
    result: dict[str, Any] = {"rtt_s": _round_trips(linger_s)}
    progress("loss and order")
    result["probes"] = _fates(order, linger_s)
    for way in order["goodput"]:
        progress(f"goodput {way}")
        result[way] = _goodput(order, way)
    return result


def main(arguments: list[str]) -> None:
    """`far`, or `near` with an order on standard input; the result goes to stdout."""
    if arguments[0] == "far":
        far()
    order = json.load(sys.stdin)
    result = near(order, lambda stage: print(json.dumps({"stage": stage}), flush=True))  # noqa: T201
    print(json.dumps(result), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
