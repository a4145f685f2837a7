"""What a busy cloud costs: from the load that it reports to the seconds to plan with, so that a fleet of units settles.

A unit keeps one `CloudLoad`, hands it each report that it hears with `on_report`, and before each choice asks for
`queue_s(now_s)`, the wait to expect, and then for `others_s`, what it makes others wait; both go into `Planner.choose`,
which counts the second in what it makes small and in no time that it predicts. Where it has timed no tail itself
lately, `tail_ratio(now_s)` is what to multiply the cloud's profile by.

Two things go wrong where each unit simply plans with the last wait that it heard of:

- *They swing together.* All see the same empty queue, go there at once, see the same full queue, and leave at once.
  Best response to stale information oscillates however often it is repeated, and converges where each agent moves with
  a probability in proportion to what there is to gain (S. Fischer and B. Vöcking, Adaptive routing with stale
  information, PODC 2005; M. Mitzenmacher, How useful is old information?, IEEE TPDS 11(1), 2000). So a unit plans with
  a smoothed wait that it holds, and looks again at random times of its own: all units together about once in the time
  that a move takes to show, and as many times more often as requests' worth the wait has changed by.
- *They settle in the wrong place.* Units that each choose what is fastest for them join the queue until it is as slow
  as the unit alone, and all that the cloud could have saved is lost in waiting (A. C. Pigou, 1920; T. Roughgarden and
  É. Tardos, How bad is selfish routing?, JACM 49(2), 2002: with waits like 1 / (1 - load), arbitrarily bad). The remedy
  is as old: charge each request what it makes the others wait (marginal cost; M. Beckmann et al., 1956). A queue of
  exponential service with a mean of s, in which a request spends W = wait + s, has a marginal cost of W² / s; so the
  wait to choose by is W² / s - s = wait · (2 + wait / s), of which all beyond the wait itself is the others'.

Units that work without a pause queue little until the cloud is full, and then at once: where two just fill it, a third
hears of a short wait, joins, and only slows the others. So a unit that is not with the cloud reckons, beside the wait,
with the share of a request that it would find at work there; one that is there knows the wait from its own requests.

STAT pays only its own wait: it is to be done where it is done first.
"""

from __future__ import annotations

import math
import random
from typing import Final

from suture_protocol.events import Load

#: The wait is smoothed over about so long: eight pongs, or the results of a handful of images.
SMOOTHING_S: Final = 2.0
#: A report holds for so long; then it fades, since a unit that hears nothing can only find out by trying.
FRESH_S: Final = 3.0
FADING_S: Final = 10.0
#: What a unit's images add to the time that a move takes to show, at most; a rare image meets the wait of its own time.
_CYCLE_MAX_S: Final = 10.0
_CYCLE_WEIGHT: Final = 0.3
#: A unit whose last so many images came back from the cloud or are there still is with it.
_INSIDE_IMAGES: Final = 4


class CloudLoad:
    """One unit's view of how busy its cloud is. Not thread-safe; all times come in as arguments.

    Args:
        seed: Draws when this unit looks again; units need different ones. None takes the system's randomness.
        stat: Whether the unit's requests are STAT.
    """

    def __init__(self, *, seed: int | None = None, stat: bool = False) -> None:
        self._random = random.Random(seed)
        self._stat = stat
        self._load: Load | None = None
        self._wait_s = 0.0
        self._ratio = 1.0
        self._heard_s = 0.0
        self._held_s = 0.0
        self._busy = 0.0
        self._met_s = 0.0
        self._asked_s: float | None = None
        self._cycle_s = 0.0
        self._since_own = _INSIDE_IMAGES
        self._progress, self._due = 0.0, self._random.expovariate(1.0)

    def on_report(self, load: Load, now_s: float, *, waited_s: float | None = None) -> None:
        """Takes one report.

        Args:
            load: As it came with a result, or with a pong while this unit had no request there.
            now_s: When it came, on the caller's monotonic clock.
            waited_s: What the request that it came with had waited.
        """
        wait_s = load.stat_wait_s if self._stat else load.routine_wait_s
        if waited_s is not None:
            wait_s = (wait_s + waited_s) / 2
            self._since_own = 0
        weight = 1.0 if self._load is None else 1 - math.exp(-max(now_s - self._heard_s, 0.0) / SMOOTHING_S)
        self._wait_s += weight * (wait_s - self._wait_s)
        self._ratio += weight * (load.tail_ratio - self._ratio)
        self._load, self._heard_s = load, now_s

    def wait_s(self, now_s: float) -> float:
        """What a request is expected to wait; 0 where nothing was heard, or not for long."""
        return self._wait_s * self._freshness(now_s)

    def tail_ratio(self, now_s: float) -> float:
        """The cloud's measured tail times ÷ its profile's; 1 where that is not known."""
        return 1 + (self._ratio - 1) * self._freshness(now_s)

    def queue_s(self, now_s: float) -> float:
        """The wait to expect: held until this unit looks again, with what it would find at work.

        Ask once for each image: the pace of the questions is taken for the unit's own.
        """
        load = self._load
        if load is None:
            return 0.0
        wait_s = self.wait_s(now_s)
        self._advance(load, abs(wait_s - self._held_s), now_s)
        if load.units <= 1 or self._progress >= self._due:
            self._held_s = wait_s
            self._progress, self._due = 0.0, self._random.expovariate(1.0)
            self._busy = load.utilisation
        self._since_own += 1
        joins = not self._stat and load.units > 1 and self._since_own > _INSIDE_IMAGES
        self._met_s = self._held_s + (self._busy * load.service_s if joins else 0.0)
        return self._met_s

    @property
    def others_s(self) -> float:
        """What a request makes the others wait, beside the wait that `queue_s` last gave."""
        load = self._load
        if load is None or self._stat or load.service_s <= 0:
            return 0.0
        return self._met_s * (1 + self._met_s / load.service_s)

    def _advance(self, load: Load, changed_s: float, now_s: float) -> None:
        """Lets a Poisson clock run until the next look: its rate times the units is one per settling time and change
        of one request's worth."""
        if self._asked_s is not None:
            gap_s = max(now_s - self._asked_s, 0.0)
            own_s = min(gap_s, _CYCLE_MAX_S)
            self._cycle_s += (_CYCLE_WEIGHT if self._cycle_s else 1.0) * (own_s - self._cycle_s)
            requests = changed_s / load.service_s if load.service_s > 0 else 0.0
            looks = min(max(requests, 1.0), float(load.units)) / max(load.units, 1)
            self._progress += looks * gap_s / (SMOOTHING_S + self._cycle_s)
        self._asked_s = now_s

    def _freshness(self, now_s: float) -> float:
        stale_s = now_s - self._heard_s - FRESH_S
        return 1.0 if stale_s <= 0 else math.exp(-stale_s / FADING_S)
