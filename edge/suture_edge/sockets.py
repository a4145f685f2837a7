"""What the operating system is asked for on the sockets that gRPC opens and gives nobody a handle of; best effort.

- TCP_CONGESTION, BBR: where the system allows it, a pause or a lost packet does not slow the next upload down.
- TCP_NOTSENT_LOWAT bounds what a socket takes beyond what is on its way. Without it the kernel takes megabytes ahead on
  a slow link, and what is urgent, and a change of plan, wait behind them.
- SO_MAX_PACING_RATE is a brake: what the kernel and gRPC have taken already cannot be called back, but it can be slowed
  down to next to nothing until something urgent has passed on another connection.
- A write of no bytes has the kernel note that the sender has nothing more to send.

All are Linux's (tcp(7), socket(7)); elsewhere nothing is asked for.

A socket is found by its *mark*: gRPC gives the kernel a channel's keepalive time-out as TCP_USER_TIMEOUT, so that a
channel with a time-out of its own has a socket that can be told from all others of the process.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from suture_protocol.units import format_size

_log = logging.getLogger(__name__)

_DESCRIPTORS: Final = Path("/proc/self/fd")
_IDLE_RESTART: Final = Path("/proc/sys/net/ipv4/tcp_slow_start_after_idle")
#: Numbers of the options where Python does not name them (linux/tcp.h, asm-generic/socket.h).
_TCP_CONGESTION: Final = getattr(socket, "TCP_CONGESTION", 13)
_TCP_INFO: Final = getattr(socket, "TCP_INFO", 11)
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_TCP_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", 18)
_SO_MAX_PACING_RATE: Final = 47
_UNLIMITED: Final = 0xFFFFFFFF
_NAME_BYTES: Final = 16
#: Enough to keep any link of a unit busy until gRPC's thread writes again: 2.6 ms at 100 Mbit/s.
UNSENT_BYTES: Final = 32 * 1024
#: Share of its rate that a braked connection keeps: one packet each 40 ms at 10 Mbit/s, so that it is awake soon after.
BRAKED_SHARE: Final = 1 / 32
_BRAKED_MIN_BYTES_PER_S: Final = 2_000
#: Offsets in `struct tcp_info` (linux/tcp.h): snd_mss, rtt and least rtt in µs, snd_cwnd; all u32. Then two rates in
#: bytes/s, u64.
_SND_MSS, _RTT_US, _MIN_RTT_US, _SND_CWND = 16, 68, 148, 80
_PACING_RATE, _DELIVERY_RATE = 104, 160
_INFO_BYTES: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """What to ask for; None asks for nothing of the kind."""

    congestion_control: str | None = "bbr"
    unsent_bytes: int | None = UNSENT_BYTES
    brake: bool = True
    tell_idle: bool = True
    change_lanes: bool = True


#: Everything as the system has it.
UNTUNED: Final = Tuning(congestion_control=None, unsent_bytes=None, brake=False, tell_idle=False, change_lanes=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What is in force on a socket after it was asked for, as the kernel says it."""

    congestion_control: str
    unsent_bytes: int

    def __str__(self) -> str:
        limit = "any amount" if self.unsent_bytes in (0, _UNLIMITED) else f"{format_size(self.unsent_bytes)} at most"
        text = f"congestion control {self.congestion_control}, {limit} unsent in the kernel"
        if self.congestion_control != "bbr" and _restarts_after_idle():
            text += ", slow start after each pause (net.ipv4.tcp_slow_start_after_idle is 1)"
        return text


def tune(mark: int, tuning: Tuning) -> Tuned | None:
    """Asks for `tuning` on the socket of that mark.

    Returns:
        What is in force then; None where there is no such socket, or the system does not tell.
    """
    for connection in _marked(mark):
        with connection:
            if tuning.congestion_control is not None:
                wanted = tuning.congestion_control.encode("ascii")
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, wanted)
            if tuning.unsent_bytes is not None:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, tuning.unsent_bytes)
            with contextlib.suppress(OSError):
                name = connection.getsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, _NAME_BYTES)
                return Tuned(
                    congestion_control=name.split(b"\0")[0].decode("ascii", "replace"),
                    unsent_bytes=connection.getsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT) & _UNLIMITED,
                )
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The kernel's rates for a socket's path, bit/s: how fast it would send, by pacing and by the window, and how fast
    what it sent last arrived."""

    sending_bps: float
    delivery_bps: float


class _Found:
    """The socket of a mark, looked for once and held by its number; from one thread."""

    def __init__(self, mark: int) -> None:
        self._mark = mark
        self._descriptor = -1

    def copy(self) -> socket.socket | None:
        """A duplicate for the caller to close; None where there is none of that mark."""
        for descriptor in itertools.chain((self._descriptor,), _descriptors()):
            if (connection := _copy(descriptor, self._mark)) is not None:
                self._descriptor = descriptor
                return connection
        return None


class RateReader:
    """Reads the rates of the socket of a mark. From one thread."""

    def __init__(self, mark: int) -> None:
        self._socket = _Found(mark)

    def read(self) -> Rates | None:
        """None where there is no such socket, or the system does not tell."""
        if (connection := self._socket.copy()) is None:
            return None
        with connection, contextlib.suppress(OSError, struct.error):
            info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
            mss, rtt_us, window = (struct.unpack_from("=I", info, at)[0] for at in (_SND_MSS, _MIN_RTT_US, _SND_CWND))
            pacing, delivery = (struct.unpack_from("=Q", info, at)[0] for at in (_PACING_RATE, _DELIVERY_RATE))
            by_window = window * mss / max(rtt_us / 1e6, 1e-6)
            return Rates(sending_bps=8.0 * min(pacing, by_window), delivery_bps=8.0 * delivery)
        return None


class IdleTeller:
    """Tells the kernel, for the socket of a mark, that its sender has nothing more to send for now. From one thread.

    The kernel looks for that only when something is written (tcp_rate.c), so that what it sends again after the last
    byte of a request looks to it like all that the line carries. BBR keeps the best rate of ten round trips; after as
    many short requests on a line that loses packets it knew 5 Mbit/s of 50, and paced by that. What is sent while
    the kernel knows of the pause can only raise that rate (draft-cheng-iccrg-delivery-rate-estimation: application
    limited).
    """

    def __init__(self, mark: int) -> None:
        self._socket = _Found(mark)

    def tell(self) -> None:
        """Does so where the kernel has sent all it was given; of no effect before."""
        if (connection := self._socket.copy()) is not None:
            with connection, contextlib.suppress(OSError):
                connection.send(b"", socket.MSG_DONTWAIT)


class Brake:
    """Slows the socket of a mark down and lets it go again. From any thread; does nothing where it may not.

    The kernel paces the socket at a small share of the rate it had; nothing is lost or reordered.
    """

    def __init__(self, mark: int) -> None:
        self._mark = mark
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def pull(self, for_s: float) -> None:
        """Slows down until `release`, and no longer than `for_s` from now."""
        with self._lock:
            before, self._timer = self._timer, threading.Timer(max(for_s, 0.0), lambda: self._let_go(timer))
            timer = self._timer
            timer.daemon = True
            timer.start()
            if before is None:
                self._pace(braked=True)
            else:
                before.cancel()

    def release(self) -> None:
        """Lets go; nothing where it was not pulled."""
        self._let_go(None)

    def _let_go(self, timer: threading.Timer | None) -> None:
        """For the timer that is over, if it is still the one that counts; for None in any case."""
        with self._lock:
            if self._timer is not None and timer in (None, self._timer):
                self._timer.cancel()
                self._timer = None
                self._pace(braked=False)

    def _pace(self, *, braked: bool) -> None:
        for connection in _marked(self._mark):
            with connection, contextlib.suppress(OSError):
                limit = _braked_bytes_per_s(connection) if braked else _UNLIMITED
                connection.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, struct.pack("=I", limit))


def _braked_bytes_per_s(connection: socket.socket) -> int:
    """A share of what the window allows in a round trip, which does not depend on how long it has been braked."""
    info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
    mss, rtt_us, window = (struct.unpack_from("=I", info, at)[0] for at in (_SND_MSS, _RTT_US, _SND_CWND))
    rate = window * mss / max(rtt_us / 1e6, 1e-6)
    return int(min(max(BRAKED_SHARE * rate, _BRAKED_MIN_BYTES_PER_S), _UNLIMITED - 1))


def _marked(mark: int) -> Iterator[socket.socket]:
    """Duplicates of this process's TCP sockets of that mark, for the caller to close; the originals stay gRPC's."""
    for descriptor in _descriptors():
        if (connection := _copy(descriptor, mark)) is not None:
            yield connection


def _descriptors() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(entry.name) for entry in _DESCRIPTORS.iterdir()]
    return []


def _copy(descriptor: int, mark: int) -> socket.socket | None:
    # A descriptor may be closed, or be something else, by the time it is looked at. Of a file none is copied: closing
    # the copy would drop the locks that this process has on it (fcntl(2)), and SQLite's databases have such.
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # no socket any more
        os.close(copy)
        return None
    if _has_mark(connection, mark):
        return connection
    connection.close()
    return None


def _has_mark(connection: socket.socket, mark: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    try:
        return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT) == mark)
    except OSError:
        return False


def _restarts_after_idle() -> bool:
    try:
        return _IDLE_RESTART.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
