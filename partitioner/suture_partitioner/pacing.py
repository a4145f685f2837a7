"""Probes that their sender held back, so that only trying tells what the link carries.

BBR paces a connection that sends little at 2.885 times what it saw arrive in a round trip (N. Cardwell et al., BBR:
congestion-based congestion control, CACM 60(2), 2017: the gain of its start-up), and that is the padding of a probe:
7 Mbit/s for 12 KB over 40 ms, on whatever link. Loss-based congestion controls send a first window at once.
"""

from __future__ import annotations

import math
from typing import Final, Literal

BBR_GAIN: Final = 2.885
#: A probe that reads more than this share of the pace may have been held back; one below the other was not.
_NEAR: Final = 0.6
_FAR: Final = 0.3
#: One such probe alone may be noise.
_IN_A_ROW: Final = 2
#: A rate that was tried and did not hold is not tried again for so long, unless the link was slow meanwhile.
_AGAIN_S: Final = 600.0
#: No more than so many times what a probe read is tried.
_TRIED_MAX: Final = 4.0
#: A request so many times as fast shows what probes miss.
_BEYOND: Final = 1.5
_LEAST_RTT_S: Final = 0.002


Told = Literal["take", "try", "trying"]


class Pacing:
    """Whether a better rate is to be tried. Not thread-safe; all times come in as arguments."""

    def __init__(self) -> None:
        self._tried_s = -math.inf
        self._trying = False
        self._fast = 0
        self._pace_bps = math.inf
        self._carried_bps = 0.0

    def take(self, rate_bps: float, padding_bytes: int, rtt_s: float, now_s: float) -> Told:
        """Takes a probe's reading.

        Returns:
            `try` where pacing may have held it back, as those before, and what lies beyond was not tried lately: plan
            with a better rate until a request was sent at it. `trying` while none was and readings are no news. `take`
            where the reading says what the link carries.
        """
        self._pace_bps = pace_bps = BBR_GAIN * 8 * padding_bytes / max(rtt_s, _LEAST_RTT_S)
        held_back = rate_bps > _NEAR * pace_bps
        self._fast = self._fast + 1 if held_back else 0
        if rate_bps < _FAR * pace_bps:
            self.forget()
        if self._trying and held_back:
            return "trying"
        self._trying = self._fast >= _IN_A_ROW and now_s - self._tried_s >= _AGAIN_S
        if self._trying:
            self._tried_s = now_s
        return "try" if self._trying else "take"

    def sent(self, rate_bps: float) -> bool:
        """A request was sent that measured the link; whether it ended a trial.

        Where it was faster than probes can tell, what they are held back by is worth trying again.
        """
        if rate_bps > _BEYOND * self._pace_bps:
            self._tried_s = -math.inf
            self._carried_bps = rate_bps
        was, self._trying = self._trying, False
        return was

    def better_bps(self, rate_bps: float) -> float:
        """What to try where a probe read `rate_bps`: what requests carried before, but no more than one can lose little
        by."""
        return max(min(self._carried_bps, _TRIED_MAX * rate_bps), rate_bps)

    def forget(self) -> None:
        """The link was slow or away: what was tried before says nothing of it now."""
        self._tried_s = -math.inf
        self._trying = False
