"""Reads a recorded rate from a file, told by its content: a table with time and rate, or mahimahi's opportunities."""

from __future__ import annotations

import csv
import datetime
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from suture_protocol.errors import UsageError
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.columns import Columns, choose_columns

#: What one line of a mahimahi file lets pass.
OPPORTUNITY_BYTES = 1504
# Opportunities are gathered over this time: finer than what follows a link, coarse enough for a rate.
_BIN_MS = 100
_TRACE_BYTES_MAX = 64 * 1024 * 1024
_UCC_TIME = "%Y.%m.%d_%H.%M.%S"
# A time without a unit is in seconds, if it says nothing else: since 1970, or in steps as recorders make them.
_EPOCH_S, _EPOCH_MS = (5e8, 5e9), (5e11, 5e12)
_STEP_S_MAX = 60.0


def read_trace(path: Path, column: str | None = None) -> RateTrace:
    """Reads a trace; `read_as` of the result says which columns were taken, in which units.

    Tables have a header and are separated by commas, semicolons, tabs or spaces; lines that begin with `#` are skipped.
    Times need not start at 0: they are counted from the first row. The last row holds as long as the median step.
    Times may also be dates (ISO 8601, `2019.12.16_07.22.43`). A mahimahi file has one whole number per line, the
    millisecond of an opportunity to send 1504 bytes; opportunities are gathered over 100 ms.

    Args:
        path: The file.
        column: The rate's column, `NAME` or `NAME:UNIT`, where the header leaves a choice.

    Raises:
        UsageError: the file cannot be read or is ambiguous; the message names it and says what to do.
    """
    try:
        if path.stat().st_size > _TRACE_BYTES_MAX:
            raise UsageError(
                f"{path}: too large for a trace (more than {_TRACE_BYTES_MAX // 2**20} MiB); take a part of it"
            )
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read this trace: {error}") from error
    numbered = [
        (number, text) for number, line in enumerate(lines, start=1) if (text := line.strip()) and text[0] != "#"
    ]
    if not numbered:
        raise UsageError(f"{path}: the trace has no rows")
    try:
        if column is None and re.fullmatch(r"\d+", numbered[0][1]):
            return _read_opportunities(path, numbered)
        return _read_table(path, numbered, column)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _read_opportunities(path: Path, numbered: Sequence[tuple[int, str]]) -> RateTrace:
    times_ms = []
    for number, text in numbered:
        if not re.fullmatch(r"\d{1,12}", text):
            raise UsageError(
                f"{path}: line {number}: {text[:40]!r} is no millisecond; a mahimahi trace has one per line"
            )
        times_ms.append(int(text))
        if len(times_ms) > 1 and times_ms[-1] < times_ms[-2]:
            raise UsageError(f"{path}: line {number}: time goes back from {times_ms[-2]} to {times_ms[-1]} ms")
    end_ms = max(times_ms[-1], 1)
    counts = Counter(min(time_ms, end_ms - 1) // _BIN_MS for time_ms in times_ms)
    steps = []
    for index in range((end_ms - 1) // _BIN_MS + 1):
        length_s = (min((index + 1) * _BIN_MS, end_ms) - index * _BIN_MS) / 1e3
        steps.append((index * _BIN_MS / 1e3, counts[index] * OPPORTUNITY_BYTES * 8 / length_s))
    said = f"mahimahi's format: {len(times_ms)} opportunities of {OPPORTUNITY_BYTES} bytes, gathered over {_BIN_MS} ms"
    return RateTrace(name=path.name, steps=tuple(steps), period_s=end_ms / 1e3, read_as=said)


def _read_table(path: Path, numbered: Sequence[tuple[int, str]], wanted: str | None) -> RateTrace:
    header = numbered[0][1]
    delimiter = next((mark for mark in ",;\t" if mark in header), None)
    names, *rows = (_cells(text, delimiter) for _, text in numbered)
    if all(_number(name) is not None for name in names):
        raise UsageError(f"{path}: its first line has to name the columns, such as t_s,mbps; it is {header[:60]!r}")
    columns = choose_columns(str(path), names, wanted)
    if not rows:
        raise UsageError(f"{path}: the trace has no rows")
    times_at, rates_at = names.index(columns.time), names.index(columns.rate)
    times: list[float] = []
    values: list[float] = []
    dated = False
    for (number, _), row in zip(numbered[1:], rows, strict=True):
        time_text, rate_text = (row[at] if at < len(row) else "" for at in (times_at, rates_at))
        time, value = _number(time_text), _number(rate_text)
        if time is None:
            time, dated = _date_s(time_text), True
        if time is None or value is None:
            raise UsageError(f"{path}: line {number}: {time_text!r}, {rate_text!r} are no numbers")
        times.append(time)
        values.append(value)
    scale, unit = (1.0, "date and time") if dated else _time_scale(path, columns, times)
    return _trace(path, columns, [time * scale for time in times], values, unit)


def _trace(path: Path, columns: Columns, times_s: list[float], values: list[float], time_unit: str) -> RateTrace:
    starts_s = [round(time_s - times_s[0], 9) for time_s in times_s]
    gaps = sorted(after - before for before, after in pairwise(starts_s)) or [1.0]
    period_s = starts_s[-1] + max(gaps[len(gaps) // 2], 1e-6)
    ends_s = [*starts_s[1:], period_s]
    for before_s, after_s in pairwise(starts_s):
        if not after_s > before_s:
            raise ValueError(f"time goes from {before_s:g} s to {after_s:g} s after its beginning; it has to ascend")
    rates = [
        value * columns.rate_scale / ((end_s - start_s) if columns.amount else 1.0)
        for value, start_s, end_s in zip(values, starts_s, ends_s, strict=True)
    ]
    meaning = f"{columns.rate_unit} per row" if columns.amount else columns.rate_unit
    said = f"time from column {columns.time!r} ({time_unit}), rate from column {columns.rate!r} ({meaning})"
    return RateTrace(name=path.name, steps=tuple(zip(starts_s, rates, strict=True)), period_s=period_s, read_as=said)


def _time_scale(path: Path, columns: Columns, times: list[float]) -> tuple[float, str]:
    if columns.time_scale is not None:
        return columns.time_scale, {1.0: "s", 1e-3: "ms", 1e-6: "us", 1e-9: "ns"}[columns.time_scale]
    if _EPOCH_MS[0] <= times[0] <= _EPOCH_MS[1]:
        return 1e-3, "ms since 1970"
    gaps = sorted(after - before for before, after in pairwise(times))
    if _EPOCH_S[0] <= times[0] <= _EPOCH_S[1] or not gaps or gaps[len(gaps) // 2] <= _STEP_S_MAX:
        return 1.0, "taken for seconds"
    raise UsageError(
        f"{path}: column {columns.time!r} does not say its unit, and its steps of {gaps[len(gaps) // 2]:g} could be "
        "milliseconds; rename it t_s or t_ms"
    )


def _cells(text: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return text.split()
    return [cell.strip() for cell in next(_csv(text, delimiter))]


def _csv(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader([text], delimiter=delimiter, skipinitialspace=True)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _date_s(text: str) -> float | None:
    for parse in (datetime.datetime.fromisoformat, lambda date: datetime.datetime.strptime(date, _UCC_TIME)):
        try:
            when = parse(text)
        except ValueError:
            continue
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    return None
