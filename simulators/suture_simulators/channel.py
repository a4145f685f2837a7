"""The physics of one direction of a link: queue, line, loss, delay, order. It holds no clock and no socket."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from suture_simulators.lines import line_of
from suture_simulators.link_profile import FRAMING_BYTES, BurstLoss, Direction

# The delay moves from one random draw to the next over this time, so that jitter is slow and never reorders.
_JITTER_STEP_S = 0.5
_FOREVER_S = float("inf")


@dataclasses.dataclass(kw_only=True, slots=True)
class Counters:
    """What became of the packets that entered; bytes are those of the line, framing included.

    `loss_bursts` counts runs of packets lost in a row: `lost / loss_bursts` is their mean length.
    """

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    dropped_queue: int = 0
    lost: int = 0
    loss_bursts: int = 0
    reordered: int = 0


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


class BurstDraws:
    """Whether packet after packet is lost, by a `BurstLoss`; begins in either state as often as it is met."""

    def __init__(self, model: BurstLoss, draw: Callable[[], float]) -> None:
        self._model = model
        self._draw = draw
        self._bad = draw() < model.bad_share

    def next(self) -> bool:
        """Decides on one packet."""
        model = self._model
        lost = self._draw() < (model.loss_bad if self._bad else model.loss_good)
        if self._draw() < (model.r if self._bad else model.p):
            self._bad = not self._bad
        return lost


class _Waiting(NamedTuple):
    """A packet in the queue or on the line."""

    start_s: float
    left_s: float
    wire_bytes: int
    packet: bytes
    number: int
    lost: bool
    early: bool


class Channel:
    """One direction. `arrive` takes a packet, `pop` hands over those whose time has come, `change` sets a new profile.

    Pacing is exact rather than by tokens: each packet's departure follows from the one before it, so no burst ever
    passes faster than the line. Times are seconds since the link came up and must not go back.
    """

    __slots__ = (
        "_busy_until_s", "_delay_s", "_draw", "_finish", "_in_burst", "_jitter", "_last_due_s",
        "_limit", "_line", "_loses", "_number", "_on_the_way", "_queued", "_reorder", "_since_s", "_waiting",
        "counters", "framing_bytes", "next_due_s",
    )  # fmt: skip

    def __init__(self, direction: Direction, *, seed: int, framing_bytes: int = FRAMING_BYTES) -> None:
        self.framing_bytes = framing_bytes
        self._queued = 0
        self._waiting: deque[_Waiting] = deque()
        self._on_the_way: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._busy_until_s = 0.0
        self._last_due_s = 0.0
        self._in_burst = False
        self.counters = Counters()
        self.next_due_s = _FOREVER_S
        self._set(direction, seed, 0.0)

    def _set(self, direction: Direction, seed: int, now_s: float) -> None:
        self._since_s = now_s
        self._line = line_of(direction)
        self._finish = self._line.finish
        self._draw = draw = random.Random(seed).random
        self._jitter = SlowJitter(direction.jitter_s, random.Random(seed + 1)).at if direction.jitter_s else None
        self._delay_s = direction.delay_s
        self._reorder = direction.reorder
        self._limit = direction.queue_limit_bytes()
        loss = direction.loss
        self._loses: Callable[[], bool] | None = (lambda: draw() < loss) if loss else None
        if direction.burst_loss is not None:
            self._loses = BurstDraws(direction.burst_loss, draw).next

    def arrive(self, now_s: float, packet: bytes) -> None:
        """Takes a packet, unless the queue has no room for it."""
        wire_bytes = len(packet) + self.framing_bytes
        counters = self.counters
        counters.packets_in += 1
        counters.bytes_in += wire_bytes
        self.settle(now_s)
        if self._queued + wire_bytes > self._limit:
            counters.dropped_queue += 1
            return
        self._queued += wire_bytes
        self._send(now_s, wire_bytes * 8, wire_bytes, packet)

    def _send(self, now_s: float, bits: float, wire_bytes: int, packet: bytes) -> None:
        """Puts a packet behind those waiting; it takes `bits` of the line (fewer where its beginning has left)."""
        since_s = self._since_s
        start_s = max(now_s, self._busy_until_s)
        self._busy_until_s = left_s = since_s + self._finish(start_s - since_s, bits)
        self._number = number = self._number + 1
        lost = self._loses is not None and self._loses()
        early = bool(self._reorder) and self._draw() < self._reorder
        self._waiting.append(_Waiting(start_s, left_s, wire_bytes, packet, number, lost, early))
        if lost:
            return
        due_s = left_s
        if not early:
            due_s += self._delay_s + (self._jitter(left_s - since_s) if self._jitter else 0.0)
            self._last_due_s = due_s = max(due_s, self._last_due_s)
        heappush(self._on_the_way, (due_s, number, packet))
        self.next_due_s = self._on_the_way[0][0]

    def settle(self, now_s: float) -> None:
        """Accounts for the packets that have left the line by now."""
        waiting, counters = self._waiting, self.counters
        while waiting and waiting[0].left_s <= now_s:
            gone = waiting.popleft()
            self._queued -= gone.wire_bytes
            if gone.lost:
                counters.lost += 1
                counters.loss_bursts += not self._in_burst
            self._in_burst = gone.lost
            counters.reordered += gone.early

    def pop(self) -> tuple[float, bytes]:
        """Removes and returns the packet due at `next_due_s`; IndexError when none is on its way."""
        due_s, _, packet = heappop(self._on_the_way)
        self.counters.packets_out += 1
        self.counters.bytes_out += len(packet) + self.framing_bytes
        self.next_due_s = self._on_the_way[0][0] if self._on_the_way else _FOREVER_S
        return due_s, packet

    def change(self, now_s: float, direction: Direction, *, seed: int) -> None:
        """Puts another profile in force, at once; its trace and its outages begin now.

        Packets on their way (past the line) arrive when they would have. The queue keeps its packets, even where the
        new one is smaller, and they leave at the new rate, as does what is left of the packet on the line; their
        losses and delays are the new profile's. A shorter delay lets no packet overtake an earlier one.
        """
        self.settle(now_s)
        waiting = list(self._waiting)
        left_bits = 0.0
        if waiting:
            head = waiting[0]
            sent = self._line.bits_between(head.start_s - self._since_s, now_s - self._since_s)
            left_bits = max(head.wire_bytes * 8 - sent, 0.0)
            self._on_the_way = [entry for entry in self._on_the_way if entry[1] < head.number]
            heapify(self._on_the_way)
        self._last_due_s = max((due_s for due_s, _, _ in self._on_the_way), default=0.0)
        self.next_due_s = self._on_the_way[0][0] if self._on_the_way else _FOREVER_S
        self._waiting.clear()
        self._busy_until_s = now_s
        self._set(direction, seed, now_s)
        for entry in waiting:
            bits = left_bits if entry is waiting[0] else entry.wire_bytes * 8
            self._send(now_s, bits, entry.wire_bytes, entry.packet)
