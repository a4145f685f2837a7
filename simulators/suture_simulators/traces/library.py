"""The traces that come along, by name, and `find_trace`, which takes a name or a file."""

from __future__ import annotations

import csv
import dataclasses
from functools import cache
from pathlib import Path

from suture_protocol.errors import UsageError
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.files import read_trace

_DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BundledTrace:
    """One row of `data/INDEX.csv`: what was recorded, by whom, and under which terms it is passed on."""

    name: str
    way: str
    what: str
    origin: str
    licence: str
    citation: str

    @property
    def path(self) -> Path:
        """Its file."""
        return _DATA / f"{self.name}.csv"

    def load(self) -> RateTrace:
        """The recording; its name is the bundled one."""
        return dataclasses.replace(read_trace(self.path), name=self.name)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TraceFacts:
    """Figures of one trace, over one period."""

    duration_s: float
    mean_bps: float
    min_bps: float
    max_bps: float
    outage_share: float


def trace_facts(trace: RateTrace) -> TraceFacts:
    """Length, mean, extremes, and the share of time at rate 0."""
    ends_s = [*(at_s for at_s, _ in trace.steps[1:]), trace.period_s]
    dead_s = sum(end_s - at_s for (at_s, rate), end_s in zip(trace.steps, ends_s, strict=True) if rate == 0)
    rates = [rate for _, rate in trace.steps]
    return TraceFacts(
        duration_s=trace.period_s,
        mean_bps=trace.mean_bps(),
        min_bps=min(rates),
        max_bps=max(rates),
        outage_share=dead_s / trace.period_s,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TraceRecord:
    """A trace with what is known about its origin: `way, what, origin, licence, citation` for the bundled ones."""

    trace: RateTrace
    terms: dict[str, str]


@cache
def bundled_traces() -> tuple[BundledTrace, ...]:
    """All traces that come along."""
    with (_DATA / "INDEX.csv").open(newline="", encoding="utf-8") as file:
        return tuple(BundledTrace(**row) for row in csv.DictReader(file))


def find_trace(name: str) -> RateTrace:
    """A bundled trace by its name, or one read from a file; `FILE#COLUMN:UNIT` says which column is the rate.

    A file of that name goes before a bundled trace.

    Raises:
        UsageError: neither, or the file cannot be read as a trace.
    """
    path = Path(name)
    if path.is_file():
        return read_trace(path)
    for bundled in bundled_traces():
        if bundled.name == name:
            return bundled.load()
    file, mark, column = name.rpartition("#")
    if mark and Path(file).is_file():
        return read_trace(Path(file), column)
    known = ", ".join(bundled.name for bundled in bundled_traces())
    raise UsageError(
        f"{name}: no such file, and no bundled trace of that name; `suture link traces` lists them: {known}"
    )


def trace_record(name: str) -> TraceRecord:
    """As `find_trace`, with the origin and the licence of a bundled one."""
    trace = find_trace(name)
    for bundled in bundled_traces():
        if bundled.name == trace.name:
            return TraceRecord(trace=trace, terms={k: v for k, v in dataclasses.asdict(bundled).items() if k != "name"})
    return TraceRecord(trace=trace, terms={})
