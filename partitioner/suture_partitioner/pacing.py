"""Probes that their sender held back, so that only trying tells what the link carries.

BBR paces a connection that sends little at 2.885 times what it saw arrive in a round trip (N. Cardwell et al., BBR:
congestion-based congestion control, CACM 60(2), 2017: the gain of its start-up), and that is the padding of a probe:
7 Mbit/s for 12 KB over 40 ms, on whatever link. Loss-based congestion controls send a first window at once.
"""

from __future__ import annotations

import math
from typing import Final

_GAIN: Final = 2.885
#: A probe that reads more than this share of the pace may have been held back; one below the other was not.
_NEAR: Final = 0.6
_FAR: Final = 0.3
#: One such probe may be noise.
_IN_A_ROW: Final = 2
#: A rate that was tried and did not hold is not tried again for so long, unless the link was slow meanwhile.
_AGAIN_S: Final = 600.0
_LEAST_RTT_S: Final = 0.002


class Pacing:
    """Whether a better rate is to be tried. Not thread-safe; all times come in as arguments."""

    def __init__(self) -> None:
        self._tried_s = -math.inf
        self._fast = 0

    def to_try(self, rate_bps: float, padding_bytes: int, rtt_s: float, now_s: float) -> bool:
        """Takes a probe's reading.

        Returns:
            True where pacing may have held it back, as the one before, and what lies beyond was not tried lately.
        """
        pace_bps = _GAIN * 8 * padding_bytes / max(rtt_s, _LEAST_RTT_S)
        self._fast = self._fast + 1 if rate_bps > _NEAR * pace_bps else 0
        if rate_bps < _FAR * pace_bps:
            self.forget()
        if self._fast < _IN_A_ROW or now_s - self._tried_s < _AGAIN_S:
            return False
        self._tried_s = now_s
        return True

    def forget(self) -> None:
        """The link was slow or away: what was tried before says nothing of it now."""
        self._tried_s = -math.inf
