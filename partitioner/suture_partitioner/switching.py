"""When a choice in force gives way: the gain against what a switch costs, as sure as the link is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from suture_partitioner.table import Weighed
from suture_partitioner.types import LinkEstimate

#: A choice in force gives way only to one that is better by this share: measured times scatter by about as much.
HYSTERESIS: Final = 0.05

#: So many requests at the present gain must pay for a switch: a study's images, not a day's.
HORIZON_REQUESTS: Final = 20

#: The rate may be off by so many times its spread (half the interquartile range): all of an even noise of ± 20 %.
_SPREADS: Final = 2.0
#: But by no more than this factor, or the samples that straddle a step would hold back the switch that it calls for.
_FACTOR_MAX: Final = 1.25


def outer_links(link: LinkEstimate) -> tuple[LinkEstimate, LinkEstimate]:
    """The worst and the best that `link` may well be, both with its spread in proportion."""
    off_bps, off_s = _SPREADS * link.spread_bps, _SPREADS * link.spread_s

    def at(bandwidth_bps: float, rtt_s: float) -> LinkEstimate:
        spread_bps = link.spread_bps * bandwidth_bps / link.bandwidth_bps
        return replace(
            link, bandwidth_bps=bandwidth_bps, rtt_s=rtt_s + link.stall_s, spread_bps=spread_bps, stall_s=0.0
        )

    worst = at(max(link.bandwidth_bps - off_bps, link.bandwidth_bps / _FACTOR_MAX), link.rtt_s + off_s)
    best = at(min(link.bandwidth_bps + off_bps, link.bandwidth_bps * _FACTOR_MAX), max(link.rtt_s - off_s, 0.0))
    return worst, best


def worth_switching(current: int, price: float, here: Weighed, worst: Weighed, best: Weighed) -> int | None:
    """The row to switch to from `current`; None where staying is better.

    It must be better by `HYSTERESIS`, pay its price within `HORIZON_REQUESTS`, be better over the worst and the best
    that the link may be too, and keep to the limits over the worst. So an estimate that swings about a crossover by
    less than the spread it carries never brings back a choice that was left.

    Args:
        current: The row of the choice in force; allowed `here`.
        price: Of a switch, in the objective's unit.
        here: All candidates over the link as estimated.
        worst: Over the worst that it may be.
        best: Over the best.
    """
    least = here.cost_A[current]
    target = min(least / (1 + HYSTERESIS), least - price / HORIZON_REQUESTS)
    better_A = (here.cost_A < target) & (worst.cost_A < worst.cost_A[current]) & (best.cost_A < best.cost_A[current])
    better_A &= here.allowed_A & worst.allowed_A
    if not better_A.any():
        return None
    return int(np.where(better_A, here.cost_A, np.inf).argmin())
