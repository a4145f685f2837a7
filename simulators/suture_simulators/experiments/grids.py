"""Drawings over a grid of settings (rate × round trip, network × rate): a number or a name in each cell, as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from suture_simulators.experiments.canvas import INK, colour, figure, finish, readable, styled, to_svg

_LEAST_SPREAD: Final = 0.25


def heatmap(
    cells: Sequence[Sequence[float | None]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_names: Sequence[str],
    y_names: Sequence[str],
    value_label: str,
    form: Callable[[float], str] = "{:.3g}".format,
    centre: float | None = None,
) -> str:
    """Numbers as colours, and as numbers; rows from the top. Cells without a value stay white with a dash.

    Args:
        form: How a cell's number is written.
        centre: The value that is neither good nor bad, for a scale of two colours around it that reaches at least a
            quarter of it (of 1 where it is 0) each way.
    """
    known = [value for row in cells for value in row if value is not None and math.isfinite(value)]
    with styled() as library:
        made, axes = _grid_figure(library, x_names, y_names)
        # A scale of its own for every drawing would paint a difference of 1 % as dark as one of 100 %.
        spread = max([_LEAST_SPREAD * (abs(centre or 0.0) or 1.0), *(abs(value - (centre or 0.0)) for value in known)])
        least, most = min(known, default=0.0), max(known, default=1.0)
        limits = (least, most if most > least else least + 1) if centre is None else (centre - spread, centre + spread)
        shown = axes.imshow(
            [readable(row) for row in cells],
            cmap="PuOr_r" if centre is not None else "cividis_r",
            vmin=limits[0],
            vmax=limits[1],
            aspect="auto",
        )
        made.colorbar(shown, ax=axes, label=value_label, shrink=0.85)
        for y, row in enumerate(cells):
            for x, value in enumerate(row):
                text = "–" if value is None or not math.isfinite(value) else form(value)
                axes.text(x, y, text, ha="center", va="center", fontsize=9, color=_on(shown, value))
        _name_grid(axes, x_names, y_names)
        finish(made, axes, title, x_label, y_label, 0)
        return to_svg(made, f"{title}. {value_label} by {y_label} and {x_label}.")


def mosaic(
    cells: Sequence[Sequence[str]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_names: Sequence[str],
    y_names: Sequence[str],
) -> str:
    """Which of several things (the cut that won) holds where: a colour and its name in each cell; empty: nothing."""
    kinds = list(dict.fromkeys(cell for row in cells for cell in row if cell))
    with styled() as library:
        made, axes = _grid_figure(library, x_names, y_names)
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                paint = colour(kinds.index(cell)) if cell else "white"
                box = library.patches.Rectangle(
                    (x - 0.5, y - 0.5), 1, 1, facecolor=paint, alpha=0.35, edgecolor="white"
                )
                axes.add_patch(box)
                axes.text(x, y, _wrapped(cell) or "–", ha="center", va="center", fontsize=8.5, color=INK)
        axes.set_xlim(-0.5, len(x_names) - 0.5)
        axes.set_ylim(len(y_names) - 0.5, -0.5)
        _name_grid(axes, x_names, y_names)
        finish(made, axes, title, x_label, y_label, 0)
        return to_svg(made, f"{title}. By {y_label} and {x_label}: {', '.join(kinds)}.")


def _grid_figure(library: Any, x_names: Sequence[str], y_names: Sequence[str]) -> tuple[Any, Any]:
    made = figure(library, max(5.0, 2.6 + 0.95 * len(x_names)), max(2.4, 1.3 + 0.55 * len(y_names)))
    axes = made.subplots()
    axes.grid(visible=False)
    return made, axes


def _name_grid(axes: Any, x_names: Sequence[str], y_names: Sequence[str]) -> None:
    axes.set_xticks(range(len(x_names)), x_names)
    axes.set_yticks(range(len(y_names)), y_names)
    axes.tick_params(length=0)


def _on(shown: Any, value: float | None) -> str:
    """Ink that can be read on the cell's colour."""
    if value is None or not math.isfinite(value):
        return INK
    red, green, blue, _ = shown.cmap(shown.norm(value))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _wrapped(cell: str, width: int = 13) -> str:
    """A long name (`max_pool2d+relu_2`) on several lines, broken after its own separators."""
    lines = [""]
    for piece in re.findall(r"[^+_ ]*[+_ ]?", cell):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
