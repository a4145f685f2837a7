"""A log-log frame for drawings of plans: places in it, its grid and the words on its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from suture.demo import svg


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A frame from `low` (x, y) to `high` (x, y), all above zero."""

    low: tuple[float, float]
    high: tuple[float, float]
    left: float
    top: float
    width: float = 960.0
    height: float = 400.0

    @property
    def bottom(self) -> float:
        """Of the frame, in the drawing's units, which grow downwards."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """The place of a value along the frame."""
        return self.left + self.width * math.log(value / self.low[0]) / math.log(self.high[0] / self.low[0])

    def y(self, value: float) -> float:
        """The place of a value up the frame."""
        return self.top + self.height * math.log(self.high[1] / value) / math.log(self.high[1] / self.low[1])

    def axes(self, along: str, up: Callable[[float], str], right: Callable[[float], str]) -> Iterator[str]:
        """Grid and words.

        Args:
            along: What runs along.
            up: A value up the frame in words.
            right: A value along it in words.
        """
        for value in ticks(self.low[0], self.high[0]):
            yield svg.line(self.x(value), self.top, self.x(value), self.bottom)
            yield svg.text(self.x(value), self.bottom + 17, right(value), anchor="middle", colour=svg.MUTED)
        for value in ticks(self.low[1], self.high[1]):
            yield svg.line(self.left, self.y(value), self.left + self.width, self.y(value))
            yield svg.text(self.left - 8, self.y(value) + 4, up(value), anchor="end", colour=svg.MUTED)
        yield svg.text(self.left + self.width / 2, self.bottom + 36, along, anchor="middle", colour=svg.MUTED)


def ticks(low: float, high: float) -> Iterator[float]:
    """Round values within [low, high], so many that they can be read; the more the fewer decades there are."""
    span = high / low
    steps = ("1", "1.5", "2", "3", "4", "5", "7") if span < 12 else ("1", "2", "5") if span < 2e5 else ("1",)
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            value = float(f"{step}e{power}")
            if low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
                yield value
