"""What a link was set to against what was measured of it, and how far the two may lie apart."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from suture_simulators.link_profile import UDP_PAYLOAD_SHARE, Direction, LinkProfile
from suture_simulators.patterns import correlation
from suture_simulators.probe import PROBE_LINE_BYTES

# What a link has to keep to pass for what it was set to.
RTT_TOLERANCE_S = 1.5e-3
GOODPUT_TOLERANCE = 0.03
CORRELATION_MIN = 0.98
# A binomial interval this wide is left by chance in one check of 500.
_SIGMAS = 3.1
# Fewer runs of lost packets than this say nothing about their mean length.
_BURSTS_MIN = 10
# With more packets than this skipping the delay, the median round trip is no longer that of the delay.
_REORDER_MAX = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One thing set and measured, in `unit`; `low` and `high` bound what is accepted (None: nothing to judge by)."""

    name: str
    unit: str
    set_value: float | None
    measured: float
    low: float | None
    high: float | None

    @property
    def within(self) -> bool:
        """Whether the measured value lies in the accepted interval."""
        return self.low is None or self.high is None or self.low <= self.measured <= self.high


def round_trip(profile: LinkProfile, trips_s: Sequence[float]) -> Quantity:
    """The median round trip on an idle link: both delays and the probe's own time on the line."""
    line_s = sum(PROBE_LINE_BYTES * 8 / rate for d in (profile.up, profile.down) if (rate := d.nominal_bps()))
    set_s = profile.rtt_s + line_s
    tolerance_s = RTT_TOLERANCE_S + profile.up.jitter_s + profile.down.jitter_s
    judged = max(profile.up.reorder, profile.down.reorder) <= _REORDER_MAX
    return Quantity(
        name="round trip",
        unit="s",
        set_value=set_s,
        measured=statistics.median(trips_s) if trips_s else math.inf,
        low=set_s - tolerance_s if judged else None,
        high=set_s + tolerance_s if judged else None,
    )


def goodput(name: str, direction: Direction, measured_bps: float, share: float, seconds: float) -> Quantity:
    """Payload rate of a steady line; `share` is the payload's share of the line's bytes."""
    rate_bps = direction.rate_bps
    set_bps = None if rate_bps is None else rate_bps * share * (1 - direction.mean_loss)
    tolerance = GOODPUT_TOLERANCE
    if rate_bps is not None and 0 < direction.mean_loss < 1:  # so many packets, and what chance does to so many
        tolerance += _spread(direction, int(rate_bps * seconds / 12_000)) / (1 - direction.mean_loss)
    return Quantity(
        name=name,
        unit="bit/s",
        set_value=set_bps,
        measured=measured_bps,
        low=None if set_bps is None else set_bps * (1 - tolerance),
        high=None if set_bps is None else set_bps * (1 + tolerance),
    )


def fates(way: str, direction: Direction, pattern: Mapping[str, Any]) -> list[Quantity]:
    """Loss, and where they are set, burst lengths and reordering, from one way's probes."""
    sent, arrived, bursts = pattern["sent"], pattern["arrived"], pattern["bursts"]
    found = [_share(f"loss {way}", direction.mean_loss, 1 - arrived / max(sent, 1), _spread(direction, sent))]
    if direction.burst_loss is not None:
        length = direction.mean_burst_packets
        known = len(bursts) >= _BURSTS_MIN and math.isfinite(length)
        spread = _SIGMAS * length / math.sqrt(max(len(bursts), 1))
        found.append(
            Quantity(
                name=f"packets lost in a row {way}",
                unit="packets",
                set_value=length if math.isfinite(length) else None,
                measured=statistics.fmean(bursts) if bursts else 0.0,
                low=max(length - spread, 1.0) if known else None,
                high=length + spread if known else None,
            )
        )
    if direction.reorder:
        spread = _SIGMAS * math.sqrt(direction.reorder * (1 - direction.reorder) / max(arrived, 1)) + 0.5 / arrived
        found.append(_share(f"reordered {way}", direction.reorder, pattern["early"] / max(arrived, 1), spread))
        overtaken = pattern["overtaken"]
        found.append(
            Quantity(
                name=f"packets overtaken {way}",
                unit="packets",
                set_value=None,
                measured=statistics.fmean(overtaken) if overtaken else 0.0,
                low=None,
                high=None,
            )
        )
    return found


def _share(name: str, set_value: float, measured: float, spread: float) -> Quantity:
    return Quantity(
        name=name, unit="", set_value=set_value, measured=measured, low=set_value - spread, high=set_value + spread
    )


def _spread(direction: Direction, packets: int) -> float:
    """How far the share lost among so many packets may be off by chance; half a packet more, as it is a count."""
    share = direction.mean_loss
    burst = direction.burst_loss
    variance = share * (1 - share) if burst is None else burst.variance_per_packet
    return (_SIGMAS * math.sqrt(max(packets, 1) * variance) + 0.5) / max(packets, 1)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """How a line that changes was followed, second by second.

    Attributes:
        set_bytes: What the line could carry in each second, in payload.
        measured_bytes: What arrived, one delay later.
    """

    way: str
    set_bytes: tuple[float, ...]
    measured_bytes: tuple[int, ...]

    def quantities(self) -> list[Quantity]:
        """The total, and the correlation of the seconds where the line changes enough to have one."""
        seconds = max(len(self.set_bytes), 1)
        set_bps, got_bps = (sum(values) * 8 / seconds for values in (self.set_bytes, self.measured_bytes))
        like = correlation(self.set_bytes, self.measured_bytes)
        total = Quantity(
            name=f"carried {self.way}",
            unit="bit/s",
            set_value=set_bps,
            measured=got_bps,
            low=set_bps * (1 - GOODPUT_TOLERANCE),
            high=set_bps * (1 + GOODPUT_TOLERANCE),
        )
        if like is None:
            return [total]
        name = f"second by second {self.way}"
        return [total, Quantity(name=name, unit="r", set_value=1.0, measured=like, low=CORRELATION_MIN, high=1.0)]


def followed(way: str, direction: Direction, window: Mapping[str, Any], from_s: float) -> Followed:
    """Compares a window's seconds with what the line was set to carry in them.

    Args:
        way: `up` or `down`.
        direction: Its profile, neither unlimited nor steady.
        window: What `suture_simulators.bulk` measured, from `from_s` plus the delay.
        from_s: When the window's first second left the line, in seconds since the profile came into force.
    """
    measured = window["bytes_per_s"]
    seconds = len(measured) - 1  # the last one is not whole
    share = UDP_PAYLOAD_SHARE * (1 - direction.mean_loss) / 8
    set_bytes = [(direction.mean_between(from_s + k, from_s + k + 1) or 0.0) * share for k in range(seconds)]
    return Followed(way=way, set_bytes=tuple(set_bytes), measured_bytes=tuple(measured[:seconds]))
