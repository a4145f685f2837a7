"""How long a run still takes, and how its progress is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: Told (points done, points in all, seconds left or None where that is not known yet, what it does now).
Progress = Callable[[int, int, float | None, str], None]


class Clock:
    """How long a run still takes: estimates by point, corrected by what the points so far took."""

    def __init__(self, estimates_s: Mapping[str, float]) -> None:
        """Takes the estimate of each point still to come, by key."""
        self._left_s = dict(estimates_s)
        self._estimated_s = self._took_s = 0.0

    @property
    def total_s(self) -> float:
        """What is left, the points so far being a guide to how wrong the estimates are."""
        correction = self._took_s / self._estimated_s if self._estimated_s else 1.0
        return sum(self._left_s.values()) * min(max(correction, 0.3), 5.0)

    def done(self, key: str, took_s: float) -> None:
        """A point took that long."""
        self._estimated_s += self._left_s.pop(key, 0.0)
        self._took_s += took_s


def duration(seconds: float) -> str:
    """For people: seconds up to a minute and a half, then minutes."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
