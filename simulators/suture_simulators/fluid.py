"""A stream of images over a recorded link without a network: the unit's estimator and planner are the real ones, the
link is a fluid that fills at the recorded rate. Simulated, so no figure of it is a measurement.

What is simulated: TCP without slow start, loss or queue; a cloud that is never busy; steps that take exactly as long as
the profiles say. What is not there cannot go wrong, so this judges planning alone, in seconds instead of hours.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from suture_models.manifest import LAST_CUT
from suture_partitioner.caution import patience_s
from suture_partitioner.link import LinkEstimator
from suture_partitioner.pacing import BBR_GAIN
from suture_partitioner.plan import Planner
from suture_partitioner.types import Choice
from suture_simulators.lines import TracedLine
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE
from suture_simulators.rate_trace import RateTrace

#: Chunks of a payload whose arrivals the cloud would report.
_CHUNKS: Final = 8
#: Padding of a probe, and the time that a reconnecting unit needs.
_PROBE_BYTES: Final = 12_000
_RECONNECT_S: Final = 0.3
#: How often the heartbeat pings.
_BEAT_S: Final = 0.25
#: Silence after which the heartbeat calls the path dead.
_DEAD_AFTER_S: Final = 1.0
#: A link that carried something during the last so many seconds is not probed.
_PROBE_AFTER_S: Final = 0.4
#: An image may end so much later than the last one came.
_BEYOND_S: Final = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """One image: when it came, was begun and had its result; `outage` where the line stood still meanwhile."""

    due_s: float
    start_s: float
    end_s: float
    cut: str
    codec: str
    outage: bool
    alone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A link and a camera: the line's rate over time, the round trip, and how often images come for how long."""

    trace: RateTrace
    rtt_s: float
    period_s: float
    length_s: float
    room: int = 4
    line: TracedLine = field(init=False)
    _still_s: tuple[tuple[float, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", TracedLine(self.trace))
        object.__setattr__(self, "_still_s", tuple(_still(self.trace, self.length_s + _BEYOND_S)))

    def still(self, from_s: float, until_s: float, least_s: float = 0.0) -> tuple[float, float] | None:
        """The first span between two times in which the line carries nothing for longer than `least_s`."""
        at = bisect_right(self._still_s, (from_s, 0.0)) - 1
        for begin_s, end_s in self._still_s[max(at, 0) :]:
            if begin_s >= until_s:
                break
            span = max(begin_s, from_s), min(end_s, until_s)
            if span[1] - span[0] > least_s:
                return span
        return None


Policy = Callable[[float, LinkEstimator], Choice]
"""Chooses for an image begun at a time; the estimator is the unit's."""


def fixed(choice: Choice) -> Policy:
    """Always the same."""
    return lambda start_s, link: choice  # noqa: ARG005 a Policy's signature


def planned(planner: Planner) -> Policy:
    """As the unit plans: with what is in force, over the estimate of now."""
    current: list[Choice] = []

    def choose(start_s: float, link: LinkEstimator) -> Choice:
        current[:] = [planner.choose(link.estimate(start_s), current=current[0] if current else None)]
        return current[0]

    return choose


def foreseen(choices: Sequence[Choice], course: Course) -> Policy:
    """The best for the rate that the line is going to have; waiting for the image before has no part in it."""
    return lambda start_s, link: min(choices, key=lambda c: finish_s(c, course, start_s))  # noqa: ARG005


def finish_s(choice: Choice, course: Course, start_s: float) -> float:
    """When an image begun at `start_s` has its result, if nothing is given up."""
    steps = choice.steps
    ready_s = start_s + steps.preprocess_s + steps.head_s + steps.encode_s
    if choice.cut_id == LAST_CUT:
        return ready_s
    arrived_s = course.line.finish(ready_s, 8 * choice.payload_bytes / TCP_PAYLOAD_SHARE)
    return arrived_s + course.rtt_s + steps.decode_s + steps.tail_s


def run(course: Course, policy: Policy, link: LinkEstimator, *, local: Choice | None, hedge: bool = True) -> list[Done]:
    """Streams images through; `local` finishes where the cloud does not, `hedge` begins it before all hope is lost."""
    unit = _Unit(course, link, local, hedge=hedge)
    found: list[Done] = []
    due_s = 0.0
    ends_s: deque[float] = deque(maxlen=course.room + 1)
    free_s = 0.0
    while due_s < course.length_s:
        start_s = max(due_s, free_s)
        one = unit.infer(policy(start_s, link), due_s, start_s)
        found.append(one)
        free_s = one.end_s
        ends_s.append(free_s)
        due_s = max(due_s + course.period_s, ends_s[0] if len(ends_s) == ends_s.maxlen else 0.0)
    return found


def mean_s(found: Sequence[Done]) -> float:
    """Mean time from image to result, waiting included."""
    return statistics.fmean(one.end_s - one.due_s for one in found)


def mean_begun_s(found: Sequence[Done]) -> float:
    """Mean time from begin to result."""
    return statistics.fmean(one.end_s - one.start_s for one in found)


class _Unit:
    """What the edge does around its plan: probes, gives up, finishes alone."""

    def __init__(self, course: Course, link: LinkEstimator, local: Choice | None, *, hedge: bool) -> None:
        self._course = course
        self._link = link
        self._local = local
        self._hedge = hedge
        self._used_s = float("-inf")
        self._down_until_s = float("-inf")

    def infer(self, choice: Choice, due_s: float, start_s: float) -> Done:
        """Does one image."""
        self._link.on_heartbeat(self._course.rtt_s, start_s)
        if choice.cut_id == LAST_CUT:
            end_s = finish_s(choice, self._course, start_s)
            self._probe(start_s, end_s)
            return self._done(choice, due_s, start_s, end_s)
        if start_s < self._down_until_s and self._local is not None:
            return self._done(self._local, due_s, start_s, finish_s(self._local, self._course, start_s), alone=True)
        steps = choice.steps
        sent_s = start_s + steps.preprocess_s + steps.head_s + steps.encode_s
        end_s = finish_s(choice, self._course, start_s)
        away_s = end_s - sent_s
        lost_s = self._gives_up(choice, sent_s, away_s)
        if lost_s is None:
            self._learn(choice, sent_s, end_s)
            self._used_s = end_s
            return self._done(choice, due_s, start_s, end_s)
        local_s = self._local.steps.total_s - self._local.steps.preprocess_s if self._local is not None else 0.0
        finished_s = sent_s + lost_s + local_s
        if end_s <= finished_s:
            self._learn(choice, sent_s, end_s)
            self._used_s = end_s
            return self._done(choice, due_s, start_s, end_s)
        ping_s = self._slowest_ping_s(choice, sent_s, finished_s)
        self._link.on_unfinished(choice.payload_bytes, finished_s - sent_s, finished_s, ping_s=ping_s)
        return self._done(choice, due_s, start_s, finished_s, alone=True)

    def _gives_up(self, choice: Choice, sent_s: float, away_s: float) -> float | None:
        """After how long the image is begun alone; None where the cloud is faster than that."""
        if self._local is None:
            return None
        moments = [patience_s(choice.steps, self._link.estimate(sent_s).stall_s)] if self._hedge else []
        dead_s = self._dead_s(sent_s, sent_s + away_s)
        if dead_s is not None:
            moments.append(dead_s - sent_s)
            self._down_until_s = self._up_again_s(dead_s)
        found = min(moments, default=float("inf"))
        return found if found < away_s else None

    def _slowest_ping_s(self, choice: Choice, sent_s: float, until_s: float) -> float:
        """What the first heartbeat after a payload took or was due for by then: it queued behind most of it."""
        beat_s, line = math.ceil(sent_s / _BEAT_S) * _BEAT_S, self._course.line
        through_s = max(line.finish(sent_s, 8 * choice.payload_bytes / TCP_PAYLOAD_SHARE), line.finish(beat_s, 8 * 60))
        return max(min(through_s + self._course.rtt_s, until_s) - beat_s, 0.0)

    def _dead_s(self, from_s: float, until_s: float) -> float | None:
        """When the heartbeat has heard nothing for so long."""
        span = self._course.still(from_s, until_s, _DEAD_AFTER_S)
        return None if span is None else span[0] + _DEAD_AFTER_S

    def _up_again_s(self, at_s: float) -> float:
        return self._course.line.finish(at_s, 8 * 1000) + _RECONNECT_S

    def _learn(self, choice: Choice, sent_s: float, end_s: float) -> None:
        size, line = choice.payload_bytes, self._course.line
        ends = [size * (i + 1) // _CHUNKS for i in range(_CHUNKS)]
        begun_s = line.finish(sent_s, 8 * 200)
        arrivals = [(end, line.finish(sent_s, 8 * end / TCP_PAYLOAD_SHARE) - begun_s) for end in ends]
        round_trip_s = end_s - sent_s - choice.steps.decode_s - choice.steps.tail_s
        self._link.on_upload(size, arrivals, round_trip_s, end_s)

    def _probe(self, start_s: float, end_s: float) -> None:
        if start_s - self._used_s < _PROBE_AFTER_S:
            return
        line, bits = self._course.line, 8 * _PROBE_BYTES / TCP_PAYLOAD_SHARE
        begun_s = line.finish(start_s, 8 * 60)
        # BBR paces what an idle connection sends (suture_partitioner.pacing).
        took_s = max(line.finish(start_s, bits) - begun_s, self._course.rtt_s / BBR_GAIN)
        if begun_s + took_s + self._course.rtt_s <= end_s:
            came_s = begun_s + took_s + self._course.rtt_s
            self._link.on_probe(_PROBE_BYTES, took_s, came_s - start_s, came_s)
        self._used_s = start_s

    def _done(self, choice: Choice, due_s: float, start_s: float, end_s: float, *, alone: bool = False) -> Done:
        return Done(
            due_s=due_s,
            start_s=start_s,
            end_s=end_s,
            cut=choice.cut_id,
            codec=choice.codec,
            outage=self._course.still(start_s, end_s) is not None,
            alone=alone,
        )


def _still(trace: RateTrace, until_s: float) -> Iterator[tuple[float, float]]:
    """The spans without any rate, joined, over as many laps as it takes."""
    begin_s: float | None = None
    for lap in range(int(until_s / trace.period_s) + 1):
        for at_s, rate_bps in trace.steps:
            now_s = lap * trace.period_s + at_s
            if rate_bps > 0 and begin_s is not None:
                yield begin_s, now_s
                begin_s = None
            elif rate_bps <= 0 and begin_s is None:
                begin_s = now_s
    if begin_s is not None:
        yield begin_s, until_s
