"""The page of `bench_bottleneck.py`: operating points, the curve, and in plain words who dominates where."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bottleneck_arms import Arm
from bottleneck_tasks import Interval, Task

from suture_models.bundle import Bundle

#: Median seconds of the head with the encoder and of the plain one, by round.
HeadTimes = Sequence[tuple[float, float]]

#: What speaks for the rivals and is not measured here.
_CAVEAT = "The network was not trained on compressed pictures; one that was would lose less to low qualities."
_LAST_CUT = "Not in the table: the last cut, which sends the answer alone, for all of the network's work on the unit."


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """An operating point: a bundle with a bottleneck, what it gives, and what its head costs."""

    bundle: Bundle
    arm: Arm
    times: HeadTimes

    @property
    def time_ratio(self) -> float:
        return statistics.median(ours / plain for ours, plain in self.times)


def point_lines(task: Task, points: Sequence[Point], whole: Arm, limits: str) -> list[str]:
    """A row for each operating point."""
    name = task.figure_name
    lines = [
        f"| bundle | cut | weights | {name} | {name} loss (95 %) | bytes, median (max) | other coders, median bytes "
        "| head, ms | plain head, ms | ratio (rounds) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for point in points:
        arm, built = point.arm, point.bundle.manifest.built_with
        ours, plain = (statistics.median(r[place] for r in point.times) * 1e3 for place in (0, 1))
        ratios = [a / b for a, b in point.times]
        lines.append(
            f"| {point.bundle.path.name} | behind `{built['bottleneck_cut']}` | `{built['bottleneck_sha256'][:12]}` "
            f"| {task.of(arm.values_N):.4f} | {_interval(task.difference(whole.values_N, arm.values_N))} "
            f"| {arm.median_bytes:.0f} ({arm.sizes_N.max()}) | {arm.note} "
            f"| {ours:.3f} | {plain:.3f} | {point.time_ratio:.3f} ({min(ratios):.3f}-{max(ratios):.3f}) |"
        )
    coder = "Bytes: the payload of `lossless-small` with the bundle's tables, as it would cross; decoded and compared."
    return [*lines, "", coder, limits]


def curve_lines(task: Task, arms: Sequence[Arm], whole: Arm) -> list[str]:
    """All arms by their bytes."""
    name = task.figure_name
    lines = [f"The float network on the images as they are: {name} {task.of(whole.values_N):.4f}.", ""]
    lines += [f"| sent | bytes, median (max) | {name} | {name} loss (95 %) |", "|---|---|---|---|"]
    for arm in sorted(arms, key=lambda arm: arm.median_bytes):
        shown = arm.name if arm.rival else f"**{arm.name}**"
        loss = _interval(task.difference(whole.values_N, arm.values_N))
        cells = f"{arm.median_bytes:.0f} ({arm.sizes_N.max()}) | {task.of(arm.values_N):.4f} | {loss}"
        lines.append(f"| {shown} | {cells} |")
    return [*lines, "", _CAVEAT]


def verdict_lines(task: Task, points: Sequence[Arm], rivals: Sequence[Arm]) -> list[str]:
    """For each operating point: up to how many bytes nothing comes near it, and what each kind of rival takes."""
    lines = ["Beyond chance: the paired 95 % interval of the difference leaves out 0; not corrected for their number."]
    front = ", ".join(f"{arm.name} ({arm.median_bytes:.0f})" for arm in _front(task, [*points, *rivals]))
    lines += ["", f"The front, where nothing of fewer bytes is as good, with median bytes: {front}.", ""]
    kinds = {kind: [r for r in rivals if r.rival == kind] for kind in dict.fromkeys(r.rival for r in rivals)}
    for point in points:
        lines += [_overall(task, point, rivals), ""]
        lines += [f"- {_against(task, point, kind, arms)}" for kind, arms in kinds.items()]
        lines.append("")
    return [*lines, _LAST_CUT]


def _front(task: Task, arms: Sequence[Arm]) -> list[Arm]:
    found: list[Arm] = []
    for arm in sorted(arms, key=lambda arm: (arm.median_bytes, -task.of(arm.values_N))):
        if not found or task.of(arm.values_N) > task.of(found[-1].values_N):
            found.append(arm)
    return found


def _overall(task: Task, point: Arm, rivals: Sequence[Arm]) -> str:
    """Where the point dominates all rivals together, said plainly."""
    gains = {r.name: task.difference(point.values_N, r.values_N) for r in rivals}
    name = f"**{point.name}** ({point.median_bytes:.0f} bytes, {task.figure_name} {task.of(point.values_N):.4f})"
    by_bytes = sorted(rivals, key=lambda r: r.median_bytes)
    close = [r for r in by_bytes if gains[r.name][1] <= 0]
    cheaper = [r for r in close if r.median_bytes <= point.median_bytes]
    ahead = [r for r in by_bytes if gains[r.name][2] < 0]
    beaten = len(rivals) - len(close)
    if cheaper:
        text = f"**dominates nowhere**: {_named(cheaper[0], gains)} takes no more bytes and is not worse beyond chance"
    elif close:
        until = f"from its {point.median_bytes:.0f} bytes to {close[0].median_bytes:.0f}"
        text = f"**dominates {until}**: all rivals of fewer bytes than that are worse beyond chance. The first that "
        text += f"is not: {_named(close[0], gains)}"
    else:
        text = "**dominates at every number of bytes tried**: all rivals are worse beyond chance"
    if ahead:
        last = f"better beyond chance: {len(ahead)}, the cheapest of them {_named(ahead[0], gains)}"
    else:
        last = "better beyond chance: none, whatever it takes"
    return f"{name} {text}. Of {len(rivals)} rivals worse beyond chance: {beaten}; {last}."


def _named(arm: Arm, gains: dict[str, Interval]) -> str:
    return f"{arm.name} ({arm.median_bytes:.0f} bytes; the bottleneck's less its own {_interval(gains[arm.name])})"


def _against(task: Task, point: Arm, kind: str, arms: Sequence[Arm]) -> str:
    """What one kind of rival takes to be as good, and how the next dearer of its settings compares."""
    name, figure = task.figure_name, task.of(point.values_N)
    as_good = [arm for arm in arms if task.of(arm.values_N) >= figure]
    if as_good:
        cheapest = min(as_good, key=lambda arm: arm.median_bytes)
        factor = cheapest.median_bytes / point.median_bytes
        first = f"the same {name} takes {cheapest.median_bytes:.0f} bytes, {factor:.2g} x as many"
    else:
        first = f"its {name} is reached at none of the settings tried"
    dearer = [arm for arm in arms if arm.median_bytes >= point.median_bytes]
    if not dearer:
        return f"{kind}: {first}; all its settings take fewer bytes."
    near = min(dearer, key=lambda arm: arm.median_bytes)
    gain = task.difference(point.values_N, near.values_N)
    word = "better beyond chance" if gain[1] > 0 else "worse beyond chance" if gain[2] < 0 else "no clear difference"
    return f"{kind}: {first}; against {near.name} ({near.median_bytes:.0f} bytes) {name} {_interval(gain)}, {word}."


def _interval(found: Interval) -> str:
    value, low, high = found
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
