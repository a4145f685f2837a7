"""Which columns of a table hold the time and the rate, and in which unit; what is ambiguous is refused, not guessed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from suture_protocol.errors import UsageError

_TIME_UNITS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_TIME_UNITS |= {"ms": 1e-3, "msec": 1e-3, "millis": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TIME_WORDS = {"time", "t", "timestamp", "ts", "elapsed", "datetime", "date", *_TIME_UNITS}
_BITS_PER_S = {"bps": 1.0, "bit/s": 1.0, "bits/s": 1.0, "kbps": 1e3, "kbit/s": 1e3, "mbps": 1e6, "mbit/s": 1e6}
_BITS_PER_S |= {"mbits/s": 1e6, "kbits/s": 1e3, "gbps": 1e9, "gbit/s": 1e9, "mbit": 1e6, "kbit": 1e3, "gbit": 1e9}
_BITS_PER_S |= {"bytes/s": 8.0, "kbytes/s": 8e3, "mbytes/s": 8e6}
#: Bytes of the interval that begins with the row, rather than a rate.
_AMOUNTS = {"bytes": 8.0, "kbytes": 8e3, "mbytes": 8e6}
_RATE_WORDS = {"bitrate", "rate", "throughput", "bandwidth", "goodput", "capacity", "bw", "tput"}
_WORDS = re.compile(r"[a-zµ]+(?:/s)?")
UNITS = ", ".join(["bps", "kbps", "mbps", "gbps", "bytes/s", "bytes"])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Where time and rate are. `time_unit` is None where the header does not say; then the values have to.

    Attributes:
        rate_scale: From the column's numbers to bit/s, or to bits where `amount`.
        amount: Whether a row holds what its interval carried, not a rate.
    """

    time: str
    time_scale: float | None
    rate: str
    rate_unit: str
    rate_scale: float
    amount: bool


def choose_columns(where: str, names: Sequence[str], wanted: str | None) -> Columns:
    """Finds the time and the rate among a table's column names.

    Args:
        where: The file, for messages.
        names: As the header has them.
        wanted: `COLUMN` or `COLUMN:UNIT` to take for the rate; None finds it.

    Raises:
        UsageError: none or several would do, or the unit is not said; the message says what to write.
    """
    listed = ", ".join(names)
    times = [name for name in names if set(_words(name)) & _TIME_WORDS and not _rate_unit(name)]
    exact = [name for name in times if name.strip().lower() in ("t_s", "time_s", "t", "time")]
    if len(times) != 1 and len(exact) != 1:
        what = "no column is the time" if not times else f"several columns could be the time ({', '.join(times)})"
        raise UsageError(f"{where}: {what} (columns: {listed}); name exactly one t_s (seconds) or t_ms")
    time = times[0] if len(times) == 1 else exact[0]
    rate, unit = _choose_rate(where, names, wanted)
    amount = unit in _AMOUNTS
    scales = [_TIME_UNITS[word] for word in _words(time) if word in _TIME_UNITS]
    return Columns(
        time=time,
        time_scale=scales[-1] if scales else None,
        rate=rate,
        rate_unit=unit,
        rate_scale=_AMOUNTS[unit] if amount else _BITS_PER_S[unit],
        amount=amount,
    )


def _choose_rate(where: str, names: Sequence[str], wanted: str | None) -> tuple[str, str]:
    listed = ", ".join(names)
    if wanted is not None:
        name, _, unit = wanted.partition(":")
        if name not in names:
            raise UsageError(f"{where}: it has no column {name!r}; its columns: {listed}")
        unit = unit.lower() or _rate_unit(name)
        if unit not in _BITS_PER_S and unit not in _AMOUNTS:
            raise UsageError(f"{where}: column {name!r} does not say its unit; write #{name}:UNIT, one of {UNITS}")
        return name, unit
    known = [(name, unit) for name in names if (unit := _rate_unit(name))]
    exact = [found for found in known if found[0].strip().lower() in _BITS_PER_S]
    if len(known) == 1 or len(exact) == 1:
        return known[0] if len(known) == 1 else exact[0]
    maybe = [name for name in names if set(_words(name)) & _RATE_WORDS]
    if known:
        what = f"several columns could be the rate ({', '.join(name for name, _ in known)})"
    elif maybe:
        what = f"the unit of {', '.join(maybe)} is not said"
    else:
        what = f"no column is a rate (columns: {listed})"
    example = (known[0][0] if known else maybe[0] if maybe else names[-1]) if names else "COLUMN"
    raise UsageError(
        f"{where}: {what}; say which and in which unit, such as {where}#{example}:kbps (units: {UNITS}), or name the "
        "columns t_s and mbps"
    )


def _words(name: str) -> list[str]:
    return _WORDS.findall(name.lower().replace("_", " "))


def _rate_unit(name: str) -> str:
    """The unit that a column's name says; empty where it says none."""
    units = [word for word in _words(name) if word in _BITS_PER_S or word in _AMOUNTS]
    return units[-1] if units else ""
