"""The relay: a process that moves packets between the two ends of an emulated link, late and lossy as the profile says.

Run by `suture_simulators.link` as `python -m suture_simulators.relay CONTROL_FD PARENT_PID`. One thread, one select. It
ends when told to, when its parent dies however it dies, or on SIGTERM, and takes every process at either end with it.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from suture_protocol.errors import SutureError, UsageError
from suture_simulators import kernel
from suture_simulators.channel import Channel
from suture_simulators.link_profile import Direction, LinkProfile, RateTrace
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
_SLICE_NS = 100_000
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


class Relay:
    """Two channels between two ports."""

    def __init__(self, ends: Ends, profile: LinkProfile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._near, self._far = ends.near_port, ends.far_port
        self._up = Channel(profile.up, seed=2 * profile.seed, framing_bytes=self._near.framing_bytes)
        self._down = Channel(profile.down, seed=2 * profile.seed + 1, framing_bytes=self._far.framing_bytes)
        self._clock = clock
        self._lateness = Lateness()
        self._failed_writes = 0
        self._late_limit_s = max(LATE_LIMIT_S, _LATE_LIMIT_OF_RTT * profile.rtt_s)
        self.epoch_s = clock()

    def run(self, wake: list[int], on_wake: Callable[[int], bool]) -> None:
        """Relays until `on_wake`, called with each descriptor of `wake` that becomes readable, returns False."""
        near, far = self._near.descriptor, self._far.descriptor
        watched = [near, far, *wake]
        while True:
            self._send_due(self._up, far)
            self._send_due(self._down, near)
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

    def _send_due(self, channel: Channel, descriptor: int) -> None:
        while channel.next_due_s <= (now_s := self._clock() - self.epoch_s):
            due_s, packet = channel.pop()
            try:
                os.write(descriptor, packet)
            except OSError:
                self._failed_writes += 1
            self._lateness.add(now_s - due_s)

    def report(self) -> dict[str, Any]:
        """Counters, lateness and whether the run counts, as plain data."""
        lost_before = self._near.lost_before() + self._far.lost_before()
        used = resource.getrusage(resource.RUSAGE_SELF)
        reasons = []
        late_s = self._lateness.quantile_s(0.99)
        if late_s > self._late_limit_s:
            reasons.append(
                f"1 % of the packets left {late_s * 1e3:.2f} ms late or more (limit {self._late_limit_s * 1e3:g} ms): "
                "the machine is too busy for this link"
            )
        if lost_before or self._failed_writes:
            reasons.append(f"the kernel dropped {lost_before + self._failed_writes} packets that the link did not")
        return {
            "duration_s": self._clock() - self.epoch_s,
            "up": dataclasses.asdict(self._up.counters),
            "down": dataclasses.asdict(self._down.counters),
            "lateness": self._lateness.to_json() | {"limit_s": self._late_limit_s},
            "kernel_dropped": lost_before + self._failed_writes,
            "cpu_s": used.ru_utime + used.ru_stime,
            "valid": not reasons,
            "invalid_reason": "; ".join(reasons),
        }


def profile_from_plain(plain: dict[str, Any]) -> LinkProfile:
    """The profile that `dataclasses.asdict` and JSON have taken apart."""

    def direction(settings: dict[str, Any]) -> Direction:
        trace = settings["trace"]
        if trace is not None:
            trace = RateTrace(**{**trace, "steps": tuple((at_s, rate) for at_s, rate in trace["steps"])})
        return Direction(**{**settings, "trace": trace})

    return LinkProfile(up=direction(plain["up"]), down=direction(plain["down"]), seed=plain["seed"])


def _hurry() -> str:
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
        kernel.ask_for_short_slices(_SLICE_NS)
    except OSError:
        return "other"
    return "other, short slices"


def _watch_parent(parent: int) -> list[int]:
    """A descriptor that becomes readable when the parent dies; none on kernels without pidfd (control's end serves)."""
    try:
        descriptor = os.pidfd_open(parent)
    except OSError:
        return []
    if os.getppid() != parent:  # it died before we could look
        raise SystemExit(0)
    return [descriptor]


def _requests(control: socket.socket) -> Iterator[str]:
    with control.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            yield line.strip()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((FAR_ADDRESS, port))
    listener.listen(_LISTEN_BACKLOG)
    return listener


def _set_up(request: dict[str, Any]) -> tuple[Ends, LinkProfile, socket.socket | None, str]:
    profile = profile_from_plain(request["profile"])
    ends = create_ends(request["device"], request["congestion_control"])
    kernel.enter_namespace(ends.far)
    port = request["forward_port"]
    try:
        listener = _listen(port) if port is not None else None
    except OSError as error:
        raise UsageError(f"--forward: cannot listen on port {port} at the far end: {error}") from error
    return ends, profile, listener, congestion_control_here()


def main(control_fd: int, parent: int) -> int:
    """Builds the link that the parent asks for over its control socket, then relays until it is over."""
    wake = [control_fd, *_watch_parent(parent)]
    control = socket.socket(fileno=control_fd)
    requests = _requests(control)
    request = next(requests, None)
    if request is None:  # the parent changed its mind
        return 0
    try:
        ends, profile, listener, congestion_control = _set_up(json.loads(request))
    except SutureError as error:
        control.sendall(json.dumps({"error": type(error).__name__, "message": str(error)}).encode() + b"\n")
        return 3
    scheduler = _hurry()
    relay = Relay(ends, profile)
    facts = {
        "backend": ends.device,
        "scheduler": scheduler,
        "congestion_control": congestion_control,
        "epoch_monotonic_s": relay.epoch_s,
        "in_user_namespace": ends.user is not None,
    }
    descriptors = [ends.near, ends.far, *([ends.user] if ends.user is not None else [])]
    descriptors += [listener.fileno()] if listener is not None else []
    socket.send_fds(control, [json.dumps(facts).encode() + b"\n"], descriptors)
    if listener is not None:
        listener.close()

    def on_wake(descriptor: int) -> bool:
        if descriptor != control_fd or next(requests, "stop") != "report":
            return False
        control.sendall(json.dumps(facts | relay.report()).encode() + b"\n")
        return True

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        relay.run(wake, on_wake)
    finally:
        end_processes_in([ends.near, ends.far])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
