"""When samples of a link's rate are news, and when they are what the link scatters by anyway.

Neighbours may agree because they met the same whim of the link: two requests half a second apart. So two samples show a
change only where it is large; a smaller one has to last.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Two samples in a row so far beyond the median, on the same side, are a change: those before are dropped.
STEP: Final = 2.0
#: So are some that are less far beyond it, once they last for so long.
CHANGE: Final = 1.35
_LASTING_S: Final = 2.5
#: The last sample counts alone while it is so far below the median: to plan one request too carefully costs little, a
#: slow upload a lot. If it was a stray, the next one says so.
COLLAPSE: Final = 2.5
#: So does one whose mean rate alone, slow start and all, is so far above the median: the link did carry that much.
SURGE: Final = 2.0
#: Each takes as many standard deviations of the samples' usual scatter, too.
_STEP_SIGMAS: Final = 5.0
_CHANGE_SIGMAS: Final = 2.0
_FAR_SIGMAS: Final = 7.0
#: Scatter is averaged over so many samples, and none counts for more than this factor: a step is no noise.
_SAMPLES: Final = 16.0
_FACTOR_MAX: Final = math.log(1.6)
#: Of normal noise: the mean of |deviation from the median| is 0.798 standard deviations.
_SIGMA_OF_DEVIATION: Final = 1 / 0.798
#: What a link scatters by before its samples show it: wireless ones do.
_SIGMA_AT_FIRST: Final = 0.15


@dataclass(frozen=True, slots=True)
class Rate:
    """A sample: when, the rate in bit/s, and what the link carried at least, slow start and all."""

    at_s: float
    bps: float
    least_bps: float = 0.0


class Scatter:
    """The standard deviation of the samples' logarithms, as their distance from the median of their time shows it."""

    def __init__(self) -> None:
        self._deviation = 0.0
        self._unknown = 1.0

    @property
    def sigma(self) -> float:
        """0.2 on a link whose samples scatter by 20 %."""
        return _SIGMA_OF_DEVIATION * self._deviation

    @property
    def cautious(self) -> float:
        """The same, with what is to be expected in place of what was not seen yet."""
        return self.sigma + self._unknown * _SIGMA_AT_FIRST

    def add(self, bps: float, median_bps: float) -> None:
        """Takes a sample with the median of those before."""
        apart = min(abs(math.log(bps / median_bps)), _FACTOR_MAX)
        self._deviation += (apart - self._deviation) / _SAMPLES
        self._unknown *= 1 - 1 / _SAMPLES


def of_now(rates: Sequence[Rate], sigma: float) -> int:
    """How many of the last samples are of the link as it is now."""
    if len(rates) < 3:
        return len(rates)
    if _beyond(rates[-2:], _median(rates[:-2]), max(STEP, math.exp(_STEP_SIGMAS * sigma))):
        return 2
    median, factor = _median(rates), max(CHANGE, math.exp(_CHANGE_SIGMAS * sigma))
    run = 0
    while run < len(rates) and _beyond(rates[len(rates) - run - 1 :], median, factor):
        run += 1
    lasting = run > 2 and rates[-1].at_s - rates[len(rates) - run].at_s >= _LASTING_S
    return run if lasting else len(rates)


def counts_alone(rates: Sequence[Rate], sigma: float) -> bool:
    """Whether the last sample makes those before it old news."""
    if len(rates) < 2:
        return False
    before = _median(rates[:-1])
    chance = math.exp(_FAR_SIGMAS * sigma)
    return rates[-1].bps < before / max(COLLAPSE, chance) or rates[-1].least_bps > before * max(SURGE, chance)


def _median(rates: Sequence[Rate]) -> float:
    return statistics.median(rate.bps for rate in rates)


def _beyond(rates: Sequence[Rate], median_bps: float, factor: float) -> bool:
    """Whether all are beyond the factor, on the same side."""
    found = [rate.bps for rate in rates]
    return min(found) > median_bps * factor or max(found) < median_bps / factor
