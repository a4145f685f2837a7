"""The lower envelope of straight lines: which of many a + b·x is the smallest, found by bisection."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line(Generic[T]):
    """y = intercept + slope · x, on behalf of `item`. For a plan: seconds, bits, and x in seconds per bit."""

    intercept: float
    slope: float
    item: T


class Envelope(Generic[T]):
    """The lines that are lowest somewhere on x ≥ 0, in the order of x, and the places where they meet.

    Args:
        lines: At least one; slopes and intercepts finite. Of equal lines the first stays.

    Raises:
        ValueError: no lines.
    """

    def __init__(self, lines: Sequence[Line[T]]) -> None:
        if not lines:
            raise ValueError("an envelope takes at least one line")
        kept: list[Line[T]] = []
        meets: list[float] = []
        for line in sorted(lines, key=lambda candidate: (candidate.intercept, candidate.slope)):
            if kept and line.slope >= kept[-1].slope:
                continue  # starts higher and climbs no slower: above everywhere
            while meets and _meet(kept[-1], line) <= meets[-1]:
                kept.pop()
                meets.pop()
            if kept:
                meets.append(_meet(kept[-1], line))
            kept.append(line)
        self.lines: tuple[Line[T], ...] = tuple(kept)
        #: `meets[i]` is where line i + 1 takes over from line i; ascending, one fewer than the lines.
        self.meets: tuple[float, ...] = tuple(meets)

    def lowest(self, x: float) -> Line[T]:
        """The lowest line at `x` ≥ 0; where two meet, the one to the left."""
        return self.lines[bisect_left(self.meets, x)]


def _meet(left: Line[T], right: Line[T]) -> float:
    return (right.intercept - left.intercept) / (left.slope - right.slope)
