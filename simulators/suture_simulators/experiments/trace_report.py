"""What `trace` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.units import format_time
from suture_simulators.experiments import trace_scores
from suture_simulators.experiments.adapt_scores import TOLERANCE
from suture_simulators.experiments.clairvoyant import Option, title
from suture_simulators.experiments.page import Figure, Section, Table, Text
from suture_simulators.experiments.plots import distribution
from suture_simulators.experiments.streaming import CLAIRVOYANT, ROOM, SPLIT
from suture_simulators.experiments.timelines import CAPTION, drive_title, stream_picture
from suture_simulators.experiments.trace import ROUND_TURNS
from suture_simulators.experiments.trace_read import Read, read
from suture_simulators.experiments.types import Results, Sample

_CLAIRVOYANT_HEAD = (
    "network",
    "drive",
    "÷ clairvoyant",
    "÷ foreseen",
    "÷ best fixed policy",
    "met an outage",
    "on a right plan",
    "period",
)
_HEAD = (
    "network",
    "drive",
    "way",
    "mean",
    "median",
    "p95",
    "in outages",
    "images",
    "alone",
    "lost",
    "late",
    "plan ÷ it",
)


def figures(results: Results) -> dict[str, float]:
    """The flat figures. `vs_clairvoyant` and `vs_best_fixed` are those of the worst drive.

    A drive on which no image could be compared is in none but `drives_left_out`.
    """
    every = read(results)
    found = [point for point in every if point.pairs and point.pairs_foreseen and point.against]
    if not found:
        return {}
    against = [point.vs_best_fixed for point in found]
    made: dict[str, float] = {
        "vs_clairvoyant": max(point.vs_clairvoyant for point in found),
        "vs_clairvoyant_median": statistics.median(point.vs_clairvoyant for point in found),
        "vs_clairvoyant_mean": trace_scores.ratio_of_means([pair for point in found for pair in point.pairs]),
        "vs_foreseen": max(point.vs_foreseen for point in found),
        "vs_foreseen_median": statistics.median(point.vs_foreseen for point in found),
        "vs_best_fixed": max(against),
        "vs_best_fixed_median": statistics.median(against),
        "drives": len(found),
        "drives_left_out": len(every) - len(found),
        "drives_better_than_every_fixed": sum(ratio < 1 for ratio in against),
        "right_plan_share": statistics.fmean(point.right_share for point in found),
        "images_in_outages": sum(len(point.away_of(SPLIT)) for point in found),
    }
    away = [ratio for point in found if (ratio := point.vs_best_fixed_away) is not None and math.isfinite(ratio)]
    if away:
        made["vs_best_fixed_in_outages"] = max(away)
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
                    head=_CLAIRVOYANT_HEAD,
                    rows=[_clairvoyant_row(point) for point in found],
                    caption="Against a clairvoyant",
                ),
            ],
        ),
        Section(title="What was measured", blocks=[Text(text=text) for text in _definitions(found)]),
        *(Section(title=drive_title(point.record.point), blocks=_drive(point)) for point in found),
    ]


def _definitions(found: Sequence[Read]) -> tuple[str, ...]:
    counts = sorted({len(point.by_arm) - 2 for point in found})
    return (
        "One image comes at every period of the drive, which the best plan can follow at its slowest rate; the "
        f"unit reads, preprocesses and infers it for real, by the same code as the agent's. At most {ROOM} images "
        "wait, then the camera waits too. The line has the recorded rate both ways; while that is 0 nothing moves "
        "and packets wait.",
        "An image met an outage if the rate was 0 at any moment from when it came until its result. Two streams are "
        "compared over the images that met none in either. Of each stream the table gives the images of the turns "
        "whose planned one met none; the others are in the column of their own.",
        "vs_clairvoyant: the mean time from image to result ÷ the clairvoyant's; the figure is the worst drive's. "
        "The clairvoyant drives as well, from the same offset. It has the profiles that the unit plans with, knows the "
        "rate that the line is going to have, and takes the best cut and codec by the planner's arithmetic, the rate "
        "being integrated over the transfer; all the heads that it is going to want are ready. Neither it nor a fixed "
        "policy finishes an image on the unit beside a late answer, as the plan may. vs_foreseen: the plan's mean time "
        "from begin to result ÷ what that arithmetic foresees at the plan's own moments over an ideal line; what it "
        "leaves out (slow start, waiting threads) counts against the plan there.",
        "vs_best_fixed: the plan's mean time from image to result, waiting included, ÷ that of the fixed policy "
        "against which it does worst; the figure is the worst drive's. Fixed policies "
        f"({' or '.join(map(str, counts))} for each drive: the image upload and the edge alone in a full run, and the "
        "cuts predicted best over it, each with its best codec) really ran: each was replayed from the same offset of "
        "the drive, one after the other, on a connection of its own; in a full run twice, the second time in the "
        "opposite order, and means are over both (pictures show the first replay). Where the link fails, they too "
        "finish alone. The load is open: an image comes at "
        f"every period whether or not the one before has its result; it closes only when {ROOM} wait.",
        f"A plan is right when its predicted time over the true rate is within {100 * TOLERANCE:.0f} % of the "
        "clairvoyant's. Heads were ready before the drive began: a fixed cut's own; of the plan those of the cuts that "
        "are best most often over the drive, as many as a unit keeps, as in a unit that was on such a link before.",
    )


def _summary(results: Results) -> str:
    made = figures(results)
    if not made:
        return "No image of a planned stream had a result."
    return (
        f"Over {made['drives']:.0f} drives a planned image took {made['vs_clairvoyant_median']:.2f} times as long as a "
        f"clairvoyant's (median over drives; the worst {made['vs_clairvoyant']:.2f}), and "
        f"{made['vs_best_fixed_median']:.2f} times as long as with the best fixed policy of each drive (the worst "
        f"{made['vs_best_fixed']:.2f}; below 1 the plan is faster). It was faster than every fixed policy on "
        f"{made['drives_better_than_every_fixed']:.0f} of them. {made['images_in_outages']:.0f} of "
        f"{made['images']:.0f} images met an outage and are counted apart; {made['images_lost']:.0f} were lost, "
        f"{made['images_late']:.0f} late, {made['images_alone']:.0f} finished by the unit alone because the link "
        "failed."
    )


def _rows(point: Read) -> list[tuple[str, ...]]:
    return [_row(point, arm, samples) for arm, samples in point.by_arm.items()]


def _row(point: Read, arm: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    clear = point.clear_of(arm)
    times = sorted(sample.total_s for sample in clear if sample.ok)
    account = point.accounts[arm]
    if times:
        p95_s = times[min(int(0.95 * len(times)), len(times) - 1)]
        said = [format_time(statistics.fmean(times)), format_time(statistics.median(times)), format_time(p95_s)]
    else:
        said = ["–"] * 3
    away_s = trace_scores.mean_s(point.away_of(arm))
    said.append(format_time(away_s) if math.isfinite(away_s) else "–")
    counts = (len(samples), account.alone, account.lost, account.late)
    where = (point.record.point.network, point.record.point.scenario)
    against = {**point.against, **({CLAIRVOYANT: point.vs_clairvoyant} if point.pairs else {})}
    ratio = "" if arm == SPLIT else f"{against[arm]:.3f}" if arm in against else "–"
    return (*where, _way(arm), *said, *(str(count) for count in counts), ratio)


def _way(arm: str) -> str:
    if arm == SPLIT:
        return "as planned"
    cut, _, codec = arm.partition(" ")
    known = {CLAIRVOYANT: "clairvoyant", INPUT_CUT: f"image upload {codec}", LAST_CUT: "edge only"}
    return known.get(cut, f"cut {arm}")


def _clairvoyant_row(point: Read) -> tuple[str, ...]:
    return (
        point.record.point.network,
        point.record.point.scenario,
        f"{point.vs_clairvoyant:.3f}" if point.pairs else "–",
        f"{point.vs_foreseen:.3f}" if point.pairs_foreseen else "–",
        f"{point.vs_best_fixed:.2f} ({_way(point.best_fixed)})",
        str(len(point.away_of(SPLIT))),
        f"{100 * point.right_share:.0f} %",
        format_time(point.record.notes["pace"]["period_s"]),
    )


def _drive(point: Read) -> list[Figure | Text]:
    cuts = ", ".join(dict.fromkeys(title(o) for o in _clairvoyant_options(point)))
    times = {_way(arm): [s.total_s for s in found if s.ok] for arm, found in point.by_arm.items()}
    drawn = [sample for sample in point.by_arm[SPLIT] if sample.turn < ROUND_TURNS]
    return [
        Figure(svg=stream_picture(point.record, drawn, point.known, point.foreseen[: len(drawn)]), caption=CAPTION),
        Text(text=f"Replayed: {point.record.notes['scenario']['note']}."),
        Text(text=f"The clairvoyant used: {cuts}. Best fixed policy: {_way(point.best_fixed)}."),
        Figure(
            svg=distribution(times, title="Every way over the same drive", x_label="time to result (s)", log_x=True),
            caption="One staircase for each way; further left is faster. A long tail to the right is the outage.",
        ),
    ]


def _clairvoyant_options(point: Read) -> list[Option]:
    by_key = {(option.cut, option.codec): option for option in point.known}
    return [by_key[seen.cut, seen.codec] for seen in point.by_arm[CLAIRVOYANT] if (seen.cut, seen.codec) in by_key]
