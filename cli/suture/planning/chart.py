"""The drawing of `suture plan --plot`: time against bandwidth for every cut, the best of them, and the Pareto front."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from suture.demo import svg
from suture.planning.frame import Frame
from suture.planning.front import front_panel
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.candidate import Candidate
from suture_partitioner.explain import name_of
from suture_partitioner.plan import Crossover, Planner
from suture_partitioner.types import Choice, LinkEstimate, Plan
from suture_protocol.units import format_rate, format_time

_RATES_BPS: Final = (0.1e6, 1000e6)
_STEPS: Final = 160
_IMAGE: Final = "#7a5aa8"
_UNIT: Final = "#4c8c3f"
_WIDTH: Final = 1120.0
_ROW: Final = 19.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One cut's predicted time at every rate drawn, by its fastest codec and engine; `allowed` by the constraints."""

    cut_id: str
    times_s: tuple[float, ...]
    allowed: bool


def drawing(planner: Planner, plan: Plan, title: str, front: Sequence[Choice] = ()) -> str:
    """The SVG file's text.

    Args:
        planner: That made the plan.
        plan: For the chosen cut, at its link's bandwidth; the round trip is that of the link.
        title: What was planned, in words.
        front: The Pareto front, drawn below where given.
    """
    rtt_s = plan.link.rtt_s
    rates = [_RATES_BPS[0] * (_RATES_BPS[1] / _RATES_BPS[0]) ** (i / _STEPS) for i in range(_STEPS + 1)]
    curves = _curves(list(planner.ways), rates, rtt_s)
    best_s = [min(column) for column in zip(*(c.times_s for c in curves if c.allowed), strict=True)]
    highest_s = max(*best_s, plan.chosen.steps.total_s) * 4
    lowest_s = min(min(curve.times_s) for curve in curves) * 0.75
    frame = Frame(low=(_RATES_BPS[0], lowest_s), high=(_RATES_BPS[1], highest_s), left=84, top=64)
    parts = [
        svg.text(24, 30, title, size=16, bold=True),
        svg.text(24, 48, f"Predicted time to the result, round trip {format_time(rtt_s)}", colour=svg.MUTED),
        *frame.axes("bandwidth of the link in Mbit/s", format_time, lambda bps: f"{bps / 1e6:g}"),
    ]
    for curve in sorted(curves, key=lambda c: (c.allowed, c.cut_id in (INPUT_CUT, LAST_CUT))):
        parts += _drawn(curve, frame, rates, highest_s)
    points = [(frame.x(rate), frame.y(time_s)) for rate, time_s in zip(rates, best_s, strict=True)]
    parts.append(svg.curve(points, svg.WINNER, 5, 0.4))
    crossovers = [c for c in planner.crossovers(rtt_s=rtt_s) if _RATES_BPS[0] < c.bandwidth_bps < _RATES_BPS[1]]
    parts += _crossings(crossovers, frame)
    parts += _chosen(plan, frame)
    below = frame.bottom + 62
    legend = list(_legend(crossovers, below))
    height = below + (len(legend) + 1) * _ROW
    parts += [part for row in legend for part in row]
    if front:
        panel, height = front_panel(front, plan, top=height + 40)
        parts += panel
    return svg.document(_WIDTH, height + 16, title, parts)


def _curves(ways: Sequence[tuple[Candidate, str]], rates: Sequence[float], rtt_s: float) -> list[Curve]:
    by_cut: dict[str, list[tuple[Candidate, str]]] = {}
    for candidate, forbidden in ways:
        by_cut.setdefault(candidate.cut.id, []).append((candidate, forbidden))
    made = []
    for cut_id, here in by_cut.items():
        allowed = [candidate for candidate, forbidden in here if not forbidden]
        shown = allowed or [candidate for candidate, _ in here]
        links = [LinkEstimate(bandwidth_bps=rate, rtt_s=rtt_s) for rate in rates]
        times_s = tuple(min(candidate.total_s(link, 0.0) for candidate in shown) for link in links)
        made.append(Curve(cut_id=cut_id, times_s=times_s, allowed=bool(allowed)))
    return made


def _drawn(curve: Curve, frame: Frame, rates: Sequence[float], highest_s: float) -> Iterator[str]:
    inner = [(frame.x(r), frame.y(t)) for r, t in zip(rates, curve.times_s, strict=True) if t <= highest_s]
    if len(inner) < 2:
        return
    colour = {INPUT_CUT: _IMAGE, LAST_CUT: _UNIT}.get(curve.cut_id, svg.MIDDLE)
    special = curve.cut_id in (INPUT_CUT, LAST_CUT)
    if not curve.allowed:
        yield svg.curve(inner, svg.BAR, 1, 0.8)
    else:
        yield svg.curve(inner, colour, 1.8 if special else 1, 0.95 if special else 0.45)


def _crossings(crossovers: Sequence[Crossover], frame: Frame) -> Iterator[str]:
    """A mark at each crossover, and the stretches between them numbered where they are wide enough."""
    edges = [frame.low[0], *(c.bandwidth_bps for c in crossovers), frame.high[0]]
    for crossover in crossovers:
        x, y = frame.x(crossover.bandwidth_bps), frame.y(crossover.below.steps.total_s)
        yield svg.line(x, y, x, frame.bottom, svg.WINNER, 0.7)
        yield svg.mark(x, y, "circle", svg.WINNER, 4.5)
    for number, (left, right) in enumerate(itertools.pairwise(edges) if crossovers else (), start=1):
        x = (frame.x(left) + frame.x(right)) / 2
        if frame.x(right) - frame.x(left) >= 12:
            yield svg.text(x, frame.bottom - 8, str(number), anchor="middle", colour=svg.WINNER, bold=True)


def _chosen(plan: Plan, frame: Frame) -> Iterator[str]:
    rate_bps, time_s = plan.link.bandwidth_bps, plan.chosen.steps.total_s
    if not frame.low[0] <= rate_bps <= frame.high[0]:
        return
    x, y = frame.x(rate_bps), frame.y(time_s)
    yield svg.line(x, frame.top, x, frame.bottom, svg.INK, 0.8)
    yield svg.mark(x, y, "diamond", svg.INK, 6)
    anchor, dx = ("end", -10) if x > frame.left + frame.width / 2 else ("start", 10)
    words = f"{name_of(plan.chosen)}: {format_time(time_s)} at {format_rate(rate_bps)}"
    yield svg.text(x + dx, frame.top + 14, words, anchor=anchor, bold=True)


def _legend(crossovers: Sequence[Crossover], top: float) -> Iterator[list[str]]:
    """One row for each stretch of the envelope, and a last one for the colours."""
    kinds = (
        ("best at each bandwidth", svg.WINNER, 4),
        ("the image (cut 0)", _IMAGE, 1.8),
        ("a cut inside the network", svg.MIDDLE, 1),
        ("all on the unit", _UNIT, 1.8),
        ("forbidden by a constraint", svg.BAR, 1),
    )
    row, x = [], 84.0
    for words, colour, width in kinds:
        row += [svg.line(x, top - 4, x + 22, top - 4, colour, width), svg.text(x + 28, top, words)]
        x += 52 + 7.2 * len(words)
    yield row
    if not crossovers:
        yield [svg.text(84, top + _ROW, "The fastest is the same at every bandwidth.")]
        return
    named = [crossovers[0].below, *(c.above for c in crossovers)]
    edges = [0.0, *(c.bandwidth_bps for c in crossovers), math.inf]
    for number, (choice, (low, high)) in enumerate(zip(named, itertools.pairwise(edges), strict=True), start=1):
        y = top + number * _ROW
        span = f"above {format_rate(low)}" if high == math.inf else f"up to {format_rate(high)}"
        yield [
            svg.text(84, y, str(number), colour=svg.WINNER, bold=True),
            svg.text(108, y, span),
            svg.text(250, y, name_of(choice)),
        ]
