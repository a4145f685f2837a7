"""What a link is set to, each way: rate or trace, delay, jitter, loss, order, queue and outages; not how."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Any

from suture_simulators.rate_trace import RateTrace

# An Ethernet header. A TCP segment of 1448 bytes rides in 1500 + 14 bytes, so goodput is 95.6 % of the line rate.
FRAMING_BYTES = 14
MTU_BYTES = 1500
TCP_PAYLOAD_SHARE = (MTU_BYTES - 20 - 32) / (MTU_BYTES + FRAMING_BYTES)
UDP_PAYLOAD_SHARE = (MTU_BYTES - 20 - 8) / (MTU_BYTES + FRAMING_BYTES)

# The default queue: what the line sends in one round trip, but never less than 100 ms of it nor 32 full packets. Small
# enough that a slow link's queue does not hide its delay for seconds, large enough that one TCP flow fills the line.
_QUEUE_MIN_S = 0.1
_QUEUE_MIN_BYTES = 32 * (MTU_BYTES + FRAMING_BYTES)
_UNLIMITED_QUEUE_BYTES = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BurstLoss:
    """Loss in bursts, after Gilbert and Elliott: two states, changed at random after each packet.

    Named and meant as in netem's `loss gemodel p r 1-h 1-k`.

    Attributes:
        p: Probability to go from the good state to the bad one.
        r: Probability to come back.
        loss_bad: Probability that a packet is lost in the bad state (netem's 1-h).
        loss_good: The same in the good state (netem's 1-k).
    """

    p: float
    r: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def __post_init__(self) -> None:
        for name in ("p", "r", "loss_bad", "loss_good"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"burst loss: {name} of {value * 100:g} %; it lies between 0 % and 100 %")
        if self.p == 0 or self.r == 0:
            raise ValueError("burst loss: p and r are more than 0 %, or one of the two states is never left")

    @property
    def bad_share(self) -> float:
        """Share of packets that meet the bad state."""
        return self.p / (self.p + self.r)

    @property
    def mean_loss(self) -> float:
        """Share of packets lost in the long run."""
        return self.bad_share * self.loss_bad + (1 - self.bad_share) * self.loss_good

    @property
    def mean_burst_packets(self) -> float:
        """Mean number of packets lost in a row; 1/r where all are lost in the bad state and none in the good one."""
        bad, good = self.bad_share * self.loss_bad, (1 - self.bad_share) * self.loss_good
        both = bad * ((1 - self.r) * self.loss_bad + self.r * self.loss_good)
        both += good * (self.p * self.loss_bad + (1 - self.p) * self.loss_good)
        alone = self.mean_loss - both
        return self.mean_loss / alone if alone > 0 else math.inf

    @property
    def variance_per_packet(self) -> float:
        """Variance of the number lost among n packets, over n, for large n: the binomial's and what bursts add."""
        lasting = 1 - self.p - self.r
        swing = self.bad_share * (1 - self.bad_share) * (self.loss_bad - self.loss_good) ** 2
        return self.mean_loss * (1 - self.mean_loss) + 2 * swing * lasting / (1 - lasting)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Direction:
    """One way of a link. The defaults are a line that does nothing.

    A packet waits in the queue (or is dropped when the queue is full), takes its size over the rate to leave, may be
    lost on its way, and arrives `delay_s` later, give or take the jitter. Only `reorder` lets packets
    overtake. While the rate is 0 (a trace's or an outage) packets wait in the queue, as when a modem has lost its cell.

    Attributes:
        rate_bps: Line rate in bit/s, of IP packets plus `FRAMING_BYTES` each; None: unlimited, or as the trace says.
        trace: A recorded rate in place of a fixed one.
        delay_s: One-way delay in seconds.
        jitter_s: The delay wanders slowly between `delay_s - jitter_s` and `delay_s + jitter_s`, with mean `delay_s`.
        loss: Probability that a packet is lost after it has used the line, each packet independently.
        burst_loss: Loss in bursts instead.
        reorder: Share of packets, each chosen independently, that skip the delay and so overtake those still on their
            way (netem's meaning: how far depends on the delay and on how close packets follow each other).
        queue_bytes: Room in front of the line, drop-tail; None: see `queue_limit_bytes`.
        outages: (begin, length) in seconds since the profile came into force: nothing leaves. Ascending, not repeated.
    """

    rate_bps: float | None = None
    trace: RateTrace | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    burst_loss: BurstLoss | None = None
    reorder: float = 0.0
    queue_bytes: int | None = None
    outages: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        self._check_rate()
        if not (self.delay_s >= 0 and math.isfinite(self.delay_s)):
            raise ValueError(f"delay {self.delay_s:g} s; a delay is 0 or more")
        if not 0 <= self.jitter_s <= self.delay_s:
            raise ValueError(
                f"jitter {self.jitter_s:g} s with a delay of {self.delay_s:g} s; jitter lies between 0 and the delay, "
                "or packets would arrive before they were sent"
            )
        self._check_fates()
        if self.queue_bytes is not None and self.queue_bytes < MTU_BYTES + FRAMING_BYTES:
            raise ValueError(
                f"queue of {self.queue_bytes} bytes; it has to hold one packet of {MTU_BYTES + FRAMING_BYTES}"
            )
        self._check_outages()

    def _check_rate(self) -> None:
        if self.rate_bps is not None and self.trace is not None:
            raise ValueError("a rate and a trace are both given; a link has one or the other")
        if self.rate_bps is not None and not (self.rate_bps > 0 and math.isfinite(self.rate_bps)):
            raise ValueError(
                f"rate {self.rate_bps:g} bit/s; a rate is more than 0 (leave it out for an unlimited link)"
            )

    def _check_fates(self) -> None:
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss {self.loss * 100:g} %; a loss lies between 0 % and 100 %")
        if self.loss and self.burst_loss is not None:
            raise ValueError("independent loss and loss in bursts are both given; a link has one or the other")
        if not 0 <= self.reorder <= 1:
            raise ValueError(f"reordering {self.reorder * 100:g} %; the share lies between 0 % and 100 %")
        if self.reorder and not self.delay_s:
            raise ValueError(
                f"reordering {self.reorder * 100:g} % without a delay; reordered packets are those that skip the "
                "delay, so set one"
            )

    def _check_outages(self) -> None:
        for begin_s, length_s in self.outages:
            if not (begin_s >= 0 and length_s > 0 and math.isfinite(begin_s + length_s)):
                raise ValueError(
                    f"outage from {begin_s:g} s for {length_s:g} s; it begins at 0 or later and has a length"
                )
        for (begin_s, length_s), (next_s, _) in pairwise(self.outages):
            if not next_s > begin_s + length_s:
                raise ValueError(
                    f"outages overlap or are out of order: one lasts until {begin_s + length_s:g} s, the next begins "
                    f"at {next_s:g} s"
                )

    @property
    def mean_loss(self) -> float:
        """Share of packets lost in the long run, the queue's drops apart."""
        return self.loss if self.burst_loss is None else self.burst_loss.mean_loss

    @property
    def mean_burst_packets(self) -> float:
        """Mean number of packets lost in a row; 0 on a link without loss."""
        if self.burst_loss is not None:
            return self.burst_loss.mean_burst_packets
        return 1 / (1 - self.loss) if 0 < self.loss < 1 else 0.0 if self.loss == 0 else math.inf

    @property
    def steady(self) -> bool:
        """Whether its rate is always the same."""
        return self.trace is None and not self.outages

    def nominal_bps(self) -> float | None:
        """The rate, or the trace's mean; None when unlimited."""
        return self.trace.mean_bps() if self.trace is not None else self.rate_bps

    def mean_between(self, from_s: float, to_s: float) -> float | None:
        """Mean rate in bit/s between two times since the profile came into force; None when unlimited."""
        if self.nominal_bps() is None:
            return None
        bits, at_s = 0.0, from_s
        for begin_s, length_s in (*self.outages, (math.inf, 0.0)):
            if (until_s := min(max(begin_s, at_s), to_s)) > at_s:
                rate_bps = self.rate_bps or (self.trace.mean_between(at_s, until_s) if self.trace is not None else 0.0)
                bits += rate_bps * (until_s - at_s)
            at_s = min(max(at_s, begin_s + length_s), to_s)
        return bits / (to_s - from_s)

    def queue_limit_bytes(self) -> int:
        """The queue set, or one bandwidth-delay product, at least 100 ms of the line rate and 32 full packets."""
        if self.queue_bytes is not None:
            return self.queue_bytes
        rate_bps = self.nominal_bps()
        if rate_bps is None:
            return _UNLIMITED_QUEUE_BYTES
        return max(_QUEUE_MIN_BYTES, int(rate_bps / 8 * max(2 * self.delay_s, _QUEUE_MIN_S)))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinkProfile:
    """A link: `up` carries what the near end sends, `down` what the far end sends. `seed` draws losses and jitter."""

    up: Direction = Direction()
    down: Direction = Direction()
    seed: int = 1

    @classmethod
    def symmetric(cls, *, seed: int = 1, **settings: Any) -> LinkProfile:
        """The same `Direction(**settings)` both ways; `delay_s` is one way, so the round trip is twice that."""
        direction = Direction(**settings)
        return cls(up=direction, down=direction, seed=seed)

    @property
    def rtt_s(self) -> float:
        """Round trip of an empty link for a packet of no size: both delays."""
        return self.up.delay_s + self.down.delay_s

    def to_json(self) -> dict[str, Any]:
        """The profile as plain data; a trace is named with its length and mean, not copied."""
        return {"up": _direction_to_json(self.up), "down": _direction_to_json(self.down), "seed": self.seed}


def _direction_to_json(direction: Direction) -> dict[str, Any]:
    trace, burst = direction.trace, direction.burst_loss
    return {
        "rate_bps": direction.rate_bps,
        "trace": None
        if trace is None
        else {
            "name": trace.name,
            "read_as": trace.read_as,
            "period_s": trace.period_s,
            "steps": len(trace.steps),
            "mean_bps": trace.mean_bps(),
        },
        "delay_s": direction.delay_s,
        "jitter_s": direction.jitter_s,
        "loss": direction.loss,
        "burst_loss": None if burst is None else dataclasses.asdict(burst),
        "mean_loss": direction.mean_loss,
        "mean_burst_packets": length if math.isfinite(length := direction.mean_burst_packets) else None,
        "reorder": direction.reorder,
        "queue_bytes": direction.queue_limit_bytes(),
        "outages": [list(outage) for outage in direction.outages],
        "framing_bytes": FRAMING_BYTES,
    }
