"""What would have been best, known beforehand: the planner's own arithmetic, fed with the rate the link really had.

A clairvoyant has the same profiles as the plan, and the true rate instead of an estimate. The rate is the line's times
the share of it that TCP's payload can have. Over a rate that changes, a transfer takes as long as the line needs for
its bits from the moment they are ready; so outages and recoveries within it count in full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from suture_models.manifest import LAST_CUT
from suture_partitioner.plan import Planner
from suture_simulators.lines import TracedLine
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE
from suture_simulators.rate_trace import RateTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One thing that a plan may choose, by its profiled times; reading and preprocessing are the same for all.

    Attributes:
        edge_s: Head and encoding.
        cloud_s: Decoding and tail.
    """

    cut: str
    codec: str
    payload_bytes: int
    edge_s: float
    cloud_s: float

    @property
    def local(self) -> bool:
        """Whether the link has no part in it."""
        return self.cut == LAST_CUT

    def at(self, rate_bps: float, rtt_s: float) -> float:
        """Its time on a line of a steady rate; infinite where nothing can be sent."""
        if self.local:
            return self.edge_s
        if rate_bps <= 0:
            return math.inf
        return self.edge_s + rtt_s + 8 * self.payload_bytes / (rate_bps * TCP_PAYLOAD_SHARE) + self.cloud_s

    def over(self, line: TracedLine, start_s: float, rtt_s: float) -> float:
        """Its time if the head is begun at `start_s`, over a line whose rate changes."""
        if self.local:
            return self.edge_s
        ready_s = start_s + self.edge_s
        left_s = line.finish(ready_s, 8 * self.payload_bytes / TCP_PAYLOAD_SHARE)
        return left_s - start_s + rtt_s + self.cloud_s

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def options(planner: Planner) -> tuple[Option, ...]:
    """All that a plan may choose from."""
    return tuple(
        Option(
            cut=found.cut.id,
            codec=found.codec,
            payload_bytes=found.payload_bytes,
            edge_s=found.head_s + found.encode_s,
            cloud_s=found.decode_s + found.tail_s,
        )
        for found, forbidden in planner.ways
        if not forbidden
    )


def options_from_json(raw: Sequence[Mapping[str, Any]]) -> tuple[Option, ...]:
    """What `Option.to_json` gave, one for each."""
    return tuple(Option(**one) for one in raw)


def best_at(known: Sequence[Option], rate_bps: float, rtt_s: float) -> Option:
    """The fastest on a steady line."""
    return min(known, key=lambda option: option.at(rate_bps, rtt_s))


def best_over(known: Sequence[Option], line: TracedLine, start_s: float, rtt_s: float) -> Option:
    """The fastest for a head begun at `start_s` on a line whose rate changes."""
    return min(known, key=lambda option: option.over(line, start_s, rtt_s))


@dataclass(frozen=True, kw_only=True, slots=True)
class Foresight:
    """What a clairvoyant knows: what there is to choose from, and the line as it is going to be."""

    known: tuple[Option, ...]
    line: TracedLine
    rtt_s: float

    def best(self, start_s: float) -> Option:
        """The fastest for a head begun at `start_s`."""
        return best_over(self.known, self.line, start_s, self.rtt_s)


def foresight_from_json(raw: Mapping[str, Any]) -> Foresight:
    """Of plain data: `known` as `Option.to_json` gave them, the `steps` of a line, and `rtt_s`."""
    known, line = options_from_json(raw["known"]), line_from_json(raw["steps"])
    return Foresight(known=known, line=line, rtt_s=float(raw["rtt_s"]))


def line_from_json(steps: Sequence[Sequence[float]]) -> TracedLine:
    """The line of a scenario's steps as a record keeps them; the last one holds on for an hour."""
    pairs = tuple((float(at_s), float(rate_bps)) for at_s, rate_bps in steps)
    return TracedLine(RateTrace(name="replayed", steps=pairs, period_s=pairs[-1][0] + 3600.0))


def title(option: Option) -> str:
    """For people."""
    return option.cut if option.local else f"{option.cut} {option.codec}"


def find(known: Sequence[Option], cut: str, codec: str) -> Option | None:
    """The option of that cut and codec; of that cut alone for the one that sends nothing."""
    return next((o for o in known if o.cut == cut and (o.local or o.codec == codec)), None)
