"""What a link is set to: rate or trace, delay, jitter, loss and queue, each way; not how it is emulated."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from suture_protocol.errors import UsageError

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
class RateTrace:
    """A recorded rate: steps that hold until the next one; after `period_s` it starts again.

    Attributes:
        name: File or origin, for reports.
        steps: (time from the start in seconds, rate in bit/s), times ascending from 0. A rate of 0 is an outage.
        period_s: Length of the recording, the last step included.
    """

    name: str
    steps: tuple[tuple[float, float], ...]
    period_s: float

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"trace {self.name}: it has no steps")
        if self.steps[0][0] != 0.0:
            raise ValueError(f"trace {self.name}: it starts at {self.steps[0][0]:g} s; the first step has to be at 0 s")
        for (before_s, _), (after_s, _) in pairwise(self.steps):
            if not after_s > before_s:
                raise ValueError(f"trace {self.name}: time goes from {before_s:g} s to {after_s:g} s; it has to ascend")
        for at_s, rate_bps in self.steps:
            if not math.isfinite(rate_bps) or rate_bps < 0:
                raise ValueError(f"trace {self.name}: rate {rate_bps:g} bit/s at {at_s:g} s; rates are 0 or more")
        if not self.period_s > self.steps[-1][0]:
            raise ValueError(f"trace {self.name}: it ends at {self.period_s:g} s, before its last step does")
        if self.mean_bps() <= 0:
            raise ValueError(f"trace {self.name}: the rate is 0 throughout; nothing would ever arrive")

    def mean_bps(self) -> float:
        """Mean rate over one period in bit/s."""
        ends = [at_s for at_s, _ in self.steps[1:]] + [self.period_s]
        bits = sum(rate * (end - at_s) for (at_s, rate), end in zip(self.steps, ends, strict=True))
        return bits / self.period_s

    def mean_between(self, from_s: float, to_s: float) -> float:
        """Mean rate in bit/s between two times since the start, over as many periods as they span."""
        return (self._bits_until(to_s) - self._bits_until(from_s)) / (to_s - from_s)

    def _bits_until(self, time_s: float) -> float:
        laps, within_s = divmod(time_s, self.period_s)
        ends = [at_s for at_s, _ in self.steps[1:]] + [self.period_s]
        part = sum(
            rate * (min(end, within_s) - at_s)
            for (at_s, rate), end in zip(self.steps, ends, strict=True)
            if at_s < within_s
        )
        return laps * self.mean_bps() * self.period_s + part


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Direction:
    """One way of a link. The defaults are a line that does nothing.

    A packet waits in the queue (or is dropped when the queue is full), takes its size over the rate to leave, may be
    lost on its way, and arrives `delay_s` later, give or take the jitter. Packets never overtake each other.

    Attributes:
        rate_bps: Line rate in bit/s, of IP packets plus `FRAMING_BYTES` each; None: unlimited, or as the trace says.
        trace: A recorded rate in place of a fixed one.
        delay_s: One-way delay in seconds.
        jitter_s: The delay wanders slowly between `delay_s - jitter_s` and `delay_s + jitter_s`, with mean `delay_s`.
        loss: Probability that a packet is lost after it has used the line, each packet independently.
        queue_bytes: Room in front of the line, drop-tail; None: see `queue_limit_bytes`.
    """

    rate_bps: float | None = None
    trace: RateTrace | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    queue_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.rate_bps is not None and self.trace is not None:
            raise ValueError("a rate and a trace are both given; a link has one or the other")
        if self.rate_bps is not None and not (self.rate_bps > 0 and math.isfinite(self.rate_bps)):
            raise ValueError(
                f"rate {self.rate_bps:g} bit/s; a rate is more than 0 (leave it out for an unlimited link)"
            )
        if not (self.delay_s >= 0 and math.isfinite(self.delay_s)):
            raise ValueError(f"delay {self.delay_s:g} s; a delay is 0 or more")
        if not 0 <= self.jitter_s <= self.delay_s:
            raise ValueError(
                f"jitter {self.jitter_s:g} s with a delay of {self.delay_s:g} s; jitter lies between 0 and the delay, "
                "or packets would arrive before they were sent"
            )
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss {self.loss * 100:g} %; a loss lies between 0 % and 100 %")
        if self.queue_bytes is not None and self.queue_bytes < MTU_BYTES + FRAMING_BYTES:
            raise ValueError(
                f"queue of {self.queue_bytes} bytes; it has to hold one packet of {MTU_BYTES + FRAMING_BYTES}"
            )

    def nominal_bps(self) -> float | None:
        """The rate, or the trace's mean; None when unlimited."""
        return self.trace.mean_bps() if self.trace is not None else self.rate_bps

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
    trace = direction.trace
    return {
        "rate_bps": direction.rate_bps,
        "trace": None
        if trace is None
        else {"name": trace.name, "period_s": trace.period_s, "steps": len(trace.steps), "mean_bps": trace.mean_bps()},
        "delay_s": direction.delay_s,
        "jitter_s": direction.jitter_s,
        "loss": direction.loss,
        "queue_bytes": direction.queue_limit_bytes(),
        "framing_bytes": FRAMING_BYTES,
    }


def load_trace(path: Path) -> RateTrace:
    """Reads a trace in CSV with columns `t_s` and `mbps` (others are ignored).

    Times need not start at 0: they are counted from the first row. The last row holds as long as the median step.

    Raises:
        UsageError: the file cannot be read, has other columns, or a value that is no number or impossible.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            if not {"t_s", "mbps"} <= set(rows.fieldnames or ()):
                raise UsageError(f"{path}: not a trace: its first line has to name the columns t_s and mbps")
            points = _points(path, rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot read this trace: {error}") from error
    if not points:
        raise UsageError(f"{path}: the trace has no rows")
    origin_s = points[0][0]
    steps = tuple((at_s - origin_s, rate_bps) for at_s, rate_bps in points)
    gaps = sorted(after[0] - before[0] for before, after in pairwise(steps)) or [1.0]
    try:
        return RateTrace(name=path.name, steps=steps, period_s=steps[-1][0] + max(gaps[len(gaps) // 2], 1e-6))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _points(path: Path, rows: Iterable[dict[str, str]]) -> list[tuple[float, float]]:
    points = []
    for number, row in enumerate(rows, start=2):
        try:
            points.append((float(row["t_s"]), float(row["mbps"]) * 1e6))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{path}: line {number}: {row.get('t_s')!r}, {row.get('mbps')!r} are no numbers"
            ) from error
    return points
