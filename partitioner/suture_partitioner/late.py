"""The 95th percentile of the time to a result, from how the link and the payload scatter.

Three things scatter, taken as independent: the rate, the payload's size and the round trip. The rate is taken as
log-normal, from its median and half its interquartile range; the payload's 95th percentile comes from the profile.
A transfer lasts payload ÷ rate, a product, so its two shares are added as squares in the logarithm, which is exact for
log-normal factors; the round trip, a normal one, is a summand and its deviation is added to the transfer's as squares
(JCGM 100:2008, section 5.1). What the profiles do not hold is not in it: the scatter of compute and of the queue.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from suture_partitioner.types import LinkEstimate

#: The percentile planned on, as a share: the highest one that profiles keep of the payloads.
QUANTILE: Final = 0.95
#: A normal distribution's 95th percentile over its 75th: what half an interquartile range is to be multiplied by.
_FROM_QUARTILE: Final = 1.6448536 / 0.6744898
#: Three samples that straddle a step spread more than their median; a spread is believed up to this share of the rate.
_MOST_SPREAD: Final = 0.5


def late_s(payload: tuple[Any, Any, Any], fixed_s: Any, queue_s: float, link: LinkEstimate) -> Any:
    """The 95th percentile of the time to the result, in seconds; numbers and arrays alike.

    Args:
        payload: Bits at the median, bits at the 95th percentile, and 1 where the link is used, else 0.
        fixed_s: Time of what does not depend on the link.
        queue_s: The cloud's queue.
        link: With its spread.
    """
    bits, late_bits, remote = payload
    air_s = bits / link.bandwidth_bps
    payload_log = np.log(np.maximum(late_bits, 1.0) / np.maximum(bits, 1.0))
    share = min(link.spread_bps / link.bandwidth_bps, _MOST_SPREAD)
    rate_log = _FROM_QUARTILE * math.asinh(share)
    air_more_s = air_s * np.expm1(np.hypot(np.maximum(payload_log, 0.0), rate_log))
    rtt_more_s = _FROM_QUARTILE * link.spread_s * remote
    return fixed_s + air_s + remote * (link.rtt_s + link.stall_s + queue_s) + np.hypot(air_more_s, rtt_more_s)
