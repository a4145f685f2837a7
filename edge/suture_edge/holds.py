"""How long urgent requests may hold routine work back. Knows no lane, no thread and no clock of its own."""

from __future__ import annotations

import math
from typing import Final

#: Holds that follow each other end after this, or when the longest of them would have ended had it begun first. Well
#: below the keepalive of a connection (10 s): what is braked crawls, and the keepalive's ping behind it.
HOLDS_S: Final = 4.0
#: Holds follow each other where routine work went on for less than this in between, and it goes on for that long after
#: the last of them.
REST_S: Final = 0.3


class Holds:
    """Holds that may overlap. Times in seconds, all on one clock; not thread-safe.

    Attributes:
        until_s: When routine work goes on.
        brake_until_s: Until when what the transport has taken of it may be braked, too.
    """

    def __init__(self) -> None:
        self.until_s = self.brake_until_s = -math.inf
        self._under_way = 0
        self._first_s = self._last_s = -math.inf

    @property
    def under_way(self) -> bool:
        """Whether one was begun that is not over."""
        return self._under_way > 0

    def begin(self, now_s: float, for_s: float) -> None:
        """Holds for `for_s`, or as much of that as is left of the holds that this one follows."""
        if now_s >= self.until_s + REST_S:
            self._first_s = now_s
            self._last_s = now_s + HOLDS_S
        self._under_way += 1
        self._last_s = max(self._last_s, self._first_s + for_s)
        self.until_s = min(max(self.until_s, now_s + for_s), self._last_s)
        self.brake_until_s = min(self.until_s, self._first_s + HOLDS_S)

    def end(self, now_s: float) -> None:
        """One that was begun is over; with the last of them, all."""
        self._under_way -= 1
        if not self._under_way:
            self.until_s = min(self.until_s, now_s)
            self.brake_until_s = min(self.brake_until_s, now_s)


class Held:
    """For how long nothing routine was sent, all in all. As `Holds` else."""

    def __init__(self) -> None:
        self._from_s = self._until_s = 0.0
        self._before_s = 0.0

    def hold(self, now_s: float, until_s: float) -> None:
        """It is held until then, whatever was to be before."""
        self._before_s = self.total_s(now_s)
        self._from_s, self._until_s = now_s, until_s

    def total_s(self, now_s: float) -> float:
        """For how long it has been held by now."""
        return self._before_s + max(min(now_s, self._until_s) - self._from_s, 0.0)
