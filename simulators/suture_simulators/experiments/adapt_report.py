"""What `adapt` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

from collections.abc import Sequence

from suture_protocol.units import format_size, format_time
from suture_simulators.experiments import adapt_scores
from suture_simulators.experiments.adapt_moves import needless_replayed
from suture_simulators.experiments.adapt_read import SETTLE_REQUESTS, SETTLE_S, Read, figures, in_time, read
from suture_simulators.experiments.adapt_scores import IN_A_ROW, TOLERANCE, Settling
from suture_simulators.experiments.page import Block, Figure, Section, Table, Text
from suture_simulators.experiments.streaming import ROOM
from suture_simulators.experiments.timelines import CAPTION, stream_picture
from suture_simulators.experiments.trace_scores import foreseen
from suture_simulators.experiments.types import Results

_HEAD = ("network", "scenario", "Mbit/s", "best before", "best after", "settled after", "s", "")


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """One row for each change of the rate."""
    return _HEAD, [row for point in read(results) for row in _rows(point)]


def sections(results: Results) -> Sequence[Section]:
    """Results first, then a picture for each point."""
    found = read(results)
    if not found:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    blocks: list[Block] = [
        Text(text=_summary(figures(results)), lead=True),
        Table(head=_HEAD, rows=[row for point in found for row in _rows(point)], caption="Changes of the rate"),
        Table(
            head=("network", "scenario", "images", "cloud", "unit", "alone", "lost", "late", "deadline", "period"),
            rows=[_account_row(point) for point in found],
            caption="What became of the images",
        ),
        *_moves(found),
        *_drives(found),
    ]
    return [
        Section(title="Results", blocks=blocks),
        Section(title="What was measured", blocks=[Text(text=text) for text in _DEFINITIONS]),
        *(
            Section(
                title=f"{network}: the streams", blocks=[_figure(p) for p in found if p.record.point.network == network]
            )
            for network in dict.fromkeys(point.record.point.network for point in found)
        ),
    ]


_DEFINITIONS = (
    "One image comes at every period while the link changes; the unit reads, preprocesses and infers it for real, "
    f"by the same code as the agent's. At most {ROOM} images wait, then the camera waits too; waiting counts. A "
    "result is late when it comes later after its image than the deadline: 2 s, or twice what the best plan takes "
    "at the slowest rate (where the link drops: all on the unit).",
    f"The plan in force is right when its predicted time at the true rate is within {100 * TOLERANCE:.0f} % of the "
    "best plan's there: the least over all candidate cuts and codecs, by the planner's own arithmetic over the "
    "profiles that the unit plans with, fed with the true rate (the line's, less what headers take) and the true "
    "round trip instead of an estimate. Reading and preprocessing, the same for all plans, are left out. An image "
    "that the unit finished alone because the link failed counts with the time lost on the link.",
    f"Settled: the first of {IN_A_ROW} images in a row on a right plan. Requests: images that met the new rate on a "
    "wrong plan until then, those under way at the change included. Seconds: from the change until that first "
    "image was begun. Where it never settled before the next change, all the phase counts: the true figure is at "
    "least that.",
    "A change needs another plan when the best plan of before is no longer right; the medians are over those "
    "changes, the maxima over all. While the plan is to do all on the unit, nothing of size crosses the link: only "
    "the heartbeat shows that it is there, and the estimate of the rate stays what it was.",
    "Before a stream began, the heads of the cuts that are best most often over it were ready, as many as a unit "
    "keeps: as in a unit that met these rates before. Only in `first-` scenarios none but the first image's was: "
    "there, moving the cut makes the next head beside the one in force, at the slow device's speed, and until it is "
    "ready the plan in force goes on; they are in the figures `first_settle_*` and in no other `settle_*`. A request "
    "is held up by a move when its head and what no step accounts for take 0.2 of its time and 50 ms longer than "
    "usual at that cut. Memory: what making the heads took that were held in the end.",
    "Steady link: its rate is drawn anew each second, with a standard deviation of 20 %, around the rate at which two "
    "plans are equally good: there, noise tempts most. Every move there is needless (the first five seconds are for "
    "settling). One link is streamed over for ten minutes in a full run; besides, ten such links are replayed through "
    "the estimator and the planner alone, with what each request would have shown of the link computed. The times of "
    "a re-plan (estimate and choice) are from that replay, at this machine's speed, not the emulated device's.",
    "In a recorded drive the rate changes all the time; there, the share of images on a right "
    "plan stands for settling, the true rate being integrated over each transfer.",
)


def _summary(made: dict[str, float]) -> str:
    text = ""
    if "changes" in made:
        text = (
            f"Over {made['changes']:.0f} changes of the rate the plan was right again after at most "
            f"{made['settle_requests_max']:.0f} requests and {made['settle_s_max']:.1f} s"
        )
        if "settle_requests_median" in made:
            text += (
                f" (median {made['settle_requests_median']:g} and {made['settle_s_median']:.1f} s over the "
                f"{made['changes_that_need_another_plan']:.0f} that need another plan)"
            )
        never = made["changes_never_settled"]
        text += f"; after {never:.0f} of them it never was, so these are lower bounds. " if never else ". "
    if "replan_s_median" in made:
        text += (
            f"A re-plan took {format_time(made['replan_s_median'])} at the median and "
            f"{format_time(made['replan_s_p99'])} at the 99th percentile of {made['replans']:,.0f}. "
        )
    if "needless_moves_per_10min" in made:
        text += (
            f"On a steady link with noise the cut moved {made['needless_moves_per_10min']:.1f} times in 10 minutes. "
        )
    return text + (
        f"Of {made['images']:.0f} images {made['images_lost']:.0f} were lost and {made['images_late']:.0f} late; "
        f"{made['images_alone']:.0f} were finished by the unit alone because the link failed."
    )


def _rows(point: Read) -> list[tuple[str, ...]]:
    return [
        (
            point.record.point.network,
            point.record.point.scenario,
            f"{one.from_bps / 1e6:g} → {one.to_bps / 1e6:g}",
            one.before,
            one.after,
            f"{'' if one.settled else '≥ '}{one.requests} requests",
            f"{'' if one.settled else '≥ '}{one.seconds:.1f}",
            _remark(one),
        )
        for one in point.settlings
    ]


def _remark(one: Settling) -> str:
    if not one.settled:
        return "never, before the next change"
    if not one.needed:
        return "no other plan needed"
    return "in time" if in_time(one) else f"late: more than {SETTLE_REQUESTS} requests and {SETTLE_S:g} s"


def _moves(found: Sequence[Read]) -> list[Table]:
    """What moving the cut cost in each stream, and how often it moved for nothing."""
    rows = []
    for point in found:
        held = point.record.notes.get("memory", {})
        replayed = point.record.notes.get("decisions")
        rows.append(
            (
                point.record.point.network,
                point.record.point.scenario,
                str(point.moves.moves),
                str(point.moves.failed),
                str(point.moves.delayed),
                f"{len(held)}: {format_size(sum(held.values()))}" if held else "–",
                "–" if point.needless is None else f"{point.needless:.1f}",
                "–" if replayed is None else "{:.1f} (most {:.1f})".format(*needless_replayed(replayed)),
            )
        )
    head = (
        "network",
        "scenario",
        "moves",
        "failed",
        "held up",
        "heads held, memory",
        "needless in 10 min",
        "the same, replayed",
    )
    return [Table(head=head, rows=rows, caption="Moves of the cut")]


def _account_row(point: Read) -> tuple[str, ...]:
    found, pace = point.account, point.record.notes["pace"]
    counts = (found.images, found.cloud, found.edge, found.alone, found.lost, found.late)
    times = (format_time(pace["deadline_s"]), format_time(pace["period_s"]))
    return (point.record.point.network, point.record.point.scenario, *(str(count) for count in counts), *times)


def _drives(found: Sequence[Read]) -> list[Table]:
    rows = [
        (
            p.record.point.network,
            p.record.point.scenario,
            p.record.notes["scenario"]["note"],
            f"{100 * p.right_share:.0f} %",
        )
        for p in found
        if p.right_share is not None
    ]
    head = ("network", "drive", "which part", "images on a right plan")
    return [Table(head=head, rows=rows, caption="Recorded drives")] if rows else []


def _figure(point: Read) -> Figure:
    known, line, _ = adapt_scores.known_from(point.record.notes)
    clairvoyant = foreseen(point.samples, known, line, point.record.point.rtt_s)
    return Figure(svg=stream_picture(point.record, point.samples, known, clairvoyant), caption=CAPTION)
