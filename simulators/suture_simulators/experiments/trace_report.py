"""What `trace` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suture_protocol.units import format_time
from suture_simulators.experiments import adapt_scores, trace_scores
from suture_simulators.experiments.adapt_scores import TOLERANCE, Account
from suture_simulators.experiments.clairvoyant import Option, title
from suture_simulators.experiments.page import Figure, Section, Table, Text
from suture_simulators.experiments.plots import distribution
from suture_simulators.experiments.statistics import median_interval
from suture_simulators.experiments.streaming import ROOM, SPLIT
from suture_simulators.experiments.timelines import CAPTION, drive_title, stream_picture
from suture_simulators.experiments.trace_scores import Foreseen
from suture_simulators.experiments.types import PointRecord, Results, Sample

_HEAD = ("network", "drive", "way", "mean", "median", "p95", "images", "alone", "lost", "late", "split ÷ it")


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """One valid point, evaluated. `ratios` are measured ÷ foreseen, one for each image that has a result."""

    record: PointRecord
    by_arm: Mapping[str, tuple[Sample, ...]]
    accounts: Mapping[str, Account]
    known: tuple[Option, ...]
    clairvoyant: tuple[Foreseen, ...]
    ratios: tuple[float, ...]
    right_share: float
    vs_best_fixed: float
    best_fixed: str


def read(results: Results) -> list[Read]:
    """Every valid point, evaluated."""
    return [_read(record, results.samples.get(record.point.key, ())) for record in results.valid]


def _read(record: PointRecord, samples: Sequence[Sample]) -> Read:
    notes, rtt_s = record.notes, record.point.rtt_s
    known, line, _ = adapt_scores.known_from(notes)
    by_arm = {arm: tuple(s for s in samples if s.arm == arm) for arm in notes["images"]}
    clairvoyant = trace_scores.foreseen(by_arm[SPLIT], known, line, rtt_s)
    ratio, best = trace_scores.vs_best_fixed(by_arm)
    deadline_s = notes["pace"]["deadline_s"]
    return Read(
        record=record,
        by_arm=by_arm,
        accounts={arm: adapt_scores.account(found, notes["images"][arm], deadline_s) for arm, found in by_arm.items()},
        known=known,
        clairvoyant=tuple(clairvoyant),
        ratios=tuple(trace_scores.vs_clairvoyant(by_arm[SPLIT], clairvoyant)),
        right_share=adapt_scores.right_share(by_arm[SPLIT], known, line, rtt_s),
        vs_best_fixed=ratio,
        best_fixed=best,
    )


def figures(results: Results) -> dict[str, float]:
    """The flat figures: over all images, over all points."""
    found = [point for point in read(results) if point.ratios]
    if not found:
        return {}
    foreseen_s = sum(seen.total_s for point in found for seen in point.clairvoyant)
    spent_s = sum(s.extra["end_s"] - s.extra["start_s"] for point in found for s in point.by_arm[SPLIT])
    made = {
        "vs_clairvoyant": statistics.median(ratio for point in found for ratio in point.ratios),
        "vs_clairvoyant_mean": spent_s / foreseen_s,
        "vs_best_fixed": statistics.median(point.vs_best_fixed for point in found),
        "vs_best_fixed_max": max(point.vs_best_fixed for point in found),
        "right_plan_share": statistics.fmean(point.right_share for point in found),
    }
    for name in ("images", "lost", "late", "alone"):
        key = name if name == "images" else f"images_{name}"
        made[key] = float(sum(getattr(point.accounts[SPLIT], name) for point in found))
    return made


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """One row for each way on each drive."""
    return _HEAD, [row for point in read(results) for row in _rows(point)]


def sections(results: Results) -> Sequence[Section]:
    """Results first, then a picture for each drive."""
    found = read(results)
    if not found:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    return [
        Section(
            title="Results",
            blocks=[
                Text(text=_summary(results), lead=True),
                Table(head=_HEAD, rows=[row for point in found for row in _rows(point)], caption="Time to result"),
                Table(
                    head=("network", "drive", "part", "measured ÷ clairvoyant", "images on a right plan", "period"),
                    rows=[_clairvoyant_row(point, results) for point in found],
                    caption="Against a clairvoyant",
                ),
            ],
        ),
        Section(title="What was measured", blocks=[Text(text=text) for text in _definitions(found)]),
        *(Section(title=drive_title(point.record.point), blocks=_drive(point)) for point in found),
    ]


def _definitions(found: Sequence[Read]) -> tuple[str, ...]:
    counts = sorted({len(point.by_arm) - 1 for point in found})
    return (
        "One image comes at every period of the drive, which the best plan can follow at its slowest rate; the "
        f"unit reads, preprocesses and infers it for real, by the same code as the agent's. At most {ROOM} images "
        "wait, then the camera waits too. The line has the recorded rate both ways; while that is 0 nothing moves "
        "and packets wait.",
        "vs_clairvoyant: the median over images of the time from begin to result ÷ the clairvoyant's. The "
        "clairvoyant begins the same image at the same moment, has the profiles that the unit plans with, knows "
        "the rate that the line is going to have, and takes the best cut and codec by the planner's arithmetic, "
        "the rate being integrated over the transfer. Its time is predicted, not measured: what the arithmetic "
        "leaves out (slow start, waiting threads) counts against the split. vs_clairvoyant_mean: the same as a "
        "ratio of means.",
        "vs_best_fixed: the split's mean time from image to result, waiting included, ÷ the least mean among the "
        f"fixed cuts; the median over drives. Fixed cuts ({' or '.join(map(str, counts))} for each drive: those "
        "predicted best over it, in a full run both ends as well, each with its best codec) really ran: the same "
        "part of the drive was replayed for each, one after the other, on a connection of its own. Where the link "
        "fails, they too finish alone.",
        f"A plan is right when its predicted time over the true rate is within {100 * TOLERANCE:.0f} % of the "
        "clairvoyant's. The heads in play were compiled before the drive began.",
    )


def _summary(results: Results) -> str:
    made = figures(results)
    if not made:
        return "No image of a planned stream had a result."
    return (
        f"A planned image took {made['vs_clairvoyant']:.2f} times as long as a clairvoyant's at the median, and "
        f"{made['vs_best_fixed']:.2f} times as long as the best single cut at the mean (median over drives; below 1, "
        f"the plan is faster). Of {made['images']:.0f} images {made['images_lost']:.0f} were lost and "
        f"{made['images_late']:.0f} late; {made['images_alone']:.0f} were finished by the unit alone because the link "
        "failed."
    )


def _rows(point: Read) -> list[tuple[str, ...]]:
    return [_row(point, arm, samples) for arm, samples in point.by_arm.items()]


def _row(point: Read, arm: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    times = sorted(sample.total_s for sample in samples if sample.ok)
    account = point.accounts[arm]
    if times:
        p95_s = times[min(int(0.95 * len(times)), len(times) - 1)]
        said = [format_time(statistics.fmean(times)), format_time(statistics.median(times)), format_time(p95_s)]
        against = trace_scores.mean_s(point.by_arm[SPLIT]) / statistics.fmean(times)
    else:
        said, against = ["–"] * 3, float("nan")
    counts = (account.images, account.alone, account.lost, account.late)
    where = (point.record.point.network, point.record.point.scenario)
    ratio = "" if arm == SPLIT else f"{against:.2f}"
    return (*where, _way(arm), *said, *(str(count) for count in counts), ratio)


def _way(arm: str) -> str:
    return "split as planned" if arm == SPLIT else f"cut {arm}"


def _clairvoyant_row(point: Read, results: Results) -> tuple[str, ...]:
    said = "–"
    if point.ratios:
        found = median_interval(point.ratios, seed=int(results.facts.get("seed", 1)))
        bounds = "" if found.low is None or found.high is None else f" ({found.low:.2f} to {found.high:.2f})"
        said = f"{found.value:.2f}{bounds}"
    where = (point.record.point.network, point.record.point.scenario, point.record.notes["scenario"]["note"])
    return (*where, said, f"{100 * point.right_share:.0f} %", format_time(point.record.notes["pace"]["period_s"]))


def _drive(point: Read) -> list[Figure | Text]:
    cuts = ", ".join(dict.fromkeys(title(o) for o in _clairvoyant_options(point)))
    times = {_way(arm): [s.total_s for s in found if s.ok] for arm, found in point.by_arm.items()}
    return [
        Figure(svg=stream_picture(point.record, point.by_arm[SPLIT], point.known, point.clairvoyant), caption=CAPTION),
        Text(text=f"The clairvoyant used: {cuts}. Best fixed cut: {point.best_fixed}."),
        Figure(
            svg=distribution(times, title="Every way over the same drive", x_label="time to result (s)", log_x=True),
            caption="One staircase for each way; further left is faster. A long tail to the right is the outage.",
        ),
    ]


def _clairvoyant_options(point: Read) -> list[Option]:
    by_key = {(option.cut, option.codec): option for option in point.known}
    return [by_key[seen.cut, seen.codec] for seen in point.clairvoyant]
