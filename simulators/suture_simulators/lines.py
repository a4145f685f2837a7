"""How fast a line sends, over time: steady, along a trace, and with outages. Times are seconds since the beginning."""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from suture_simulators.link_profile import Direction
from suture_simulators.rate_trace import RateTrace


class Line(Protocol):
    """What a channel asks of a line."""

    def finish(self, start_s: float, bits: float) -> float:
        """When `bits` have left, if the first leaves at `start_s` at the earliest."""

    def bits_between(self, start_s: float, end_s: float) -> float:
        """How many bits leave between two times."""


class SteadyLine:
    """Always the same rate; None: unlimited."""

    def __init__(self, rate_bps: float | None) -> None:
        self._seconds_per_bit = 0.0 if rate_bps is None else 1.0 / rate_bps
        self._rate_bps = float("inf") if rate_bps is None else rate_bps

    def finish(self, start_s: float, bits: float) -> float:
        """As the protocol says."""
        return start_s + bits * self._seconds_per_bit

    def bits_between(self, start_s: float, end_s: float) -> float:
        """As the protocol says."""
        return self._rate_bps * (end_s - start_s) if end_s > start_s else 0.0


class TracedLine:
    """Follows a trace, again and again."""

    def __init__(self, trace: RateTrace) -> None:
        self._trace = trace
        self._starts_s = [at_s for at_s, _ in trace.steps]
        self._rates_bps = [rate_bps for _, rate_bps in trace.steps]
        self._period_s = trace.period_s

    def finish(self, start_s: float, bits: float) -> float:
        """As the protocol says."""
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

    def bits_between(self, start_s: float, end_s: float) -> float:
        """As the protocol says."""
        return self._trace.mean_between(start_s, end_s) * (end_s - start_s) if end_s > start_s else 0.0


class InterruptedLine:
    """Another line with outages in it; a packet on the line then pauses and goes on afterwards."""

    def __init__(self, line: Line, outages: tuple[tuple[float, float], ...]) -> None:
        self._line = line
        self._outages = [(begin_s, begin_s + length_s) for begin_s, length_s in outages]
        self._ends_s = [end_s for _, end_s in self._outages]

    def finish(self, start_s: float, bits: float) -> float:
        """As the protocol says."""
        for begin_s, end_s in self._outages[bisect_right(self._ends_s, start_s) :]:
            if start_s < begin_s:
                left_s = self._line.finish(start_s, bits)
                if left_s <= begin_s:
                    return left_s
                bits -= self._line.bits_between(start_s, begin_s)
            start_s = end_s
        return self._line.finish(start_s, max(bits, 0.0))

    def bits_between(self, start_s: float, end_s: float) -> float:
        """As the protocol says."""
        bits = 0.0
        for begin_s, over_s in self._outages:
            bits += self._line.bits_between(start_s, min(begin_s, end_s))
            start_s = max(start_s, min(over_s, end_s))
        return bits + self._line.bits_between(start_s, end_s)


def line_of(direction: Direction) -> Line:
    """The line that a direction describes."""
    line: Line = SteadyLine(direction.rate_bps) if direction.trace is None else TracedLine(direction.trace)
    return InterruptedLine(line, direction.outages) if direction.outages else line
