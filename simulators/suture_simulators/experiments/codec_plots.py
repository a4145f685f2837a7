"""The codec experiment's drawings: rows of dots over cuts, and what answers cost against what they weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from suture_simulators.experiments.canvas import MUTED, colour, figure, finish, marker, readable, scale, styled, to_svg
from suture_simulators.experiments.plots import Series


@dataclass(frozen=True, kw_only=True, slots=True)
class Dots:
    """One value a row, None where there is none; `hollow` for what is no way to send anything."""

    label: str
    values: Sequence[float | None]
    hollow: bool = False


def rows_of_dots(
    names: Sequence[str],
    series: Sequence[Dots],
    *,
    title: str,
    x_label: str,
    log_x: bool = True,
    reference: Mapping[str, float] | None = None,
) -> str:
    """A row for each name, one dot for each series in it.

    Args:
        names: Of the rows, the first on top.
        series: What the dots are, values in the order of the rows.
        title: Of the drawing.
        x_label: What the values are, with their unit.
        log_x: Whether by orders of magnitude.
        reference: Label → value of a dashed upright.
    """
    with styled() as library:
        made = figure(library, 8.6, 1.5 + 0.27 * len(names))
        axes = made.subplots()
        scale(axes, log_x, False)
        for place, one in enumerate(series):
            face = "none" if one.hollow else colour(place)
            axes.plot(
                readable(one.values), range(len(names)), linestyle="", marker=marker(place), markersize=6.5,
                color=colour(place), markerfacecolor=face, alpha=0.85, label=one.label,
            )  # fmt: skip
        for place, (label, value) in enumerate((reference or {}).items()):
            style = ("--", ":", "-.")[place % 3]
            axes.axvline(value, color=MUTED, linestyle=style, linewidth=1.2, label=label)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_ylim(len(names) - 0.4, -0.6)
        finish(made, axes, title, x_label, "", len(series) + len(reference or {}))
        shown = ", ".join(one.label for one in series)
        return to_svg(made, f"{title}. {x_label} of {shown}, at {', '.join(names)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighed:
    """A way, or a ladder of them: kilobytes and what it costs, with intervals; `points` name the steps."""

    series: Series
    line: bool = True
    points: Sequence[str] = field(default=())


def cost_over_bytes(
    ways: Sequence[Weighed], *, title: str, y_label: str, limit: float | None, level: Mapping[str, float]
) -> str:
    """Cost of answers over kilobytes: ladders as lines with bands, single points with bars for their intervals.

    Args:
        ways: What is drawn; kilobytes are in their series' x.
        title: Of the drawing.
        y_label: What the cost is.
        limit: Largest cost that is drawn; what is above leaves the drawing. None draws all.
        level: Label → cost of a dashed line across.
    """
    with styled() as library:
        made = figure(library, 9.2, 5.0)
        axes = made.subplots()
        scale(axes, True, False)
        for place, way in enumerate(ways):
            one, paint = way.series, colour(place)
            low, high = readable(one.low), readable(one.high)
            if way.line:
                axes.plot(one.x, readable(one.y), color=paint, marker=marker(place), label=one.label)
                axes.fill_between(one.x, low, high, color=paint, alpha=0.13, lw=0)
            else:
                axes.vlines(one.x, low, high, color=paint, linewidth=1.4)
                axes.plot(
                    one.x, readable(one.y), color=paint, marker=marker(place), markersize=8, linestyle="",
                    label=one.label,
                )  # fmt: skip
            for x, y, text in zip(one.x, one.y, way.points, strict=False):
                if y is not None and (limit is None or y <= limit):
                    axes.annotate(text, (x, y), xytext=(4, 5), textcoords="offset points", fontsize=8, color=paint)
        for label, y in level.items():
            axes.axhline(y, color=MUTED, linestyle="--", linewidth=1, label=label)
        if limit is not None:
            gains = any(low is not None and low < 0 for way in ways for low in way.series.low)
            axes.set_ylim(-limit / 2 if gains else -limit / 25, limit)
            axes.set_xlim(*_around(ways, limit))
        finish(made, axes, title, "KB an image, median", y_label, len(ways) + len(level))
        return to_svg(made, f"{title}. {y_label} over KB for {', '.join(way.series.label for way in ways)}.")


def _around(ways: Sequence[Weighed], limit: float) -> tuple[float, float]:
    """Ends of the axis of bytes that leave room for what costs no more than three times the limit."""
    near = [
        x for way in ways for x, y in zip(way.series.x, way.series.y, strict=True) if y is not None and y <= 3 * limit
    ]
    every = near or [x for way in ways for x in way.series.x]
    return 0.8 * min(every), 1.25 * max(every)
