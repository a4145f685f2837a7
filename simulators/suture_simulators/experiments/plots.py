"""The drawings of experiment reports, each a function from plain data to an inline SVG.

Nothing here computes a statistic: intervals come in with the data, in the units that the labels name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from suture_simulators.experiments.canvas import (
    INK,
    MUTED,
    colour,
    figure,
    finish,
    marker,
    readable,
    scale,
    styled,
    to_svg,
)
from suture_simulators.experiments.statistics import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points in the order of x; y is None where there is none. `low` and `high`, where given, are drawn as a band."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """What one panel of a timeline shows: a line, steps that hold until the next, or dots.

    `lost` marks the moments without a value, as crosses along the panel's upper edge; its y is not looked at.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None] = ()
    kind: Literal["line", "steps", "dots", "lost"] = "line"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One panel of a timeline. `names` label the whole numbers from 0 up where y counts things (cuts)."""

    y_label: str
    tracks: Sequence[Track]
    names: Sequence[str] = ()
    log_y: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)


def lines(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    verticals: Mapping[str, float] | None = None,
    crossing_of: str = "",
) -> str:
    """Lines with markers, intervals as bands.

    Args:
        verticals: Label → x of a dashed upright.
        crossing_of: Label of the series whose crossings with every other one are marked with their x.
    """
    with styled() as library:
        made = figure(library, 7.6, 4.3)
        axes = made.subplots()
        scale(axes, log_x, log_y)
        for place, one in enumerate(series):
            axes.plot(one.x, readable(one.y), color=colour(place), marker=marker(place), label=one.label)
            if len(one.low) and len(one.high):
                axes.fill_between(one.x, readable(one.low), readable(one.high), color=colour(place), alpha=0.18, lw=0)
        marked = _mark_crossings(axes, series, crossing_of, log_x=log_x, log_y=log_y)
        for name, x in (verticals or {}).items():
            axes.axvline(x, color=MUTED, linestyle="--", linewidth=1)
            axes.text(
                x,
                0.99,
                f" {name}",
                transform=axes.get_xaxis_transform(),
                fontsize=9,
                color=MUTED,
                va="top",
                rotation=90,
            )
        finish(made, axes, title, x_label, y_label, len(series))
        shown = ", ".join(one.label for one in series)
        return to_svg(made, f"{title}. {y_label} over {x_label} for {shown}.{marked}")


def timeline(
    panels: Sequence[Panel], *, title: str, x_label: str = "time (s)", spans: Sequence[tuple[float, float]] = ()
) -> str:
    """Panels under each other that share the time axis; `spans` (outages) are shaded through all of them."""
    with styled() as library:
        made = figure(library, 9.4, 1.0 + 2.0 * len(panels))
        rows = made.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            for start, end in spans:
                axes.axvspan(start, end, color=MUTED, alpha=0.14, lw=0)
            for place, track in enumerate(panel.tracks):
                _draw_track(axes, track, place)
            for name, y in panel.limits.items():
                axes.axhline(y, color=MUTED, linestyle="--", linewidth=1, label=name)
            if panel.log_y:
                scale(axes, False, True)
            if panel.names:
                axes.set_yticks(range(len(panel.names)), panel.names, fontsize=8.5)
                axes.set_ylim(-0.5, len(panel.names) - 0.5)
            axes.set_ylabel(panel.y_label)
            if len(panel.tracks) + len(panel.limits) > 1:
                axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        rows[0].set_title(title)
        rows[-1].set_xlabel(x_label)
        shown = "; ".join(f"{p.y_label}: {', '.join(t.label for t in p.tracks)}" for p in panels)
        return to_svg(made, f"{title}. Over {x_label}: {shown}.")


def scatter(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, log: bool = False, identity: bool = True
) -> str:
    """Dots, by default with the line on which measured equals predicted."""
    with styled() as library:
        made = figure(library, 5.8, 5.2 if identity else 4.3)
        axes = made.subplots()
        scale(axes, log, log)
        for place, one in enumerate(series):
            axes.plot(
                one.x, readable(one.y), color=colour(place), marker=marker(place), linestyle="", alpha=0.75,
                label=one.label,
            )  # fmt: skip
        ends = [value for one in series for value in (*one.x, *one.y) if value is not None]
        if identity and ends:
            low, high = min(ends), max(ends)
            axes.plot([low, high], [low, high], color=MUTED, linestyle="--", linewidth=1, label="equal")
        finish(made, axes, title, x_label, y_label, len(series) + identity)
        return to_svg(made, f"{title}. {y_label} against {x_label}, {sum(len(one.x) for one in series)} dots.")


def bars(
    groups: Mapping[str, Mapping[str, Interval]],
    *,
    title: str,
    value_label: str,
    log: bool = False,
    reference: float | None = None,
) -> str:
    """Lying bars with their intervals: group → name → value. The same name has the same colour in every group."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    rows = [(group, name, value) for group, members in groups.items() for name, value in members.items()]
    with styled() as library:
        made = figure(library, 7.6, 1.3 + 0.3 * len(rows) + 0.15 * len(groups))
        axes = made.subplots()
        scale(axes, log, False)
        y, unnamed = 0.0, set(names)
        middles: list[float] = []
        for members in groups.values():
            middles.append(y + (len(members) - 1) / 2)
            for name, value in members.items():
                _bar(axes, y, value, colour(names.index(name)), name if name in unnamed else "")
                unnamed.discard(name)
                y += 1
            y += 0.6
        axes.set_yticks(middles, list(groups))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        if reference is not None:
            axes.axvline(reference, color=MUTED, linestyle="--", linewidth=1)
        finish(made, axes, title, value_label, "", len(names))
        said = "; ".join(f"{group}, {name}: {value.value:.3g}" for group, name, value in rows)
        return to_svg(made, f"{title}. {value_label}. {said}.")


def distribution(samples: Mapping[str, Sequence[float]], *, title: str, x_label: str, log_x: bool = False) -> str:
    """The share of samples at or below each value, one staircase for each name."""
    with styled() as library:
        made = figure(library, 7.6, 4.0)
        axes = made.subplots()
        scale(axes, log_x, False)
        for place, (name, values) in enumerate(samples.items()):
            if len(values):
                axes.ecdf(list(values), color=colour(place), linestyle=("-", "--", "-.", ":")[place % 4], label=name)
        axes.set_ylim(0, 1.02)
        finish(made, axes, title, x_label, "share of samples", len(samples))
        return to_svg(made, f"{title}. Cumulative distribution of {x_label} for {', '.join(samples)}.")


def crossings(first: Series, second: Series, *, log_x: bool = False, log_y: bool = False) -> list[tuple[float, float]]:
    """Where two series cross, by straight lines between their common points (straight on the axes that are drawn).

    Where intervals are given, lines that change places within them do not count: before a crossing and after it there
    has to be a point at which the intervals are apart, in one order and in the other.
    """
    to_x, from_x = (math.log, math.exp) if log_x else (float, float)
    to_y, from_y = (math.log, math.exp) if log_y else (float, float)
    ours, theirs = _known(first), _known(second)
    shared = sorted(ours.keys() & theirs.keys())
    gaps = [to_y(ours[x][1]) - to_y(theirs[x][1]) for x in shared]
    orders = [_order(ours[x], theirs[x]) for x in shared]
    found: list[tuple[float, float]] = []
    last = None
    for place, gap in enumerate(gaps):
        if gap == 0:
            continue
        if last is not None and gaps[last] * gap < 0:
            before = next((order for order in reversed(orders[:place]) if order), 0)
            after = next((order for order in orders[last + 1 :] if order), 0)
            if before * gaps[last] > 0 and after * gap > 0:
                # Between the last point apart and the next; where they touch in between, that touch.
                share = gaps[last] / (gaps[last] - gaps[last + 1])
                x0, x1 = to_x(shared[last]), to_x(shared[last + 1])
                y0, y1 = to_y(ours[shared[last]][1]), to_y(ours[shared[last + 1]][1])
                found.append((from_x(x0 + share * (x1 - x0)), from_y(y0 + share * (y1 - y0))))
        last = place
    return found


def _known(series: Series) -> dict[float, tuple[float, float, float]]:
    """x → low, y, high, where there is a y; all three are y in a series without intervals, open where one lacks."""
    found = {}
    for place, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if y is not None:
            low = series.low[place] if len(series.low) else y
            high = series.high[place] if len(series.high) else y
            found[x] = (-math.inf if low is None else low, y, math.inf if high is None else high)
    return found


def _order(one: tuple[float, float, float], other: tuple[float, float, float]) -> int:
    """1 where the first interval is above the second, -1 where below, 0 where they share values."""
    return int(one[0] > other[2]) - int(one[2] < other[0])


def _mark_crossings(axes: Any, series: Sequence[Series], label: str, *, log_x: bool, log_y: bool) -> str:
    """Marks and names them; says the same in words."""
    first = next((one for one in series if one.label == label), None)
    if first is None:
        return ""
    said = ""
    for other in series:
        for x, y in crossings(first, other, log_x=log_x, log_y=log_y) if other is not first else ():
            axes.plot([x], [y], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK, linestyle="")
            axes.annotate(
                f"{x:.3g}", (x, y), xytext=(7, 7), textcoords="offset points", fontsize=9, fontweight="bold", color=INK
            )
            said += f" {first.label} and {other.label} cross at {x:.3g}."
    return said


def _draw_track(axes: Any, track: Track, place: int) -> None:
    if track.kind == "lost":
        axes.plot(
            track.x, [0.96] * len(track.x), transform=axes.get_xaxis_transform(), color="#b3261e", marker="x",
            markersize=7, markeredgewidth=1.8, linestyle="", label=track.label,
        )  # fmt: skip
        return
    styles: dict[str, dict[str, Any]] = {
        "line": {"linewidth": 1.4},
        "steps": {"drawstyle": "steps-post", "linewidth": 1.8},
        "dots": {"linestyle": "", "marker": marker(place), "markersize": 3.5, "alpha": 0.8},
    }
    axes.plot(track.x, readable(track.y), color=colour(place), label=track.label, **styles[track.kind])


def _bar(axes: Any, y: float, value: Interval, paint: str, label: str) -> None:
    axes.barh(y, value.value, height=0.82, color=paint, alpha=0.75, label=label or None)
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [y, y], color=INK, linewidth=1.6)
    furthest = value.value if value.high is None else max(value.high, value.value)
    axes.annotate(
        f"{value.value:.3g}", (furthest, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
    )
