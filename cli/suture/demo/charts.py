"""The report's two charts: bars of time to result by way, and predicted time against bandwidth for every cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture.demo import svg
from suture.demo.settings import ARM_TITLES, MIDDLE
from suture.demo.words import cut_title, won
from suture_protocol.units import format_rate, format_time

_RATES_BPS: Final = (0.5e6, 500e6)
_STEPS: Final = 80
#: way → shape and colour of its measured points
_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "split": ("circle", svg.WINNER),
    "image_upload": ("square", "#7a5aa8"),
    "edge_only": ("triangle", "#4c8c3f"),
    MIDDLE: ("diamond", svg.MIDDLE),
}


def bars(entry: Mapping[str, Any]) -> str:
    """Time to result by way for one link, network and study: medians as bars, all samples as ticks."""
    times = {**entry["times_s"], **({MIDDLE: entry["middle"]["time_s"]} if entry["middle"] else {})}
    width, left, right, top, row = 560.0, 116.0, 124.0, 6.0, 26.0
    longest = max(max(entry["samples"][way]) for way in times)
    scale = (width - left - right) / longest
    parts = []
    for place, (way, time_s) in enumerate(times.items()):
        y = top + place * row
        bold = won(entry, way)
        colour = svg.WINNER if bold else svg.MIDDLE if way == MIDDLE else svg.BAR
        parts.append(svg.text(left - 8, y + 15, ARM_TITLES[way], anchor="end", bold=bold))
        parts.append(svg.rect(left, y + 3, time_s * scale, 16, colour))
        parts += [
            svg.line(left + s * scale, y + 1, left + s * scale, y + 21, svg.INK, 0.7) for s in entry["samples"][way]
        ]
        end = left + max(time_s, *entry["samples"][way]) * scale
        parts.append(svg.text(end + 6, y + 15, f"{format_time(time_s)} (n = {len(entry['samples'][way])})", bold=bold))
    height = top + len(times) * row + 4
    parts.append(svg.line(left, top, left, height - 4, svg.MUTED))
    return svg.drawing(width, height, f"time to result by way, {entry['network']}, {entry['study']}", parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """A log-log frame: bandwidth along, time up."""

    low_s: float
    high_s: float
    left: float = 64.0
    top: float = 14.0
    width: float = 590.0
    height: float = 300.0

    def x(self, rate_bps: float) -> float:
        low, high = _RATES_BPS
        return self.left + self.width * math.log(rate_bps / low) / math.log(high / low)

    def y(self, time_s: float) -> float:
        return self.top + self.height * math.log(self.high_s / time_s) / math.log(self.high_s / self.low_s)

    def axes(self) -> Iterator[str]:
        bottom = self.top + self.height
        for rate_bps in (0.5e6, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6, 500e6):
            yield svg.line(self.x(rate_bps), self.top, self.x(rate_bps), bottom)
            yield svg.text(self.x(rate_bps), bottom + 16, f"{rate_bps / 1e6:g}", anchor="middle", colour=svg.MUTED)
        for time_s in _ticks(self.low_s, self.high_s):
            yield svg.line(self.left, self.y(time_s), self.left + self.width, self.y(time_s))
            yield svg.text(self.left - 8, self.y(time_s) + 4, format_time(time_s), anchor="end", colour=svg.MUTED)
        middle = self.left + self.width / 2
        yield svg.text(middle, bottom + 36, "bandwidth of the link in Mbit/s", anchor="middle", colour=svg.MUTED)


def curves(
    lines: Sequence[Mapping[str, Any]], before_s: float, rtt_s: float, entries: Sequence[Mapping[str, Any]]
) -> str:
    """Predicted time to result against bandwidth: every candidate cut, the best of them, and what was measured.

    Args:
        lines: Per candidate `cut`, `codec`, `payload_bytes`, `fixed_s`.
        before_s: Time of reading and preprocessing the study.
        rtt_s: Round trip.
        entries: The entries of one network and study, one per link.
    """
    rates = [_RATES_BPS[0] * (_RATES_BPS[1] / _RATES_BPS[0]) ** (i / _STEPS) for i in range(_STEPS + 1)]
    times = {(li["cut"], li["codec"]): [_time_s(li, before_s, rtt_s, r) for r in rates] for li in lines}
    best = [min(column) for column in zip(*times.values(), strict=True)]
    measured = list(_measured(entries))
    shown = [time_s for _, _, time_s in measured]
    # Far slower candidates would squeeze those that matter together.
    high_s = max(max(best) * 4, max(shown, default=0.0) * 1.3)
    frame = _Frame(low_s=min(min(best), min(shown, default=math.inf)) * 0.75, high_s=high_s)
    parts = list(frame.axes())
    for (cut, _), column in times.items():
        inner = [(frame.x(r), frame.y(t)) for r, t in zip(rates, column, strict=True) if t <= high_s]
        if len(inner) > 1:
            special = cut in ("0", "last")
            parts.append(
                svg.curve(inner, svg.MUTED if special else svg.MIDDLE, 1.4 if special else 0.9, 0.9 if special else 0.5)
            )
    parts.append(svg.curve([(frame.x(r), frame.y(t)) for r, t in zip(rates, best, strict=True)], svg.WINNER, 4, 0.45))
    parts += [svg.mark(frame.x(rate), frame.y(t), *_MARKS[way]) for way, rate, t in measured]
    parts += _labels(frame, lines, before_s, rtt_s)
    parts += _legend(frame)
    return svg.drawing(770, 420, "predicted and measured time to result against bandwidth", parts)


def envelope(lines: Sequence[Mapping[str, Any]], before_s: float, rtt_s: float) -> list[tuple[str, float, float]]:
    """Which cut is best over which rates: (cut, from bit/s, to bit/s), over the chart's span."""
    found: list[tuple[str, float, float]] = []
    for i in range(1001):
        rate = _RATES_BPS[0] * (_RATES_BPS[1] / _RATES_BPS[0]) ** (i / 1000)
        cut = min(lines, key=lambda li: _time_s(li, before_s, rtt_s, rate))["cut"]
        if found and found[-1][0] == cut:
            found[-1] = (cut, found[-1][1], rate)
        else:
            found.append((cut, rate, rate))
    return found


def envelope_text(lines: Sequence[Mapping[str, Any]], before_s: float, rtt_s: float) -> str:
    """The envelope in words."""
    spans = envelope(lines, before_s, rtt_s)
    if len(spans) == 1:
        return f"The planner's choice is the same at every bandwidth shown: cut {cut_title(spans[0][0])}."
    words = [f"cut {cut_title(cut)} from {format_rate(low)} to {format_rate(high)}" for cut, low, high in spans]
    return f"The planner's choice: {'; '.join(words)}."


def _time_s(li: Mapping[str, Any], before_s: float, rtt_s: float, rate_bps: float) -> float:
    away_s = 0.0 if li["cut"] == "last" else rtt_s + 8 * li["payload_bytes"] / rate_bps
    return float(before_s + li["fixed_s"] + away_s)


def _measured(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, float]]:
    for entry in entries:
        yield "image_upload", entry["rate_bps"], entry["times_s"]["image_upload"]
        if entry["middle"] is not None:
            yield MIDDLE, entry["rate_bps"], entry["middle"]["time_s"]
        yield "edge_only", entry["rate_bps"], entry["times_s"]["edge_only"]
        yield "split", entry["rate_bps"], entry["times_s"]["split"]


def _labels(frame: _Frame, lines: Sequence[Mapping[str, Any]], before_s: float, rtt_s: float) -> Iterator[str]:
    """Names of cut 0 and the last at the right edge, kept apart."""
    right = frame.left + frame.width + 8
    ends: list[tuple[float, str]] = []
    for cut in ("0", "last"):
        here = [_time_s(li, before_s, rtt_s, _RATES_BPS[1]) for li in lines if li["cut"] == cut]
        if here:
            ends.append((frame.y(min(here)) + 4, "cut 0: image" if cut == "0" else "last: unit"))
    y = -math.inf
    for wanted_y, words in sorted(ends):
        y = max(wanted_y, y + 15)
        yield svg.text(right, y, words, colour=svg.MUTED)


def _legend(frame: _Frame) -> Iterator[str]:
    y, x = frame.top + frame.height + 66, frame.left
    yield svg.line(x, y - 4, x + 22, y - 4, svg.WINNER, 4)
    yield svg.text(x + 28, y, "planner's choice")
    yield svg.line(x + 140, y - 4, x + 162, y - 4, svg.MIDDLE, 1)
    yield svg.text(x + 168, y, "middle cuts")
    x += 256
    for way, (shape, colour) in _MARKS.items():
        title = {"split": "split"}.get(way, ARM_TITLES[way])
        yield svg.mark(x, y - 4, shape, colour)
        yield svg.text(x + 10, y, title)
        x += 32 + 6.6 * len(title)
    yield svg.text(frame.left, y + 22, "lines: predicted from the profiles; points: measured", colour=svg.MUTED)


def _ticks(low_s: float, high_s: float) -> list[float]:
    span = high_s / low_s
    steps = (1, 3) if span > 30 else (1, 2, 5) if span > 8 else (1, 1.5, 2, 3, 4, 5, 7)
    decades = range(math.floor(math.log10(low_s)), math.ceil(math.log10(high_s)) + 1)
    return [step * 10.0**d for d in decades for step in steps if low_s <= step * 10.0**d <= high_s]
