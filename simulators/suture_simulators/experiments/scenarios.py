"""What happens to a link while images stream through it: steps, a drop to nothing, a recorded drive. Plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from suture_protocol.errors import UsageError
from suture_simulators.experiments.clairvoyant import Option, best_at
from suture_simulators.link_profile import LinkProfile
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.files import read_trace
from suture_simulators.traces.library import bundled_traces

#: A drive on the motorway by satellite, recorded upwards, with outages: the way that a unit's images take.
DEFAULT_TRACE: Final = "starlink_autobahn_up_0"
#: An outage worth showing; shorter ones TCP hardly notices.
_OUTAGE_S: Final = 1.0
#: What a record keeps of the rate after the last image came.
_BEYOND_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A time over which the rate holds still; 0 is no link at all."""

    start_s: float
    end_s: float
    rate_bps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A rate over time, the same both ways, seconds since the scenario began.

    Attributes:
        name: As in a point's key.
        trace: The line rate.
        length_s: No image comes after this.
        phases: Where the rate holds still for a while; empty for a recorded drive.
        note: Where a recording was begun and such.
    """

    name: str
    trace: RateTrace
    length_s: float
    phases: tuple[Phase, ...] = ()
    note: str = ""

    def profile(self, rtt_s: float, seed: int) -> LinkProfile:
        """The link that does this."""
        return LinkProfile.symmetric(trace=self.trace, delay_s=rtt_s / 2, seed=seed)

    def to_json(self) -> dict[str, Any]:
        """As plain data; the steps go on past the end for as long as an image may take."""
        until_s, period_s = self.length_s + _BEYOND_S, self.trace.period_s
        laps = range(int(until_s / period_s) + 1)
        steps = [[lap * period_s + at_s, rate] for lap in laps for at_s, rate in self.trace.steps]
        steps = [step for step in steps if step[0] < until_s]
        return {
            "name": self.name,
            "length_s": self.length_s,
            "steps": steps,
            "phases": [asdict(phase) for phase in self.phases],
            "note": self.note,
        }


def phased(name: str, parts: Sequence[tuple[float, float]]) -> Scenario:
    """Phases one after the other, each (length in seconds, rate in bit/s). The last one stays in force."""
    phases, at_s = [], 0.0
    for length_s, rate_bps in parts:
        phases.append(Phase(start_s=at_s, end_s=at_s + length_s, rate_bps=rate_bps))
        at_s += length_s
    steps = tuple((phase.start_s, phase.rate_bps) for phase in phases)
    # An image may end after the last phase: its rate holds on for as long as anything could wait.
    return Scenario(
        name=name,
        trace=RateTrace(name=name, steps=steps, period_s=at_s + 3600.0),
        length_s=at_s,
        phases=tuple(phases),
    )


def steady(name: str, trace: RateTrace) -> Scenario:
    """A line that scatters around one rate, from beginning to end of its trace."""
    note = f"mean {trace.mean_bps() / 1e6:.2f} Mbit/s, where two plans are equally good"
    return Scenario(name=name, trace=trace, length_s=trace.period_s, note=note)


def tempting_bps(known: Sequence[Option], near_bps: float, rtt_s: float) -> float:
    """The rate near another at which the best plan changes: there, noise tempts most; that other where it never does.

    Within a factor of ten either way, to a hundredth.
    """
    rates = [near_bps * math.pow(10.0, step / 230) for step in range(-230, 231)]
    best = [best_at(known, rate, rtt_s) for rate in rates]
    changes = [math.sqrt(rates[i] * rates[i + 1]) for i in range(len(rates) - 1) if best[i] != best[i + 1]]

    def distance(rate_bps: float) -> float:
        return abs(math.log(rate_bps / near_bps))

    tempting: float = min(changes, key=distance) if changes else near_bps
    return round(tempting, -3)


def rates_of(recorded: Sequence[RateTrace], count: int) -> tuple[float, ...]:
    """So many rates that recorded links had, at even quantiles of the time that they had any, to two digits.

    For experiments whose links hold still.
    """
    held: list[tuple[float, float]] = []
    for trace in recorded:
        ends_s = [*(at_s for at_s, _ in trace.steps[1:]), trace.period_s]
        held += [(rate, end_s - at_s) for (at_s, rate), end_s in zip(trace.steps, ends_s, strict=True) if rate > 0]
    held.sort()
    whole_s = sum(time_s for _, time_s in held)
    wanted_s = [whole_s * (place + 0.5) / count for place in range(count)]
    found, passed_s = list[float](), 0.0
    for rate, time_s in held:
        passed_s += time_s
        while len(found) < count and wanted_s[len(found)] <= passed_s:
            found.append(float(f"{rate:.1e}"))
    return tuple(dict.fromkeys(found))


def pairs(rates_bps: Sequence[float]) -> list[tuple[float, float]]:
    """Rates to step between, (from, to): the fastest with the slowest, then inwards; a middle one stays alone.

    Raises:
        UsageError: fewer than two rates.
    """
    ordered = sorted(rates_bps, reverse=True)
    if len(ordered) < 2:
        raise UsageError("--rates: give at least two, to step between")
    return [(ordered[i], ordered[-1 - i]) for i in range(len(ordered) // 2)]


def window(trace: RateTrace, length_s: float) -> Scenario:
    """All of a recording, or a part of it: with its longest outage that fits into the middle third, if it has one."""
    if length_s >= trace.period_s:
        return Scenario(name=trace.name, trace=trace, length_s=trace.period_s, note="the whole recording")
    from_s = _outage_s(trace, length_s / 3) - length_s / 3
    note = f"seconds {from_s:.1f} to {from_s + length_s:.1f} of the recording's {trace.period_s:.0f}"
    return Scenario(name=trace.name, trace=trace.starting_at(from_s), length_s=length_s, note=note)


def _outage_s(trace: RateTrace, third_s: float) -> float:
    """When the longest outage begins that shows and fits into a third; a third itself where there is none."""
    fitting = [
        (begin_s - end_s, begin_s)
        for begin_s, end_s in outages(trace.steps, trace.period_s)
        if begin_s >= third_s and _OUTAGE_S <= end_s - begin_s <= third_s
    ]
    return min(fitting)[1] if fitting else third_s


def outages(steps: Sequence[Sequence[float]], length_s: float) -> list[tuple[float, float]]:
    """(from, to) of the times at rate 0."""
    shown = [step for step in steps if step[0] < length_s]
    ends_s = [*(at_s for at_s, _ in shown[1:]), length_s]
    found: list[tuple[float, float]] = []
    for (at_s, rate_bps), end_s in zip(shown, ends_s, strict=True):
        if rate_bps > 0:
            continue
        if found and found[-1][1] == at_s:
            found[-1] = (found[-1][0], end_s)
        else:
            found.append((at_s, end_s))
    return found


def trace_path(word: str) -> Path:
    """The file of a trace given by its path, or by the name of a bundled one.

    Raises:
        UsageError: neither.
    """
    path = Path(word)
    if path.is_file():
        return path
    by_name: Mapping[str, Path] = {bundled.name: bundled.path for bundled in bundled_traces()}
    if word not in by_name:
        raise UsageError(f"--trace {word}: no such file, and no bundled trace of that name: {', '.join(by_name)}")
    return by_name[word]


def traces(paths: Sequence[Path]) -> list[RateTrace]:
    """The recordings in files, or the default one where there are none; named so that it fits into a point's key.

    Raises:
        UsageError: one cannot be read as a trace.
    """
    chosen = paths or (trace_path(DEFAULT_TRACE),)
    return [replace(read_trace(path), name=path.stem) for path in chosen]
