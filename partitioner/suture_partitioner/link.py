"""The link, estimated from the traffic itself: no probe packets, no clock of its own, no socket.

The main signal is the dispersion of a payload's chunks as the receiver saw them arrive: the bottleneck spaces them out,
whatever the delay is. The second is the upload's whole time, less the server's and the smallest round trip seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

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

#: Samples the median is taken over: three follow a step after two requests and still drop one stray.
WINDOW: Final = 3

#: Chunks that arrive closer together than this were read from one buffer; their spacing says nothing.
_MIN_SPACING_S: Final = 0.002

#: Chunks that waited in a busy receiver arrive together and look fast. The whole upload bounds that error: slow start
#: at most quarters a request's mean rate for the payloads considered here.
_MAX_ABOVE_MEAN: Final = 4.0

_MAX_BPS: Final = 1e11
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
        self._rates_bps: deque[float] = deque(maxlen=WINDOW)
        self._rtts: deque[_Rtt] = deque(maxlen=64)
        self._settled = False
        self._samples = 0
        self._measured_at_s = prior.measured_at_s

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
        if payload_bytes < MIN_PAYLOAD_BYTES or round_trip_s <= 0:
            self._bound(payload_bytes, ordered, now_s)
            return
        rate_bps, dispersed = self._rate(payload_bytes, ordered, round_trip_s)
        if not self._settled and self._samples:
            # The first request ran in TCP's slow start: it counted only for want of better.
            self._rates_bps.clear()
        self._settled = dispersed or self._samples > 0
        self._rates_bps.append(min(rate_bps, _MAX_BPS))
        self._samples += 1
        self._measured_at_s = now_s

    def estimate(self) -> LinkEstimate:
        """The link as the last requests and heartbeats show it; the prior for what none has shown yet."""
        rtts = self._recent_rtts()
        known = self._prior
        if rtts:
            known = replace(known, rtt_s=float(np.median(rtts)), spread_s=_half_iqr(rtts))
        if self._rates_bps:
            rates = list(self._rates_bps)
            known = replace(known, bandwidth_bps=float(np.median(rates)), spread_bps=_half_iqr(rates))
        return replace(known, samples=self._samples, measured_at_s=self._measured_at_s)

    def _rate(
        self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], round_trip_s: float
    ) -> tuple[float, bool]:
        """The request's rate in bit/s, and whether the dispersion of its chunks gave it."""
        smallest_rtt_s = min((r.rtt_s for r in self._rtts), default=0.0)
        # Less than a tenth of the time left means that the round trip is most of it and the difference is noise.
        transfer_s = max(round_trip_s - smallest_rtt_s, round_trip_s / 10)
        mean_bps = 8 * payload_bytes / transfer_s
        dispersion_bps = dispersion(arrivals)
        if dispersion_bps is None:
            return mean_bps, False
        return min(dispersion_bps, _MAX_ABOVE_MEAN * mean_bps), True

    def _bound(self, payload_bytes: int, arrivals: Sequence[tuple[int, float]], now_s: float) -> None:
        """Takes a small payload for the bounds that it sets: slow start may have cost it one round trip, or none."""
        if not arrivals or not self._rates_bps or payload_bytes < MIN_BOUND_BYTES:
            return
        took_s = arrivals[-1][1]
        waited_s = min(self._recent_rtts(), default=0.0) if payload_bytes > _FIRST_WINDOW_BYTES else 0.0
        low_bps = 8 * (payload_bytes - _SEGMENT_BYTES) / max(took_s, _MIN_SPACING_S)
        high_bps = 8 * payload_bytes / max(took_s - waited_s, _MIN_SPACING_S)
        known_bps = float(np.median(self._rates_bps))
        if not low_bps <= known_bps <= high_bps:
            self._rates_bps.append(min(max(known_bps, low_bps), high_bps))
            self._samples += 1
            self._measured_at_s = now_s

    def _recent_rtts(self) -> list[float]:
        if not self._rtts:
            return []
        newest_s = self._rtts[-1].at_s
        recent = [r for r in self._rtts if newest_s - r.at_s <= _RTT_WINDOW_S]
        idle = [r.rtt_s for r in recent if r.idle][-WINDOW:]
        return idle or [min(r.rtt_s for r in recent)]


def dispersion(arrivals: Sequence[tuple[int, float]]) -> float | None:
    """Rate in bit/s at which the bottleneck spaced the chunks: the median over bytes of the rates between arrivals.

    The median passes over the pauses of slow start, in which the sender waits and the bottleneck idles.

    Args:
        arrivals: (bytes arrived so far, time in seconds), in the order of time.

    Returns:
        None where fewer than three chunks arrived at times that can be told apart.
    """
    spans: list[tuple[float, int]] = []
    if not arrivals:
        return None
    start_bytes, start_s = arrivals[0]
    for end_bytes, end_s in arrivals[1:]:
        if end_s - start_s >= _MIN_SPACING_S and end_bytes > start_bytes:
            spans.append((8 * (end_bytes - start_bytes) / (end_s - start_s), end_bytes - start_bytes))
            start_bytes, start_s = end_bytes, end_s
    if len(spans) < 2:
        return None
    spans.sort()
    half = sum(size for _, size in spans) / 2
    passed = 0
    for rate_bps, size in spans:
        passed += size
        if passed >= half:
            return rate_bps
    return spans[-1][0]


def _half_iqr(values: Sequence[float]) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low) / 2
