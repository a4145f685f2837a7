"""The relay: a process that moves packets between the two ends of an emulated link, late and lossy as the profile says.

Run by `suture_simulators.link` as `python -m suture_simulators.relay CONTROL_FD PARENT_PID`. One thread, one select. It
ends when told to, when its parent dies however it dies, or on SIGTERM, and takes every process at either end with it.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from suture_protocol.errors import SutureError, UsageError
from suture_simulators import kernel
from suture_simulators.channel import Channel
from suture_simulators.control import Control, profile_from_plain
from suture_simulators.link_profile import LinkProfile
from suture_simulators.namespaces import (
    FAR_ADDRESS,
    Ends,
    Port,
    congestion_control_here,
    create_ends,
    end_processes_in,
)

# A run counts when 99 of 100 packets left at most this late (the larger of a millisecond and a twentieth of the round
# trip), and the kernel dropped none before the relay saw them.
LATE_LIMIT_S = 1e-3
_LATE_LIMIT_OF_RTT = 0.05
_LATE_STEP_S = 50e-6
_LATE_BINS = 2000
# So many packets are read at once before those due are sent on.
_BATCH = 32
_IDLE_S = 1.0
SLICE_NS = 100_000
_LISTEN_BACKLOG = 128


class Lateness:
    """How late packets left, against when they were due: a histogram in steps of 50 µs up to 100 ms."""

    def __init__(self) -> None:
        self._bins = [0] * (_LATE_BINS + 1)
        self._count = 0
        self._max_s = 0.0

    def add(self, late_s: float) -> None:
        """Counts one packet."""
        self._bins[min(int(late_s / _LATE_STEP_S), _LATE_BINS)] += 1
        self._count += 1
        self._max_s = max(self._max_s, late_s)

    def quantile_s(self, share: float) -> float:
        """The lateness that `share` of all packets stayed under, to the next 50 µs; 0 when there were none."""
        seen = 0
        for index, count in enumerate(self._bins):
            seen += count
            if seen and seen >= share * self._count:
                return min((index + 1) * _LATE_STEP_S, self._max_s)
        return 0.0

    def to_json(self) -> dict[str, float]:
        """Median, 99th percentile and maximum in seconds, and how many packets were counted."""
        return {
            "p50_s": self.quantile_s(0.5),
            "p99_s": self.quantile_s(0.99),
            "max_s": self._max_s,
            "packets": self._count,
        }


class Record:
    """Bytes that arrived, second by second since the link came up."""

    def __init__(self) -> None:
        self.bytes_per_s: list[int] = []

    def add(self, now_s: float, count: int) -> None:
        """Counts bytes that arrived just now."""
        second = int(now_s)
        seconds = self.bytes_per_s
        if second >= len(seconds):
            seconds.extend([0] * (second + 1 - len(seconds)))
        seconds[second] += count


class Relay:
    """Two channels between two ports."""

    def __init__(self, ends: Ends, profile: LinkProfile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._near, self._far = ends.near_port, ends.far_port
        self._up = Channel(profile.up, seed=2 * profile.seed, framing_bytes=self._near.framing_bytes)
        self._down = Channel(profile.down, seed=2 * profile.seed + 1, framing_bytes=self._far.framing_bytes)
        self._clock = clock
        self._lateness, self._lateness_now = Lateness(), Lateness()
        self._lost_before_change = 0
        self._up_record, self._down_record = Record(), Record()
        self._failed_writes = 0
        self._late_limit_s = self._limit_now_s = late_limit_s(profile)
        self.epoch_s = clock()

    def run(self, wake: list[int], on_wake: Callable[[int], bool]) -> None:
        """Relays until `on_wake`, called with each descriptor of `wake` that becomes readable, returns False."""
        near, far = self._near.descriptor, self._far.descriptor
        watched = [near, far, *wake]
        while True:
            self._send_due(self._up, far, self._up_record)
            self._send_due(self._down, near, self._down_record)
            next_due_s = min(self._up.next_due_s, self._down.next_due_s)
            wait_s = min(max(next_due_s - (self._clock() - self.epoch_s), 0.0), _IDLE_S)
            for descriptor in select.select(watched, [], [], wait_s)[0]:
                if descriptor == near:
                    self._take(self._up, self._near)
                elif descriptor == far:
                    self._take(self._down, self._far)
                elif not on_wake(descriptor):
                    return

    def _take(self, channel: Channel, port: Port) -> None:
        descriptor, ip_at = port.descriptor, port.ip_at
        for _ in range(_BATCH):
            try:
                packet = os.read(descriptor, 65536)
            except BlockingIOError:
                return
            # Only IPv4 crosses: what a device chatters about itself (router solicitations) would be counted as load.
            if len(packet) > ip_at and packet[ip_at] >> 4 == 4:
                channel.arrive(self._clock() - self.epoch_s, packet)

    def _send_due(self, channel: Channel, descriptor: int, record: Record) -> None:
        while channel.next_due_s <= (now_s := self._clock() - self.epoch_s):
            due_s, packet = channel.pop()
            try:
                os.write(descriptor, packet)
            except OSError:
                self._failed_writes += 1
            self._lateness.add(now_s - due_s)
            self._lateness_now.add(now_s - due_s)
            record.add(now_s, len(packet) + channel.framing_bytes)

    def change(self, profile: LinkProfile) -> dict[str, Any]:
        """Puts a new profile in force, at once; returns when that was, in seconds since the link came up."""
        now_s = self._clock() - self.epoch_s
        self._up.change(now_s, profile.up, seed=2 * profile.seed)
        self._down.change(now_s, profile.down, seed=2 * profile.seed + 1)
        self._limit_now_s = late_limit_s(profile)
        self._late_limit_s = min(self._late_limit_s, self._limit_now_s)
        self._lateness_now = Lateness()
        self._lost_before_change = self._lost()
        return {"from_s": now_s}

    def report(self) -> dict[str, Any]:
        """Counters, lateness and whether the run counts, as plain data."""
        now_s = self._clock() - self.epoch_s
        self._up.settle(now_s)
        self._down.settle(now_s)
        used = resource.getrusage(resource.RUSAGE_SELF)
        lost_now = self._lost() - self._lost_before_change
        return {
            "duration_s": now_s,
            "up": dataclasses.asdict(self._up.counters),
            "down": dataclasses.asdict(self._down.counters),
            "up_bytes_per_s": self._up_record.bytes_per_s,
            "down_bytes_per_s": self._down_record.bytes_per_s,
            "cpu_s": used.ru_utime + used.ru_stime,
            **verdict(self._lateness, self._late_limit_s, self._lost()),
            "since_change": verdict(self._lateness_now, self._limit_now_s, lost_now),
        }

    def _lost(self) -> int:
        """Packets lost outside the emulation, before they were read or while they were written."""
        return self._near.lost_before() + self._far.lost_before() + self._failed_writes


def verdict(lateness: Lateness, limit_s: float, lost: int) -> dict[str, Any]:
    """Whether the emulation kept its times, with what that is judged by."""
    reasons = []
    late_s = lateness.quantile_s(0.99)
    if late_s > limit_s:
        reasons.append(
            f"1 % of the packets left {late_s * 1e3:.2f} ms late or more (limit {limit_s * 1e3:g} ms): "
            "the machine is too busy for this link"
        )
    if lost:
        reasons.append(f"the kernel dropped {lost} packets that the link did not")
    return {
        "lateness": lateness.to_json() | {"limit_s": limit_s},
        "kernel_dropped": lost,
        "valid": not reasons,
        "invalid_reason": "; ".join(reasons),
    }


def late_limit_s(profile: LinkProfile) -> float:
    """How late 99 of 100 packets may be on such a link."""
    return max(LATE_LIMIT_S, _LATE_LIMIT_OF_RTT * profile.rtt_s)


def hurry() -> str:
    """Makes this process punctual as far as the system lets it; returns the scheduler it runs under."""
    gc.freeze()
    gc.disable()
    kernel.set_timer_slack_ns(1)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        return "fifo"
    except PermissionError:
        pass
    try:
        kernel.ask_for_short_slices(SLICE_NS)
    except OSError:
        return "other"
    return "other, short slices"


def listen_at_far(far: int, port: int | None) -> tuple[socket.socket | None, str]:
    """Moves this process to the far end; returns the forwarded port's listener, and the congestion control there."""
    kernel.enter_namespace(far)
    if port is None:
        return None, congestion_control_here()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((FAR_ADDRESS, port))
        listener.listen(_LISTEN_BACKLOG)
    except OSError as error:
        raise UsageError(f"--forward: cannot listen on port {port} at the far end: {error}") from error
    return listener, congestion_control_here()


def _set_up(request: dict[str, Any]) -> tuple[Ends, LinkProfile, socket.socket | None, str]:
    profile = profile_from_plain(request["profile"])
    ends = create_ends(request["device"], request["congestion_control"])
    listener, congestion_control = listen_at_far(ends.far, request["forward_port"])
    return ends, profile, listener, congestion_control


def main(control_fd: int, parent: int) -> int:
    """Builds the link that the parent asks for over its control socket, then relays until it is over."""
    control = Control(control_fd, parent)
    request = control.set_up()
    if request is None:
        return 0
    try:
        ends, profile, listener, congestion_control = _set_up(request)
    except SutureError as error:
        control.refuse(error)
        return 3
    scheduler = hurry()
    relay = Relay(ends, profile)
    facts = {
        "backend": ends.device,
        "scheduler": scheduler,
        "congestion_control": congestion_control,
        "epoch_monotonic_s": relay.epoch_s,
        "in_user_namespace": ends.user is not None,
    }
    descriptors = [ends.near, ends.far, *([ends.user] if ends.user is not None else [])]
    control.hand_over(facts, descriptors + ([listener.fileno()] if listener is not None else []))
    if listener is not None:
        listener.close()

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        relay.run(control.wake, lambda ready: control.serve(ready, lambda: facts | relay.report(), relay.change))
    finally:
        end_processes_in([ends.near, ends.far])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
