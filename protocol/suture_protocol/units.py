"""Rates, times, sizes and shares as people write them (`20mbit`, `40ms`, `64kb`, `1%`), read and written. SI.

Rates are in bits, sizes in bytes, as in every message of Suture; a rate in bytes is refused rather than guessed at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-zµμ%/]*)\s*", re.ASCII)

_PREFIXES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_IEC: Final = {"ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}

_RATES: Final[Mapping[str, float]] = {
    prefix + suffix: factor
    for prefix, factor in _PREFIXES.items()
    for suffix in ("bit", "bits", "bit/s", "bits/s", "bps", "b/s")
}
_SIZES: Final[Mapping[str, float]] = {prefix + "b": factor for prefix, factor in (_PREFIXES | _IEC).items()} | {
    "": 1.0,
    "byte": 1.0,
    "bytes": 1.0,
}

_RATE_HELP: Final = "a rate is written in bits per second, such as 500kbit, 20mbit or 1.5gbit"
_TIME_HELP: Final = "a time is written such as 40ms, 1.5s, 250us or 2min"
_SIZE_HELP: Final = "a size is written in bytes, such as 512b, 64kb or 1.5mb"
_SHARE_HELP: Final = "a share is written in percent, such as 1% or 0.5%, and at most 100%"


def parse_rate_bps(text: str) -> float:
    """`20mbit`, `1.5 Gbit/s`, `500kbps` → bits per second, above zero.

    Raises:
        ValueError: not a rate in bits; the message gives examples.
    """
    number, unit = _split(text, _RATE_HELP)
    if "B" in unit or unit.lower() not in _RATES or number == 0:
        raise ValueError(f"{text!r}: {_RATE_HELP}")
    return number * _RATES[unit.lower()]


def parse_time_s(text: str) -> float:
    """`40ms`, `1.5s`, `2min` → seconds; `0` needs no unit.

    Raises:
        ValueError: not a time; the message gives examples.
    """
    number, unit = _split(text, _TIME_HELP)
    unit = unit.lower().replace("µ", "u").replace("μ", "u")
    if unit == "" and number == 0:
        return 0.0
    if unit not in _SECONDS:
        raise ValueError(f"{text!r}: {_TIME_HELP}")
    return number * _SECONDS[unit]


def parse_size_bytes(text: str) -> int:
    """`64kb`, `1.5 MB`, `64KiB`, `512` → whole bytes; SI unless the unit says `i`.

    Raises:
        ValueError: not a size; the message gives examples.
    """
    number, unit = _split(text, _SIZE_HELP)
    if unit.lower() not in _SIZES:
        raise ValueError(f"{text!r}: {_SIZE_HELP}")
    return round(number * _SIZES[unit.lower()])


def parse_share(text: str) -> float:
    """`1%` → 0.01; `0` needs no sign, any other bare number could mean either and is refused.

    Raises:
        ValueError: not a share of 0 … 100 %; the message gives examples.
    """
    number, unit = _split(text, _SHARE_HELP)
    if number > 100 or unit not in ("%", "") or (unit == "" and number != 0):
        raise ValueError(f"{text!r}: {_SHARE_HELP}")
    return number / 100


def format_rate(rate_bps: float) -> str:
    """`20 Mbit/s`."""
    return _scaled(rate_bps, (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)))


def format_time(time_s: float) -> str:
    """`41 ms`."""
    return _scaled(time_s, (("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6))) if time_s else "0 ms"


def format_size(size_bytes: float) -> str:
    """`12.4 KB`; capital letters, as in `bytes`, so that it is not read as bits."""
    return _scaled(size_bytes, (("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1.0)))


def format_share(share: float) -> str:
    """`1%`."""
    return f"{share * 100:.3g}%"


def _split(text: str, help_text: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError(f"{text[:40]!r}: {help_text}")
    return float(match[1]), match[2]


def _scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """The value in the largest unit of which it is at least one, with three significant digits."""
    if not math.isfinite(value):
        return f"{value} {units[-1][0]}"
    name, factor = next(((n, f) for n, f in units if abs(value) >= f * 0.9995), units[-1])
    number = value / factor
    return f"{number:.0f} {name}" if abs(number) >= 100 else f"{number:.3g} {name}"
