"""A profile as a drawing: time and payload of each cut, measured and predicted told apart, and the slowest layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suture.demo import svg
from suture.profiling import words
from suture_partitioner.types import CutTiming, Profile
from suture_protocol.units import format_size, format_time

_ROW: Final = 17.0
_BAR: Final = 11.0
_TOP: Final = 74.0
#: Left edge and width of the three columns: names, times, payloads.
_NAMES: Final = 200.0
_TIMES: Final = (208.0, 270.0)
_SIZES: Final = (566.0, 190.0)
_WIDTH: Final = 900.0
_LAYERS: Final = 15
_NAME_CHARACTERS: Final = 30
_PREDICTED: Final = svg.BAR


def drawing(profile: Profile, note: str = "") -> str:
    """The profile as an SVG file's text.

    Args:
        profile: What to draw.
        note: Said behind the network's name, for instance that its weights are random.
    """
    layers = words.slowest_layers(profile, _LAYERS)
    cuts_end = _TOP + _ROW * len(profile.cuts)
    height = cuts_end + 24 + (44 + _ROW * len(layers) if layers else 0)
    parts = [
        svg.text(16, 24, words.title(profile) + note, size=15, bold=True),
        *_legend(profile),
        *_cuts(profile),
        *(_slowest(profile, layers, cuts_end + 40) if layers else ()),
    ]
    return svg.document(_WIDTH, height, f"time and payload of each cut of {profile.network}", parts)


def _legend(profile: Profile) -> Iterator[str]:
    yield svg.text(16, 44, f"{words.coverage(profile)}; measured {profile.measured_at}", colour=svg.MUTED)
    yield svg.rect(_TIMES[0], _TOP - 20, 10, 10, svg.WINNER)
    yield svg.text(_TIMES[0] + 14, _TOP - 11, f"{words.part(profile)}, measured")
    yield svg.rect(_TIMES[0] + 130, _TOP - 20, 10, 10, _PREDICTED)
    yield svg.text(_TIMES[0] + 144, _TOP - 11, "predicted")
    yield svg.text(_SIZES[0], _TOP - 11, "payload, lossless; line: 5 to 95 % of inputs")


def _cuts(profile: Profile) -> Iterator[str]:
    longest_s = max(timing.compute_s for timing in profile.cuts.values()) or 1.0
    most_bytes = max((_span(timing)[2] for timing in profile.cuts.values()), default=0) or 1
    for place, (cut_id, timing) in enumerate(profile.cuts.items()):
        y = _TOP + place * _ROW
        yield _name(cut_id, y)
        left, width = _TIMES
        long = timing.compute_s / longest_s * (width - 70)
        yield svg.rect(left, y + 2, max(long, 0.7), _BAR, svg.WINNER if timing.samples else _PREDICTED)
        yield svg.text(left + long + 6, y + 11.5, format_time(timing.compute_s), size=10.5)
        yield from _payload(timing, y, most_bytes)


def _payload(timing: CutTiming, y: float, most_bytes: int) -> Iterator[str]:
    low, middle, high = _span(timing)
    if not high:
        yield svg.text(_SIZES[0], y + 11.5, "nothing is sent", size=10.5, colour=svg.MUTED)
        return
    left, width = _SIZES
    scale = width / most_bytes
    yield svg.rect(left, y + 2, middle * scale, _BAR, svg.MIDDLE)
    yield svg.line(left + low * scale, y + 7.5, left + high * scale, y + 7.5, svg.INK, 1.2)
    words_of = f"{format_size(middle)} ({words.lossless(timing)})"
    yield svg.text(left + max(middle, high) * scale + 6, y + 11.5, words_of, size=10.5)


def _span(timing: CutTiming) -> tuple[int, int, int]:
    """5th, 50th and 95th percentile of the smallest lossless payload; zeros where nothing is sent."""
    codec = words.lossless(timing)
    if codec is None:
        return 0, 0, 0
    sizes = timing.payload_quantiles_bytes[codec]
    return sizes[0], timing.payload_bytes[codec], sizes[-1]


def _slowest(profile: Profile, layers: list[tuple[str, float]], top: float) -> Iterator[str]:
    total_s = sum(profile.layers_s.values())
    heading = f"slowest of {words.layers_named(profile)} layers, at full speed"
    yield svg.text(16, top - 8, heading, bold=True)
    left, width = _TIMES
    for place, (name, seconds) in enumerate(layers):
        y = top + place * _ROW
        yield _name(name, y)
        long = seconds / layers[0][1] * (width - 70)
        yield svg.rect(left, y + 2, long, _BAR, svg.MUTED)
        yield svg.text(left + long + 6, y + 11.5, f"{format_time(seconds)}, {seconds / total_s:.0%}", size=10.5)


def _name(name: str, y: float) -> str:
    """A name at the end of its column; a long one keeps its end, where names differ."""
    shown = name if len(name) <= _NAME_CHARACTERS else f"…{name[1 - _NAME_CHARACTERS :]}"
    return svg.text(_NAMES, y + 11.5, shown, anchor="end", size=10.5)
