"""The Pareto front as a drawing: time against energy, or against the cloud's time, with payload and changed answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from suture.demo import svg
from suture.planning.frame import Frame
from suture_partitioner.explain import name_of
from suture_partitioner.types import Choice, Plan
from suture_protocol.units import format_size, format_time

_SMALLEST, _LARGEST = 3.5, 13.0


def front_panel(front: Sequence[Choice], plan: Plan, top: float) -> tuple[list[str], float]:
    """The panel's parts from `top` downwards, and where it ends.

    Up the frame runs the energy where there is a power model, else the cloud's time; a choice that takes none of it
    lies on the frame's floor.
    """
    energy = front[0].energy_j is not None
    up: Callable[[Choice], float] = _energy_j if energy else _cloud_s
    words: Callable[[float], str] = (lambda j: f"{j:.3g} J") if energy else format_time
    times = [choice.steps.total_s for choice in front]
    values = [up(choice) for choice in front if up(choice) > 0] or [1.0]
    (left, right), (bottom, highest) = _around(times), _around(values)
    frame = Frame(low=(left, bottom), high=(right, highest), left=84, top=top + 34, height=300)
    what = "energy of the unit for an image" if energy else "the cloud's time for an image"
    parts = [
        svg.text(24, top, "Pareto front", size=14, bold=True),
        svg.text(
            24,
            top + 18,
            f"Up: {what}. Larger dots send more ({_span(front)}); orange ones change answers by narrowed codes.",
            colour=svg.MUTED,
        ),
        *frame.axes("predicted time to the result", words, format_time),
    ]
    largest = max(choice.payload_bytes for choice in front) or 1
    for choice in sorted(front, key=lambda c: -c.payload_bytes):
        x, y = frame.x(choice.steps.total_s), frame.y(max(up(choice), bottom))
        size = _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(choice.payload_bytes / largest)
        parts.append(svg.mark(x, y, "circle", svg.MIDDLE if choice.changed_share else svg.WINNER, size))
    parts += _names(front, plan, frame, up, bottom)
    return parts, frame.bottom + 44


def _names(
    front: Sequence[Choice], plan: Plan, frame: Frame, up: Callable[[Choice], float], floor: float
) -> Sequence[str]:
    """The chosen, the fastest and the most sparing by name; the others would hide one another."""
    parts = []
    same = [c for c in front if c.steps == plan.chosen.steps and c.codec == plan.chosen.codec]
    least = "least energy" if front[0].energy_j is not None else "least of the cloud"
    named = {"chosen": same[0] if same else None, "fastest": front[0], least: min(front, key=up)}
    told: dict[tuple[str, str, str], list[str]] = {}
    for title, choice in named.items():
        if choice is not None:
            told.setdefault((choice.cut_id, choice.codec, choice.variant_id), []).append(title)
    for choice in front:
        titles = told.get((choice.cut_id, choice.codec, choice.variant_id))
        if titles:
            x, y = frame.x(choice.steps.total_s), frame.y(max(up(choice), floor))
            anchor, dx = ("end", -16) if x > frame.left + frame.width / 2 else ("start", 16)
            parts.append(svg.text(x + dx, y - 8, f"{', '.join(titles)}: {name_of(choice)}", anchor=anchor, bold=True))
    return parts


def _around(values: Sequence[float]) -> tuple[float, float]:
    """From a little below the least to a little above the largest, and over a factor of three at least."""
    low, high = min(values) / 1.2, max(values) * 1.2
    wider = max(math.sqrt(3 * low / high), 1.0)
    return low / wider, high * wider


def _span(front: Sequence[Choice]) -> str:
    sizes = [choice.payload_bytes for choice in front]
    return f"{format_size(min(sizes))} to {format_size(max(sizes))}"


def _energy_j(choice: Choice) -> float:
    return choice.energy_j or 0.0


def _cloud_s(choice: Choice) -> float:
    return choice.cloud_s
