"""The link, estimated from the traffic itself: no clock of its own, no socket.

The main signal is the dispersion of a payload's chunks as the receiver saw them arrive: the bottleneck spaces them out,
whatever the delay is. The second is the upload's whole time, less the server's and the smallest round trip seen. A link
that carries nothing is known by probes, and by less the longer ago it was measured.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from suture_partitioner.changes import Rate, Scatter, counts_alone, of_now
from suture_partitioner.dispersion import MIN_SPACING_S, dispersion
from suture_partitioner.pacing import Pacing
from suture_partitioner.types import LinkEstimate

#: What is assumed before anything was sent: a middling mobile uplink. Any first request replaces it.
PRIOR: Final = LinkEstimate(bandwidth_bps=10e6, rtt_s=0.05)

#: Smaller payloads fit in TCP's first windows and measure the round trip, not the rate.
MIN_PAYLOAD_BYTES: Final = 20_000
#: Smaller ones still bound the rate, so that a plan that sends little sees a link fall and recover; below this size the
#: receiver's own delays are most of what is measured.
MIN_BOUND_BYTES: Final = 4_000
#: TCP sends so much without waiting for an acknowledgement (RFC 6928).
_FIRST_WINDOW_BYTES: Final = 10 * 1_400
#: What travels with the request's start and is not timed.
_SEGMENT_BYTES: Final = 1_400

#: Samples that the median is taken over while the link is steady; `changes` tells what a change leaves of them.
WINDOW: Final = 40
#: Samples older than this say little of a moving unit's link, while there are newer ones.
_MEMORY_S: Final = 20.0
#: The weight of the last measurements halves with every so many seconds without any; the rest is the prior's.
_STALE_S: Final = 120.0
#: Of normal noise: half the interquartile range is 0.674 standard deviations.
_SPREAD_OF_SIGMA: Final = 0.674
#: How wide a prior is: half the interquartile range ÷ the rate, of a link that is not known.
PRIOR_SPREAD: Final = 0.5

#: So many standard deviations of a transfer's time are no loss.
_USUAL_SIGMAS: Final = 2.0
#: Requests over which lost time is averaged: a slow link goes on being slow, an outage is over when it is over. And for
#: how long it is held against a link that is not used.
_SLOW_REQUESTS: Final = 8.0
_LOST_REQUESTS: Final = 32.0
_STALL_MEMORY_S: Final = 30.0

#: Chunks that waited in a busy receiver arrive together and look fast. The whole upload bounds that error: slow start
#: at most quarters a request's mean rate for the payloads considered here.
_MAX_ABOVE_MEAN: Final = 4.0

#: A ping that queued behind all of a payload comes back when that would have arrived; one that takes so much longer is
#: late. What is held up by less is not told from the jitter of wireless links.
_LATE_S: Final = 0.05

_MAX_BPS: Final = 1e11
#: Of so many round trips the second smallest counts: a ping may have queued behind a payload, one may be a stray.
_RTT_WINDOW: Final = 5
_RTT_WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Rtt:
    at_s: float
    rtt_s: float
    idle: bool


class LinkEstimator:
    """Bandwidth of the uplink and round-trip time of one path. Not thread-safe; all times come in as arguments.

    Args:
        prior: What `estimate` gives until the first sample; its `samples` should be 0.
    """

    def __init__(self, prior: LinkEstimate = PRIOR) -> None:
        self._prior = prior
        self._rates: deque[Rate] = deque(maxlen=WINDOW)
        self._rtts: deque[_Rtt] = deque(maxlen=64)
        self._settled = False
        self._lost = False
        self._samples = 0
        self._measured_at_s = prior.measured_at_s
        self._scatter = Scatter()
        self._pacing = Pacing()
        self._stalled_s = 0.0
        self._stalled_at_s = prior.measured_at_s

    def on_heartbeat(self, rtt_s: float, now_s: float, *, uploading: bool = False) -> None:
        """Takes one heartbeat's round trip.

        Args:
            rtt_s: From ping to pong.
            now_s: When the pong came, on the caller's monotonic clock.
            uploading: Whether a payload was on its way meanwhile. Such a ping may have queued behind it, so it only
                counts where there is no idle one.
        """
        if rtt_s > 0:
            self._rtts.append(_Rtt(now_s, rtt_s, not uploading))

    def on_upload(
        self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], round_trip_s: float, now_s: float
    ) -> None:
        """Takes one finished request.

        Args:
            payload_bytes: Size of the payload.
            arrivals: (bytes arrived so far, seconds since the request's start arrived), as the server reported.
            round_trip_s: From sending the request's start to its result, less the server's time after the last byte.
            now_s: When the result came, on the caller's monotonic clock.
        """
        ordered = sorted(arrivals, key=lambda arrival: arrival[1])
        if ordered and round_trip_s > ordered[-1][1]:
            # What is left is the way of the start plus the way of the result: a round trip that queued behind nothing.
            self._rtts.append(_Rtt(now_s, round_trip_s - ordered[-1][1], True))
        excess_s = round_trip_s - self._expected_s(payload_bytes)
        began, self._lost = self._lost, False
        if began and excess_s > 0:
            # The first request after an outage runs in TCP's slow start: it can show that the link is fast, not slow.
            self._measured_at_s = now_s
            return
        self._note_stall(payload_bytes, excess_s, now_s, _SLOW_REQUESTS)
        if payload_bytes < MIN_PAYLOAD_BYTES or round_trip_s <= 0:
            self._bound(payload_bytes, ordered, now_s)
            return
        mean_bps, rate_bps = self._rate(payload_bytes, ordered, round_trip_s)
        if self._pacing.sent(mean_bps if rate_bps is None else rate_bps):
            self._rates.clear()
        if not self._settled and self._samples:
            # The first request ran in TCP's slow start: it counted only for want of better.
            self._rates.clear()
        self._settled = rate_bps is not None or self._samples > 0
        self._add(mean_bps if rate_bps is None else rate_bps, now_s, least_bps=mean_bps)

    def on_queued_upload(self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], now_s: float) -> None:
        """Takes one finished request that was sent behind others: how long it took says nothing, its arrivals do.

        Its start was right ahead of its payload on a path that was full, so that even a single chunk is timed.
        """
        ordered = sorted(arrivals, key=lambda arrival: arrival[1])
        if not ordered or payload_bytes < MIN_BOUND_BYTES:
            return
        mean_bps = 8 * (payload_bytes - _SEGMENT_BYTES) / max(ordered[-1][1], MIN_SPACING_S)
        rate_bps = dispersion(ordered)
        self._settled = True
        self._add(mean_bps if rate_bps is None else min(rate_bps, _MAX_ABOVE_MEAN * mean_bps), now_s)

    def on_probe(self, padding_bytes: int, spacing_s: float, round_trip_s: float, now_s: float) -> None:
        """Takes one probe of an idle link.

        Args:
            padding_bytes: What was sent behind the first ping.
            spacing_s: From the first pong to the last: what the bottleneck needed for the padding.
            round_trip_s: From the first ping to the last pong.
            now_s: When the last pong came.
        """
        self._settled = True
        mean_bps = self._mean(padding_bytes, round_trip_s)
        rate_bps = 8 * padding_bytes / max(spacing_s, MIN_SPACING_S / 2)
        rate_bps = min(rate_bps, _MAX_ABOVE_MEAN * mean_bps)
        told = self._pacing.take(rate_bps, padding_bytes, self.estimate().rtt_s, now_s)
        if told == "try":
            self._rates.clear()
            mean_bps = rate_bps = max(self._pacing.better_bps(rate_bps), self._prior.bandwidth_bps)
        elif told == "trying":
            self._measured_at_s = now_s
            return
        self._add(rate_bps, now_s, least_bps=mean_bps)

    def on_unfinished(self, payload_bytes: int, waited_s: float, now_s: float, *, ping_s: float) -> None:
        """Takes a request that was given up, or failed with the path: at most all of it arrived in that time, where the
        path was slow or silent. Where pings came back all the while it was not, and the cloud was: that is no news.

        Args:
            payload_bytes: Size of the payload.
            waited_s: From sending its start until it was given up.
            now_s: When that was.
            ping_s: The longest that a pong took or was due for meanwhile.
        """
        if ping_s <= self._expected_s(payload_bytes) + _LATE_S:
            return
        self._note_stall(payload_bytes, max(waited_s - self._expected_s(payload_bytes), 0.0), now_s, _LOST_REQUESTS)
        self._pacing.forget()
        self._lost = True
        most_bps = 8 * payload_bytes / max(waited_s, MIN_SPACING_S)
        if most_bps < self.estimate().bandwidth_bps:
            self._add(most_bps, now_s)

    def estimate(self, now_s: float | None = None) -> LinkEstimate:
        """The link as the last requests, probes and heartbeats show it; the prior for what none has shown yet.

        Args:
            now_s: The time, by which measurements age towards the prior; None for as they were.
        """
        rtts = self._recent_rtts()
        known = self._prior
        if rtts:
            known = replace(known, rtt_s=sorted(rtts)[min(1, len(rtts) - 1)], spread_s=_half_iqr(rtts))
        if self._rates:
            rates = [rate.bps for rate in self._rates]
            if counts_alone(tuple(self._rates), self._scatter.cautious):
                rates = rates[-1:]
            bandwidth_bps = statistics.median(rates)
            # A few samples may agree by chance: the link's usual scatter is the least that there is.
            spread_bps = max(_half_iqr(rates), _SPREAD_OF_SIGMA * self._scatter.sigma * bandwidth_bps)
            known = replace(known, bandwidth_bps=bandwidth_bps, spread_bps=spread_bps)
        stall_s = self._stall_s(self._measured_at_s if now_s is None else now_s)
        known = replace(known, samples=self._samples, measured_at_s=self._measured_at_s, stall_s=stall_s)
        return known if now_s is None or not self._rates else self._aged(known, now_s - self._measured_at_s)

    def _aged(self, known: LinkEstimate, age_s: float) -> LinkEstimate:
        """Between what was measured and the prior, on a scale of factors, by age."""
        fresh = 0.5 ** (max(age_s, 0.0) / _STALE_S)
        if fresh > 0.99:
            return known
        bandwidth_bps = math.exp(
            fresh * math.log(known.bandwidth_bps) + (1 - fresh) * math.log(self._prior.bandwidth_bps)
        )
        share = fresh * known.spread_bps / known.bandwidth_bps + (1 - fresh) * PRIOR_SPREAD
        return replace(known, bandwidth_bps=bandwidth_bps, spread_bps=share * bandwidth_bps)

    def _add(self, bps: float, now_s: float, least_bps: float = 0.0) -> None:
        bps = min(bps, _MAX_BPS)
        if self._rates:
            self._scatter.add(bps, statistics.median(rate.bps for rate in self._rates))
        self._rates.append(Rate(now_s, bps, least_bps))
        while len(self._rates) > 2 and now_s - self._rates[0].at_s > _MEMORY_S:
            self._rates.popleft()
        for _ in range(len(self._rates) - of_now(tuple(self._rates), self._scatter.cautious)):
            self._rates.popleft()
        self._samples += 1
        self._measured_at_s = now_s

    def _expected_s(self, payload_bytes: int) -> float:
        link = self.estimate()
        return link.rtt_s + 8 * payload_bytes / link.bandwidth_bps

    def _note_stall(self, payload_bytes: int, excess_s: float, now_s: float, requests: float) -> None:
        """A request took so much longer than was to be expected, or less; what the link scatters by is no stall."""
        if not self._rates:
            return
        usual_s = _USUAL_SIGMAS * self._scatter.sigma * 8 * payload_bytes / self.estimate().bandwidth_bps
        excess_s = math.copysign(max(abs(excess_s) - usual_s, 0.0), excess_s)
        held_s = self._stall_s(now_s, least=-math.inf)
        self._stalled_s = held_s + (excess_s - held_s) / requests
        self._stalled_at_s = now_s

    def _stall_s(self, now_s: float, least: float = 0.0) -> float:
        age_s = max(now_s - self._stalled_at_s, 0.0)
        return max(self._stalled_s * math.exp2(-age_s / _STALL_MEMORY_S), least)

    def _rate(
        self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], round_trip_s: float
    ) -> tuple[float, float | None]:
        """The request's mean rate in bit/s, and the rate that the dispersion of its chunks gives, if it gives one."""
        mean_bps = self._mean(payload_bytes, round_trip_s, arrivals[-1][1] if arrivals else 0.0)
        dispersion_bps = dispersion(arrivals)
        return mean_bps, None if dispersion_bps is None else min(dispersion_bps, _MAX_ABOVE_MEAN * mean_bps)

    def _mean(self, size_bytes: int, round_trip_s: float, arrived_s: float = 0.0) -> float:
        smallest_rtt_s = min((r.rtt_s for r in self._rtts), default=0.0)
        # Less than a tenth of the time left means that the round trip is most of it and the difference is noise; then
        # the receiver's own clock tells, where it says so.
        least_s = max(arrived_s, MIN_SPACING_S) if arrived_s else round_trip_s / 10
        return 8 * size_bytes / max(round_trip_s - smallest_rtt_s, least_s)

    def _bound(self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], now_s: float) -> None:
        """Takes a small payload for the bounds that it sets: slow start may have cost it one round trip, or none."""
        if not arrivals or not self._rates or payload_bytes < MIN_BOUND_BYTES:
            return
        took_s = arrivals[-1][1]
        waited_s = min(self._recent_rtts(), default=0.0) if payload_bytes > _FIRST_WINDOW_BYTES else 0.0
        low_bps = 8 * (payload_bytes - _SEGMENT_BYTES) / max(took_s, MIN_SPACING_S)
        high_bps = 8 * payload_bytes / max(took_s - waited_s, MIN_SPACING_S)
        known_bps = self.estimate().bandwidth_bps
        if not low_bps <= known_bps <= high_bps:
            self._add(min(max(known_bps, low_bps), high_bps), now_s)
        else:
            self._measured_at_s = now_s

    def _recent_rtts(self) -> list[float]:
        if not self._rtts:
            return []
        newest_s = self._rtts[-1].at_s
        recent = [r for r in self._rtts if newest_s - r.at_s <= _RTT_WINDOW_S]
        idle = [r.rtt_s for r in recent if r.idle][-_RTT_WINDOW:]
        return idle or [min(r.rtt_s for r in recent)]


def _half_iqr(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, method="inclusive")
    return (high - low) / 2
