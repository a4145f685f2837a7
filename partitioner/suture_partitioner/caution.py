"""Which quantile of an uncertain link is planned with."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from suture_partitioner.types import LinkEstimate, Steps

#: An uncertain link is planned on its lower quartile, but on no less than half its median: in the one request after a
#: step down, three samples straddle the step and their spread exceeds the new rate itself.
_LEAST_SHARE: Final = 0.5


def cautious(link: LinkEstimate) -> LinkEstimate:
    """The link that is planned with: the estimate's lower quartile of bandwidth and upper quartile of round trip,
    which the mean loss to stalls adds to: it falls on every choice that uses the link, and on no other.

    Raises:
        ValueError: a bandwidth that is not above zero, or a negative round trip.
    """
    if not link.bandwidth_bps > 0 or link.rtt_s < 0:
        raise ValueError(f"a link has a bandwidth above zero and a round trip, not {link}")
    bandwidth_bps = max(link.bandwidth_bps - link.spread_bps, link.bandwidth_bps * _LEAST_SHARE)
    return replace(link, bandwidth_bps=bandwidth_bps, rtt_s=link.rtt_s + link.spread_s + link.stall_s)


#: An answer that takes so much longer than was predicted, on a link that was predicted with care, is late enough to
#: begin finishing alone: of a steady link's, hardly one in a hundred is.
_PATIENCE: Final = 1.5
_PATIENCE_S: Final = 0.05


def patience_s(steps: Steps, stall_s: float) -> float:
    """How long to wait for the cloud's answer, from sending, before finishing alone is begun beside it.

    Args:
        steps: As planned.
        stall_s: The mean loss to stalls that the plan counted with, which this one need not meet.
    """
    return _PATIENCE * (steps.transfer_s - stall_s + steps.queue_s + steps.decode_s + steps.tail_s) + _PATIENCE_S
