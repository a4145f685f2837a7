"""The physics of one direction of a link: queue, line, loss, delay. Told the time, it holds no clock and no socket."""

from __future__ import annotations

import dataclasses
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable

from suture_simulators.link_profile import FRAMING_BYTES, Direction, RateTrace

# The delay moves from one random draw to the next over this time, so that jitter is slow and never reorders.
_JITTER_STEP_S = 0.5
_FOREVER_S = float("inf")


@dataclasses.dataclass(kw_only=True, slots=True)
class Counters:
    """What became of the packets that entered; bytes are those of the line, framing included."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    dropped_queue: int = 0
    lost: int = 0


class RateSchedule:
    """When a line that follows a trace has sent so many bits; start times must not go back."""

    def __init__(self, trace: RateTrace) -> None:
        self._starts_s = [at_s for at_s, _ in trace.steps]
        self._rates_bps = [rate_bps for _, rate_bps in trace.steps]
        self._period_s = trace.period_s

    def finish(self, start_s: float, bits: float) -> float:
        """Returns when `bits` have left if the first leaves at `start_s` (seconds since the trace began)."""
        lap, at_s = divmod(max(start_s, 0.0), self._period_s)
        step = bisect_right(self._starts_s, at_s) - 1
        while True:
            last = step + 1 == len(self._starts_s)
            end_s = self._period_s if last else self._starts_s[step + 1]
            room = self._rates_bps[step] * (end_s - at_s)
            if bits <= room and room > 0:
                return lap * self._period_s + at_s + bits / self._rates_bps[step]
            bits -= room
            at_s, step = end_s, step + 1
            if last:
                lap, at_s, step = lap + 1, 0.0, 0


class SlowJitter:
    """An offset that wanders between -amplitude and +amplitude: straight lines between uniform draws, mean 0."""

    def __init__(self, amplitude_s: float, generator: random.Random) -> None:
        self._amplitude_s = amplitude_s
        self._generator = generator
        self._step = 0
        self._from_s, self._to_s = self._draw(), self._draw()

    def _draw(self) -> float:
        return self._generator.uniform(-self._amplitude_s, self._amplitude_s)

    def at(self, now_s: float) -> float:
        """The offset at `now_s`; times must not go back."""
        step, within = divmod(now_s, _JITTER_STEP_S)
        while self._step < step:
            self._step += 1
            self._from_s, self._to_s = self._to_s, self._draw()
        return self._from_s + (self._to_s - self._from_s) * within / _JITTER_STEP_S


class Channel:
    """One direction. `arrive` takes a packet, `pop` hands over those whose time has come.

    Pacing is exact rather than by tokens: each packet's departure follows from the one before it, so no burst ever
    passes faster than the line. Times are seconds since the link came up and must not go back.
    """

    __slots__ = (
        "_busy_until_s", "_delay_s", "_finish", "_framing_bytes", "_in_line", "_jitter", "_last_due_s", "_limit",
        "_loss", "_on_the_way", "_queued", "_random", "counters", "next_due_s",
    )  # fmt: skip

    def __init__(self, direction: Direction, *, seed: int, framing_bytes: int = FRAMING_BYTES) -> None:
        self._framing_bytes = framing_bytes
        self._random = random.Random(seed).random
        self._finish = _line(direction)
        self._jitter = SlowJitter(direction.jitter_s, random.Random(seed + 1)).at if direction.jitter_s else None
        self._delay_s = direction.delay_s
        self._loss = direction.loss
        self._limit = direction.queue_limit_bytes()
        self._queued = 0
        self._in_line: deque[tuple[float, int]] = deque()
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._busy_until_s = 0.0
        self._last_due_s = 0.0
        self.counters = Counters()
        self.next_due_s = _FOREVER_S

    def arrive(self, now_s: float, packet: bytes) -> None:
        """Takes a packet, unless the queue has no room for it."""
        wire_bytes = len(packet) + self._framing_bytes
        counters = self.counters
        counters.packets_in += 1
        counters.bytes_in += wire_bytes
        in_line = self._in_line
        while in_line and in_line[0][0] <= now_s:
            self._queued -= in_line.popleft()[1]
        if self._queued + wire_bytes > self._limit:
            counters.dropped_queue += 1
            return
        left_s = self._finish(max(now_s, self._busy_until_s), wire_bytes * 8)
        self._busy_until_s = left_s
        self._queued += wire_bytes
        in_line.append((left_s, wire_bytes))
        if self._loss and self._random() < self._loss:
            counters.lost += 1
            return
        due_s = left_s + self._delay_s + (self._jitter(left_s) if self._jitter else 0.0)
        self._last_due_s = due_s = max(due_s, self._last_due_s)
        if not self._on_the_way:
            self.next_due_s = due_s
        self._on_the_way.append((due_s, packet))

    def pop(self) -> tuple[float, bytes]:
        """Removes and returns the packet due at `next_due_s`; IndexError when none is on its way."""
        due_s, packet = self._on_the_way.popleft()
        self.counters.packets_out += 1
        self.counters.bytes_out += len(packet) + self._framing_bytes
        self.next_due_s = self._on_the_way[0][0] if self._on_the_way else _FOREVER_S
        return due_s, packet


def _line(direction: Direction) -> Callable[[float, float], float]:
    """The function from (start, bits) to the time the last bit has left."""
    if direction.trace is not None:
        return RateSchedule(direction.trace).finish
    if direction.rate_bps is None:
        return lambda start_s, _bits: start_s
    seconds_per_bit = 1.0 / direction.rate_bps
    return lambda start_s, bits: start_s + bits * seconds_per_bit
