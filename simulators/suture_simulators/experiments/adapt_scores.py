"""How fast the plan follows the link: for each change of the rate, when the plan in force was right again.

A plan is right where its predicted time at the true rate is within 5 % of the least that any cut and codec has there,
by the planner's arithmetic over the profiles that the unit itself plans with, and without what all share (reading and
preprocessing). An image that the unit finished alone since the link failed counts with the time it lost on the link.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from suture_simulators.experiments.clairvoyant import (
    Option,
    best_at,
    best_over,
    find,
    line_from_json,
    options_from_json,
    title,
)
from suture_simulators.experiments.scenarios import Phase
from suture_simulators.experiments.types import Sample
from suture_simulators.lines import TracedLine

#: How much slower than the best a plan may be.
TOLERANCE: Final = 0.05
#: So many images in a row have to be on a right plan before it counts as settled.
IN_A_ROW: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Settling:
    """What followed one change of the rate.

    Attributes:
        before: The best at the rate before; `after` at the new one, as `cut codec`.
        needed: Whether the best of before is no longer right, so that a plan that stays would be wrong.
        requests: Images that met the new rate on a plan that was not right, until it was: those under way at the change
            and those begun after it. Where it never was, all that came: at least so many.
        seconds: From the change to the beginning of the first image on the right plan; 0 where the plan in force was
            right already. Where it never was, the length of the phase: at least so long.
        settled: Whether it ever was, before the next change.
    """

    at_s: float
    from_bps: float
    to_bps: float
    before: str
    after: str
    needed: bool
    requests: int
    seconds: float
    settled: bool


def settlings(
    samples: Sequence[Sample], phases: Sequence[Phase], known: Sequence[Option], rtt_s: float
) -> list[Settling]:
    """One for each phase but the first; `samples` are one planned stream's, in order."""
    return [_settling(samples, before, after, known, rtt_s) for before, after in pairwise(phases)]


def _settling(
    samples: Sequence[Sample], before: Phase, after: Phase, known: Sequence[Option], rtt_s: float
) -> Settling:
    rate = after.rate_bps
    least_s = best_at(known, rate, rtt_s).at(rate, rtt_s)

    def right(sample: Sample) -> bool:
        return planned_s(sample, known, lambda option: option.at(rate, rtt_s)) <= least_s * (1 + TOLERANCE)

    caught = [s for s in samples if s.extra["start_s"] < after.start_s < s.extra["end_s"]]
    within = [s for s in samples if after.start_s <= s.extra["start_s"] < after.end_s]
    earlier = [s for s in samples if s.extra["start_s"] < after.start_s]
    verdicts = [right(sample) for sample in within]
    place = _first_run(verdicts)
    wrong = sum(not right(sample) for sample in caught) + sum(not v for v in verdicts[:place])
    if place is None:
        seconds = after.end_s - after.start_s
    elif wrong == 0 and place == 0 and (not earlier or right(earlier[-1])):
        seconds = 0.0
    else:
        seconds = within[place].extra["start_s"] - after.start_s
    was, best = best_at(known, before.rate_bps, rtt_s), best_at(known, rate, rtt_s)
    return Settling(
        at_s=after.start_s,
        from_bps=before.rate_bps,
        to_bps=rate,
        before=title(was),
        after=title(best),
        needed=was.at(rate, rtt_s) > least_s * (1 + TOLERANCE),
        requests=wrong,
        seconds=seconds,
        settled=place is not None,
    )


def _first_run(verdicts: Sequence[bool]) -> int | None:
    """Where the first `IN_A_ROW` right ones begin; None where there is no such run."""
    for place in range(len(verdicts) - IN_A_ROW + 1):
        if all(verdicts[place : place + IN_A_ROW]):
            return place
    return None


def planned_s(sample: Sample, known: Sequence[Option], time_of: Any) -> float:
    """The time of the plan that an image was done by, as `time_of` tells it of an option; with what was lost."""
    if not sample.ok:
        return math.inf
    option = find(known, sample.cut, sample.codec)
    if option is None:
        return math.inf
    lost_s = float(sample.steps_s.get("transfer", 0.0)) if sample.extra["note"] else 0.0
    return float(time_of(option)) + lost_s


def right_share(samples: Sequence[Sample], known: Sequence[Option], line: TracedLine, rtt_s: float) -> float:
    """Share of images whose plan was right for the rate that the line really had during them; nan without images."""
    if not samples:
        return math.nan
    count = 0
    for sample in samples:
        start_s = sample.extra["start_s"] + sample.steps_s.get("preprocess", 0.0)
        least_s = best_over(known, line, start_s, rtt_s).over(line, start_s, rtt_s)

        def time_of(option: Option, start_s: float = start_s) -> float:
            return option.over(line, start_s, rtt_s)

        count += planned_s(sample, known, time_of) <= least_s * (1 + TOLERANCE)
    return count / len(samples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A stream's images: done by the `cloud`, the `edge` as planned, `alone` for want of a link; or `lost`."""

    images: int
    cloud: int
    edge: int
    alone: int
    lost: int
    late: int


def account(samples: Sequence[Sample], images: int, deadline_s: float) -> Account:
    """Counts; `images` is how many the camera gave, so that one without any record is lost as well."""
    done = [sample for sample in samples if sample.ok]
    return Account(
        images=images,
        cloud=sum(sample.where == "cloud" for sample in done),
        edge=sum(sample.where == "edge" and not sample.extra["note"] for sample in done),
        alone=sum(sample.where == "edge" and bool(sample.extra["note"]) for sample in done),
        lost=images - len(done),
        late=sum(sample.total_s > deadline_s for sample in done),
    )


def known_from(notes: Mapping[str, Any]) -> tuple[tuple[Option, ...], TracedLine, tuple[Phase, ...]]:
    """Options, line and phases out of a record's notes."""
    scenario = notes["scenario"]
    phases = tuple(Phase(**phase) for phase in scenario["phases"])
    return options_from_json(notes["options"]), line_from_json(scenario["steps"]), phases
