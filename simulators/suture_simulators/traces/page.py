"""Pictures of traces: a line of blocks for a terminal, and one self-contained page with a plot of each."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from suture_protocol.errors import UsageError
from suture_protocol.units import format_rate, format_share, format_time
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.library import TraceRecord, trace_facts

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 180, 70, 24
_POINTS = 1500
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; color: #222 }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #555 }
.small { color: #555; font-size: 13px } h2 { margin-bottom: 0 }
"""


def sparkline(trace: RateTrace, width: int = 24) -> str:
    """The rate over one period in `width` blocks; a blank is an outage."""
    means = _means(trace, width)
    top = max(means)
    return "".join(_BLOCKS[0 if mean <= 0 else max(1, round(mean / top * (len(_BLOCKS) - 1)))] for mean in means)


def write_page(records: Sequence[TraceRecord], directory: Path) -> Path:
    """Writes `traces.html` with a plot, the figures and the terms of each trace; returns its path.

    Raises:
        UsageError: it cannot be written there.
    """
    parts = [f"<!doctype html><meta charset=utf-8><title>Recorded links</title><style>{_STYLE}</style>"]
    parts.append("<h1>Recorded links</h1>")
    parts += [_section(record) for record in records]
    path = directory / "traces.html"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot write the plots there: {error.strerror}") from error
    return path


def _section(record: TraceRecord) -> str:
    facts, terms = trace_facts(record.trace), record.terms
    figures = (
        f"{format_time(facts.duration_s)}; mean {format_rate(facts.mean_bps)}, from {format_rate(facts.min_bps)} to "
        f"{format_rate(facts.max_bps)}; without any rate {format_share(facts.outage_share)} of the time"
    )
    lines = [f"<h2>{html.escape(record.trace.name)}</h2>", f"<p>{html.escape(figures)}</p>", _plot(record.trace)]
    said = [terms.get("what", ""), terms.get("origin", ""), terms.get("licence", ""), terms.get("citation", "")]
    lines += [f"<p class=small>{html.escape('. '.join(filter(None, [*said, record.trace.read_as])))}</p>"]
    return "\n".join(lines)


def _plot(trace: RateTrace) -> str:
    top_bps = _round_up(max(rate for _, rate in trace.steps))
    across = (_WIDTH - _LEFT) / trace.period_s
    up = (_HEIGHT - _BOTTOM - 10) / top_bps
    base = _HEIGHT - _BOTTOM
    path = []
    steps = _thinned(trace)
    for (at_s, rate), (end_s, _) in zip(steps, [*steps[1:], (trace.period_s, 0.0)], strict=True):
        y = base - rate * up
        path.append(f"{_LEFT + at_s * across:.1f},{y:.1f} {_LEFT + end_s * across:.1f},{y:.1f}")
    marks = []
    for part in (0, 0.5, 1):
        y, x = base - part * top_bps * up, _LEFT + part * trace.period_s * across
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        marks.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{format_rate(part * top_bps)}</text>')
        anchor = {0: "start", 0.5: "middle", 1: "end"}[part]
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{part * trace.period_s:.0f} s</text>')
    line = f'<polyline points="{" ".join(path)}" fill="none" stroke="#1463a5" stroke-width="1.2"/>'
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(marks)}{line}</svg>'


def _thinned(trace: RateTrace) -> Sequence[tuple[float, float]]:
    """Its steps, or the means of as many as a plot shows."""
    if len(trace.steps) <= _POINTS:
        return trace.steps
    width_s = trace.period_s / _POINTS
    return [(index * width_s, mean) for index, mean in enumerate(_means(trace, _POINTS))]


def _means(trace: RateTrace, count: int) -> list[float]:
    """Mean rates of `count` equal parts of the period."""
    starts_s = np.array([at_s for at_s, _ in trace.steps] + [trace.period_s])
    bits = np.concatenate([[0.0], np.cumsum(np.diff(starts_s) * [rate for _, rate in trace.steps])])
    edges_s = np.linspace(0.0, trace.period_s, count + 1)
    return [float(mean) for mean in np.diff(np.interp(edges_s, starts_s, bits)) / (trace.period_s / count)]


def _round_up(rate_bps: float) -> float:
    """The next of 1, 2, 5, 10, 20 …"""
    power = 1.0
    while power * 10 <= rate_bps:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rate_bps)
