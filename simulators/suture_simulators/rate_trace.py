"""A recorded rate: steps over time, again and again."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RateTrace:
    """A recorded rate: steps that hold until the next one; after `period_s` it starts again.

    Attributes:
        name: File or origin, for reports.
        steps: (time from the start in seconds, rate in bit/s), times ascending from 0. A rate of 0 is an outage.
        period_s: Length of the recording, the last step included.
        read_as: Which columns it was read from and in which units, for reports; empty where it was not read.
    """

    name: str
    steps: tuple[tuple[float, float], ...]
    period_s: float
    read_as: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"trace {self.name}: it has no steps")
        if self.steps[0][0] != 0.0:
            raise ValueError(f"trace {self.name}: it starts at {self.steps[0][0]:g} s; the first step has to be at 0 s")
        for (before_s, _), (after_s, _) in pairwise(self.steps):
            if not after_s > before_s:
                raise ValueError(f"trace {self.name}: time goes from {before_s:g} s to {after_s:g} s; it has to ascend")
        for at_s, rate_bps in self.steps:
            if not math.isfinite(rate_bps) or rate_bps < 0:
                raise ValueError(f"trace {self.name}: rate {rate_bps:g} bit/s at {at_s:g} s; rates are 0 or more")
        if not self.period_s > self.steps[-1][0]:
            raise ValueError(f"trace {self.name}: it ends at {self.period_s:g} s, before its last step does")
        if self.mean_bps() <= 0:
            raise ValueError(f"trace {self.name}: the rate is 0 throughout; nothing would ever arrive")

    def mean_bps(self) -> float:
        """Mean rate over one period in bit/s."""
        ends = [at_s for at_s, _ in self.steps[1:]] + [self.period_s]
        bits = sum(rate * (end - at_s) for (at_s, rate), end in zip(self.steps, ends, strict=True))
        return bits / self.period_s

    def mean_between(self, from_s: float, to_s: float) -> float:
        """Mean rate in bit/s between two times since the start, over as many periods as they span."""
        return (self._bits_until(to_s) - self._bits_until(from_s)) / (to_s - from_s)

    def _bits_until(self, time_s: float) -> float:
        laps, within_s = divmod(time_s, self.period_s)
        ends = [at_s for at_s, _ in self.steps[1:]] + [self.period_s]
        part = sum(
            rate * (min(end, within_s) - at_s)
            for (at_s, rate), end in zip(self.steps, ends, strict=True)
            if at_s < within_s
        )
        return laps * self.mean_bps() * self.period_s + part

    def starting_at(self, from_s: float) -> RateTrace:
        """The same trace begun `from_s` seconds in; what was before comes last."""
        turn_s = from_s % self.period_s
        if turn_s == 0:
            return self
        later = [(at_s - turn_s, rate) for at_s, rate in self.steps if at_s > turn_s]
        running_bps = [rate for at_s, rate in self.steps if at_s <= turn_s][-1]
        earlier = [(at_s + self.period_s - turn_s, rate) for at_s, rate in self.steps if at_s < turn_s]
        return dataclasses.replace(self, steps=((0.0, running_bps), *later, *earlier))
