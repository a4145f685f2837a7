"""The parent's side of a stream of images: link and unit brought to the start, the scenario set off, samples taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from suture_edge.heads import HEADS_KEPT
from suture_models.manifest import LAST_CUT
from suture_simulators.experiments.clairvoyant import Option, best_over, options
from suture_simulators.experiments.scenarios import Scenario
from suture_simulators.experiments.types import Point, Record, Sample
from suture_simulators.lines import TracedLine
from suture_simulators.report import LinkReport

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

#: How many moments of a scenario the best cuts are asked for.
_MOMENTS: Final = 200
#: The planned stream.
SPLIT: Final = "split"
#: The stream that knows the drive beforehand.
CLAIRVOYANT: Final = "clairvoyant"
#: Images that may wait at the unit before the camera waits as well.
ROOM: Final = 4
#: Images come no faster than this, and no faster than the unit can follow with this share of its time to spare.
PERIOD_MIN_S: Final = 0.5
_SPARE: Final = 1.25
#: A result is late when it comes later after its image than this, or than twice what the best plan takes at worst.
_DEADLINE_MIN_S: Final = 2.0
_DEADLINE_OF_BEST: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often images come, and when a result is late; seconds."""

    period_s: float
    deadline_s: float


def pace(slowest_best_s: float, before_s: float) -> Pace:
    """The pace for a link on which the best plan takes up to `slowest_best_s` beside reading and preprocessing."""
    whole_s = slowest_best_s + before_s
    return Pace(
        period_s=max(PERIOD_MIN_S, _SPARE * whole_s), deadline_s=max(_DEADLINE_MIN_S, _DEADLINE_OF_BEST * whole_s)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """How a stream's images are done: at a cut (or `auto`), with a codec; empty for the planned or default one.

    `ready` are cuts whose heads were made ready before the stream began. `foresight` is what a clairvoyant chooses by
    for each image, as `clairvoyant.foresight_from_json` reads it; `cut` is then its first one.
    """

    cut: str
    codec: str = ""
    ready: tuple[str, ...] = ()
    foresight: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Run:
    """One replay.

    `delivered` are (second, bit/s) at the far end; `memory` is that of the heads held in the end, by cut, in bytes;
    `invalid_reason` is empty if the link kept time.
    """

    samples: list[Sample] = field(default_factory=list)
    delivered: list[tuple[float, float]] = field(default_factory=list)
    images: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    invalid_reason: str = ""


def options_of(point: Point, bench: Bench) -> tuple[Option, ...]:
    """What the unit may choose from at a point."""
    return options(bench.planner(point.network, point.device))


def ready_cuts(known: Sequence[Option], line: TracedLine, length_s: float, rtt_s: float) -> tuple[str, ...]:
    """The cuts that a unit has ready that was on such a link before: those best most often, and the last one.

    As many as a unit keeps. How a unit fares that meets a link for the first time is another question.
    """
    return tuple(dict.fromkeys([LAST_CUT, *best_cuts(known, line, length_s, rtt_s)[: HEADS_KEPT - 1]]))


def best_cuts(known: Sequence[Option], line: TracedLine, length_s: float, rtt_s: float) -> list[str]:
    """The cuts that are best at some moment, those most often so first."""
    moments = [length_s * i / _MOMENTS for i in range(_MOMENTS)]
    best = Counter(best_over(known, line, at_s, rtt_s).cut for at_s in moments)
    return [cut for cut, _ in best.most_common()]


def replay(
    bench: Bench,
    point: Point,
    scenario: Scenario,
    *,
    name: str,
    arm: Arm,
    paced: Pace,
    record: Record,
    seed: int,
    first_turn: int = 0,
) -> Run:
    """Has the unit do a stream of images while the link goes through a scenario; `name` is the samples' arm.

    Turns count from `first_turn`.

    Raises:
        LinkError: the cloud could not be reached before the scenario began, or the link is gone.
    """
    link = bench.link
    if link is None:
        raise ValueError("set the link first")
    bench.hold(rate_bps=point.rate_bps, rtt_s=point.rtt_s, seed=seed)
    bench.ask(
        "stream_open",
        image=point.image,
        cut=arm.cut,
        codec=arm.codec,
        ready=list(arm.ready),
        foresight=None if arm.foresight is None else dict(arm.foresight),
    )
    run = Run()

    def take(event: Mapping[str, Any]) -> None:
        sample = sample_of_image(event, point, name, first_turn)
        run.samples.append(sample)
        record(sample)

    from_s = link.change(scenario.profile(point.rtt_s, seed))
    answer = bench.ask(
        "stream",
        event=take,
        cut=arm.cut,
        zero_s=link.epoch_monotonic_s + from_s,
        period_s=paced.period_s,
        until_s=scenario.length_s,
        room=ROOM,
    )
    run.images = int(answer["images"])
    run.memory = dict(answer["memory"])
    report = link.report()
    run.delivered = delivered(report, from_s, scenario.length_s)
    run.invalid_reason = str(report.since_change["invalid_reason"])
    # So that what comes next finds a link, whatever this one ended with.
    bench.hold(rate_bps=point.rate_bps, rtt_s=point.rtt_s, seed=seed)
    return run


def sample_of_image(event: Mapping[str, Any], point: Point, arm: str, first_turn: int = 0) -> Sample:
    """The sample that an image's event makes; its time is from when the image was there to its result."""
    return Sample(
        point=point.key,
        arm=arm,
        turn=first_turn + event["index"],
        total_s=event["end_s"] - event["due_s"],
        cut=event["cut"],
        codec=event["codec"],
        payload_bytes=event["payload_bytes"],
        where=event["where"],
        at_s=event["due_s"],
        error=event["error"],
        steps_s=event["steps_s"],
        extra={name: event[name] for name in ("start_s", "end_s", "note", "bandwidth_bps", "rtt_s")},
    )


def delivered(report: LinkReport, from_s: float, length_s: float) -> list[tuple[float, float]]:
    """(middle of a second, bit/s) that arrived at the far end, from the link's own record of each second."""
    found = []
    for second, count in enumerate(report.up_bytes_per_s):
        at_s = second + 0.5 - from_s
        if 0 <= at_s <= length_s:
            found.append((at_s, 8.0 * count))
    return found
