"""What became of a series of probes on one way: which were lost in a row, which came early, whom they overtook."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PathPattern:
    """Counts over one series.

    Attributes:
        sent, arrived: Probes.
        bursts: Lengths of the runs of probes lost in a row.
        early: Probes that took less than half the delay, as those that netem reorders do.
        overtaken: For each early one, how many that had been sent before it arrived after it.
    """

    sent: int
    arrived: int
    bursts: tuple[int, ...]
    early: int
    overtaken: tuple[int, ...]

    @property
    def loss(self) -> float:
        """Share that did not arrive."""
        return 1 - self.arrived / self.sent if self.sent else 1.0


def path_pattern(sent_s: Mapping[int, float], arrived_s: Mapping[int, float], delay_s: float) -> PathPattern:
    """Compares when probes were sent with when they arrived, by number; one clock for both.

    Args:
        sent_s: When each probe was sent.
        arrived_s: When each probe that arrived did.
        delay_s: The delay set; 0 knows no early ones.
    """
    order = sorted(sent_s, key=lambda number: sent_s[number])
    lost = [number not in arrived_s for number in order]
    early = [
        at
        for at, number in enumerate(order)
        if number in arrived_s and arrived_s[number] - sent_s[number] < delay_s / 2
    ]
    return PathPattern(
        sent=len(order),
        arrived=len(order) - sum(lost),
        bursts=tuple(len(list(run)) for is_lost, run in groupby(lost) if is_lost),
        early=len(early),
        overtaken=tuple(_overtaken(order, at, sent_s, arrived_s, delay_s) for at in early),
    )


def _overtaken(
    order: Sequence[int], at: int, sent_s: Mapping[int, float], arrived_s: Mapping[int, float], delay_s: float
) -> int:
    mine_s = arrived_s[order[at]]
    count = 0
    for number in reversed(order[:at]):
        if sent_s[number] < mine_s - 3 * delay_s:
            break
        count += arrived_s.get(number, -math.inf) > mine_s
    return count


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None where either hardly varies (less than 2 % of its mean), which says nothing then."""
    for values in (one, other):
        if len(values) < 3 or statistics.pstdev(values) <= 0.02 * abs(statistics.fmean(values)):
            return None
    return statistics.correlation(one, other)
