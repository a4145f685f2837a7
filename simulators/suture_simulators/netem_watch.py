"""How late a router that is not our own code is: probes through a third leg with a known delay, beside the link.

A kernel's netem does not say when it sent a packet late. So the router has one more leg, whose netem delays by a fixed
time; it answers pings there. What a ping takes beyond that is what any packet on the link is late too: the timer, the
processor's absence (a busy machine starves User-Mode Linux like any process), the way in and out.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import OrderedDict

from suture_protocol.errors import LinkError
from suture_simulators.netem_ends import WATCHED_ADDRESS, Seat, socket_at
from suture_simulators.relay import Lateness

WATCH_DELAY_S = 5e-3
_EVERY_S = 0.02
# An answer that has not come by then never will; it counts as this late.
_LOST_S = 1.0
_FIRST_ANSWER_S = 5.0
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_SO_TIMESTAMPNS = 35
_HEADER, _NUMBER = struct.Struct("!BBHHH"), struct.Struct("!Q")


class Watch:
    """Sends a probe every 20 ms and counts how late each answer came."""

    def __init__(self, seat: Seat) -> None:
        self._socket = socket_at(seat, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sent_ns: OrderedDict[int, int] = OrderedDict()
        self._number = 0
        self.next_s = 0.0
        self.lateness = Lateness()
        self.since_change = Lateness()

    @property
    def descriptor(self) -> int:
        """Readable when an answer is there."""
        return self._socket.fileno()

    def wait_first(self) -> None:
        """Probes until the first answer, which counts for nothing: a new device's first packets stall.

        Raises:
            LinkError: the router does not answer.
        """
        until_s = time.monotonic() + _FIRST_ANSWER_S
        while not self.lateness.to_json()["packets"]:
            if time.monotonic() > until_s:
                raise LinkError("the link's router does not pass packets on")
            self.probe()
            time.sleep(_EVERY_S)
            self.take()
        self._sent_ns.clear()
        self.lateness, self.since_change = Lateness(), Lateness()
        self.next_s = time.monotonic()

    def begin_anew(self) -> None:
        """Another profile is in force."""
        self.since_change = Lateness()

    def probe(self) -> None:
        """Sends the next probe, and gives up old ones."""
        self._number += 1
        self.next_s = max(self.next_s + _EVERY_S, time.monotonic())
        now_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        while self._sent_ns and now_ns - next(iter(self._sent_ns.values())) > _LOST_S * 1e9:
            self._sent_ns.popitem(last=False)
            self._count(_LOST_S)
        payload = _NUMBER.pack(self._number)
        header = _HEADER.pack(_ECHO_REQUEST, 0, 0, 0, 0)
        checked = _HEADER.pack(_ECHO_REQUEST, 0, _checksum(header + payload), 0, 0)
        self._sent_ns[self._number] = time.clock_gettime_ns(time.CLOCK_REALTIME)
        try:
            self._socket.sendto(checked + payload, (WATCHED_ADDRESS, 0))
        except OSError:  # the router is stuck and its queue full: the probe is one that never comes back
            return

    def take(self) -> None:
        """Reads the answers that are there; the kernel says when each came."""
        while True:
            try:
                packet, about, _, _ = self._socket.recvmsg(2048, 256)
            except BlockingIOError:
                return
            answer = packet[(packet[0] & 15) * 4 :]
            if len(answer) < _HEADER.size + _NUMBER.size or answer[0] != _ECHO_REPLY or not about:
                continue
            sent_ns = self._sent_ns.pop(_NUMBER.unpack_from(answer, _HEADER.size)[0], None)
            if sent_ns is not None:
                seconds, nanoseconds = struct.unpack("qq", about[0][2])
                trip_s = (seconds * 1_000_000_000 + nanoseconds - sent_ns) / 1e9
                self._count(max(trip_s - WATCH_DELAY_S, 0.0))

    def _count(self, late_s: float) -> None:
        self.lateness.add(late_s)
        self.since_change.add(late_s)


def _checksum(message: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
