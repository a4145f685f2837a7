"""What to tell `tc` so that its qdiscs do what a profile says, and when to tell it again; it runs nothing itself.

Each way has two stages, because netem alone would lose packets before its line instead of behind it, and count those
on their way as queued. The *line* is a `tbf` on an ifb device that packets pass as they come in: its queue is in bytes,
and what waits in it leaves at the rate of now, whereas netem fixes a packet's time when the packet arrives. The *path*
is a `netem` on the device that they leave by: loss, delay, order, and the rate once more, which undoes tbf's one fault,
that it sends a burst at once after a pause: netem spaces packets to the nanosecond.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import pairwise

from suture_protocol.errors import UsageError
from suture_simulators.channel import SlowJitter
from suture_simulators.link_profile import FRAMING_BYTES, MTU_BYTES, Direction

#: How often a jittered delay is set anew.
JITTER_TICK_S = 0.05
#: A rate that changes more often than this is not followed: telling tc takes some milliseconds.
FASTEST_CHANGE_S = 0.02
_FRAME_BYTES = MTU_BYTES + FRAMING_BYTES
_ON_THE_WAY_PACKETS = 200_000
# tbf has no rate 0. At this one a packet takes hours.
_OUTAGE_BPS = 8
_UNLIMITED_BPS = 10_000_000_000
# What tbf may send at once beyond a packet, so that a timer that fires late costs no rate.
_BURST_S = 4e-3
_FOREVER_S = float("inf")


class Course:
    """One direction from when its profile came into force: its two qdiscs now, and when they change next.

    Args:
        direction: What to emulate.
        seed: Draws the jitter, as in `channel.Channel`.

    Raises:
        UsageError: tc cannot do this; the message names the backend that can.
    """

    def __init__(self, direction: Direction, *, seed: int) -> None:
        _check_speed(direction)
        self._direction = direction
        self._jitter = SlowJitter(direction.jitter_s, random.Random(seed + 1)) if direction.jitter_s else None
        self._times = _change_times(direction)
        self.next_s = next(self._times, _FOREVER_S)
        self._path_bps = _UNLIMITED_BPS

    def advance(self, now_s: float) -> tuple[str, str]:
        """The line's and the path's qdisc as tc writes them, as they are at `now_s`; times must not go back."""
        while self.next_s <= now_s:
            self.next_s = next(self._times, _FOREVER_S)
        rate_bps = round(_rate_at(self._direction, now_s))
        # An outage stops the line; what is past it goes on.
        self._path_bps = rate_bps or self._path_bps
        return self._line(rate_bps or _OUTAGE_BPS), self._path(now_s)

    def _line(self, rate_bps: int) -> str:
        burst_bytes = _FRAME_BYTES + round(rate_bps / 8 * _BURST_S)
        # On a busy line the burst stands in the path's netem, so the queue has that much less room.
        room_bytes = max(self._direction.queue_limit_bytes() - burst_bytes, _FRAME_BYTES)
        return f"tbf rate {rate_bps}bit burst {burst_bytes} limit {room_bytes}"

    def _path(self, now_s: float) -> str:
        direction = self._direction
        delay_s = direction.delay_s + (self._jitter.at(now_s) if self._jitter else 0.0)
        # The rate, however high, also keeps the order where jitter shortens the delay.
        words = [f"netem limit {_ON_THE_WAY_PACKETS} delay {delay_s * 1e6:.1f}us rate {self._path_bps}bit"]
        if burst := direction.burst_loss:
            words.append("loss gemodel " + " ".join(map(_percent, (burst.p, burst.r, burst.loss_bad, burst.loss_good))))
        elif direction.loss:
            words.append(f"loss random {_percent(direction.loss)}")
        if direction.reorder:
            words.append(f"reorder {_percent(direction.reorder)}")
        return " ".join(words)


def _percent(share: float) -> str:
    return f"{share * 100:.9g}%"


def _check_speed(direction: Direction) -> None:
    trace = direction.trace
    if trace is None:
        return
    ends_s = [*(at_s for at_s, _ in trace.steps), trace.period_s]
    shortest_s = min(after - before for before, after in pairwise(ends_s))
    if shortest_s < FASTEST_CHANGE_S:
        raise UsageError(
            f"trace {trace.name}: its shortest step is {shortest_s * 1e3:g} ms, and netem can be set anew every "
            f"{FASTEST_CHANGE_S * 1e3:g} ms at best. Use --backend tun, which follows any trace"
        )


def _rate_at(direction: Direction, now_s: float) -> float:
    if any(begin_s <= now_s < begin_s + length_s for begin_s, length_s in direction.outages):
        return 0.0
    if direction.trace is None:
        return direction.rate_bps or _UNLIMITED_BPS
    steps = direction.trace.steps
    return steps[bisect_right(steps, (now_s % direction.trace.period_s, _FOREVER_S)) - 1][1]


def _change_times(direction: Direction) -> Iterator[float]:
    """When anything changes, ascending; without end where there is a trace or jitter."""
    sources: list[Iterator[float]] = []
    if trace := direction.trace:
        period_s, starts_s = trace.period_s, [at_s for at_s, _ in trace.steps]
        sources.append(lap * period_s + at_s for lap in itertools.count() for at_s in starts_s)
    if direction.outages:
        sources.append(edge_s for begin_s, length_s in direction.outages for edge_s in (begin_s, begin_s + length_s))
    if direction.jitter_s:
        sources.append(tick * JITTER_TICK_S for tick in itertools.count())
    return merge(*sources)
