"""What `fleet` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from suture_models.manifest import LAST_CUT
from suture_protocol.units import format_time
from suture_simulators.experiments.fleet import PLANNED
from suture_simulators.experiments.fleet_run import Phases
from suture_simulators.experiments.fleet_scores import PHASES, STEP_S, Score, remote_units, scores, spans
from suture_simulators.experiments.fleet_unit import UNDAMPED
from suture_simulators.experiments.page import Block, Figure, Section, Table, Text
from suture_simulators.experiments.plots import Panel, Track, bars, timeline
from suture_simulators.experiments.statistics import Interval
from suture_simulators.experiments.types import PointRecord, Results, Sample

_HEAD = (
    "network", "arm", "images/s", *PHASES, "median", "95 %", "on the cloud", "switches", "swings", "neighbour", "lost",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """One valid point, evaluated; `best` is the static arm with the highest throughput."""

    record: PointRecord
    runs: tuple[Score, ...]
    planned: tuple[Score, ...]
    best: Score

    @property
    def ratio(self) -> float:
        """Throughput of the planned fleet ÷ that of the best static assignment, over all counted phases."""
        return statistics.fmean(run.per_s for run in self.planned) / self.best.per_s

    def phase_ratio(self, phase: int) -> float:
        """The same for one phase, against the assignment that is best in it."""
        statics = [run.by_phase[phase] for run in self.runs if run.on_edge is not None]
        return statistics.fmean(run.by_phase[phase] for run in self.planned) / max(statics)


def read(results: Results) -> list[Read]:
    """Every valid point that has both a planned run and static ones."""
    found = []
    for record in results.valid:
        runs = tuple(scores(results, record))
        planned = tuple(run for run in runs if run.arm == PLANNED)
        statics = [run for run in runs if run.on_edge is not None and run.per_s > 0]
        if planned and statics:
            best = max(statics, key=lambda run: run.per_s)
            found.append(Read(record=record, runs=runs, planned=planned, best=best))
    return found


def figures(results: Results) -> dict[str, float]:
    """The flat figures, of the point that is worst in each."""
    found = read(results)
    if not found:
        return {}
    planned = [run for point in found for run in point.planned]
    made = {"fleet_throughput_vs_static": min(point.ratio for point in found)}
    for phase, name in enumerate(PHASES):
        key = f"fleet_throughput_vs_static_{name.replace(' ', '_')}"
        made[key] = min(point.phase_ratio(phase) for point in found)
    made["fleet_switches_per_minute_max"] = max(run.switches_per_minute_max for run in planned)
    made["fleet_swings_per_minute"] = max(run.swings_per_minute for run in planned)
    made["fleet_remote_units_spread"] = max(run.spread for run in planned)
    worst = min(found, key=lambda point: point.ratio)
    made["fleet_images_per_s"] = statistics.fmean(run.per_s for run in worst.planned)
    made["fleet_static_images_per_s"] = worst.best.per_s
    made["fleet_static_on_edge"] = float(worst.best.on_edge or 0)
    made["fleet_median_s"] = statistics.fmean(run.median_s for run in worst.planned)
    made["fleet_p95_s"] = statistics.fmean(run.p95_s for run in worst.planned)
    made["fleet_static_median_s"] = worst.best.median_s
    made["fleet_static_p95_s"] = worst.best.p95_s
    made["images_lost"] = sum(run.lost for run in planned)
    undamped = [run for point in found for run in point.runs if run.arm == UNDAMPED]
    if undamped:
        made["undamped_swings_per_minute"] = max(run.swings_per_minute for run in undamped)
        made["undamped_switches_per_minute_max"] = max(run.switches_per_minute_max for run in undamped)
        made["undamped_throughput_vs_static"] = min(
            run.per_s / point.best.per_s for point in found for run in point.runs if run.arm == UNDAMPED
        )
    return made


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """One row for each run, planned ones first, then by throughput."""
    return _HEAD, [row for point in read(results) for row in _rows(point)]


def sections(results: Results) -> Sequence[Section]:
    """Results first, then the pictures of each point's runs."""
    found = read(results)
    if not found:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    blocks: list[Block] = [Text(text=_summary(point), lead=True) for point in found]
    blocks.append(Table(head=_HEAD, rows=[row for point in found for row in _rows(point)]))
    blocks.append(Text(text=_COLUMNS))
    blocks += [
        Figure(svg=_bars(point), caption="Images done a second in each phase, all units together.") for point in found
    ]
    return [
        Section(title="Results", blocks=blocks),
        *(Section(title=_runs_title(point), blocks=_pictures(results, point)) for point in found),
        Section(title="What was measured", blocks=[Text(text=text) for text in _definitions(found[0].record)]),
    ]


_COLUMNS = (
    "Images a second, over all counted phases and in each; time to result, median and 95th percentile; units on the "
    "cloud in the settled half of each phase; switches a minute of the unit with most; swings a minute; median time "
    "of the neighbour's requests; images without a result, or that a unit had to finish alone."
)


def _definitions(record: PointRecord) -> tuple[str, ...]:
    phases = Phases(**record.notes["phases"])
    return (
        f"{record.notes['units']} units, each a process with its own connection, planner and heartbeat, work with one "
        "cloud over one emulated line that they share. Closed loop: a unit begins its next image when the last one is "
        "done; the images are at hand, reading and preprocessing are left out.",
        f"The first {phases.counted_s:.0f} s of a run are not counted. Then three phases of "
        f"{phases.busy_s - phases.counted_s:.0f} s: calm, busy, calm again. In the busy one a neighbour sends "
        f"{record.notes['neighbour_per_s']:.1f} images a second to the same cloud at random times (open loop, past the "
        "emulated line). All heads and tails are real.",
        "Static arms: so many units do all themselves, the others send at one fixed cut: the best on the idle line and "
        "an idle cloud, and the image upload where that is another. Order drawn. The rival is the static arm with the "
        "highest throughput over all three phases; for one phase, the best in it.",
        "The emulated units: an operation runs once, for real, and then waits until the time is over that it takes by "
        "the device's profile, so that units do not stretch what they take from each other. What still contends is "
        "real: the cloud's tails run on the processor that the units use, which the plans see as a slower cloud.",
        "A switch: an image cut elsewhere than the unit's one before. Swings: the number of units that use the cloud, "
        f"looked at every {STEP_S:g} s in the second half of each phase, goes from one below its mean to one above it, "
        "or back; the phase with the most counts. Spread: that number's standard deviation.",
        "Undamped: each unit plans with the last wait that it heard of, as it is: what the damping is for.",
    )


def _summary(point: Read) -> str:
    planned = statistics.fmean(run.per_s for run in point.planned)
    best = point.best
    return (
        f"{point.record.point.network}: the planned fleet did {planned:.1f} images/s, the best static assignment "
        f"({_title(best)}, known only afterwards) {best.per_s:.1f}: {point.ratio:.3f} of it. By phase, against the "
        f"best of each: {', '.join(f'{name} {point.phase_ratio(n):.2f}' for n, name in enumerate(PHASES))}. "
        f"No unit switched more than {max(r.switches_per_minute_max for r in point.planned):.1f} times a minute; "
        f"{max(r.swings_per_minute for r in point.planned):.1f} swings a minute once settled."
    )


def _rows(point: Read) -> list[tuple[str, ...]]:
    order = sorted(point.runs, key=lambda run: (run.arm != PLANNED, -run.per_s))
    return [_row(point.record.point.network, run) for run in order]


def _row(network: str, run: Score) -> tuple[str, ...]:
    return (
        network,
        _title(run).replace(" ", "\N{NO-BREAK SPACE}"),
        f"{run.per_s:.2f}",
        *(f"{value:.2f}" for value in run.by_phase),
        format_time(run.median_s),
        format_time(run.p95_s),
        "·".join(f"{value:.1f}" for value in run.remote),
        f"{run.switches_per_minute_max:.1f}",
        f"{run.swings_per_minute:.1f}",
        "–" if run.neighbour_s is None else format_time(run.neighbour_s),
        f"{run.lost + run.alone}",
    )


def _title(run: Score) -> str:
    if run.on_edge is None:
        return run.arm
    cut = run.arm.partition(f"static-{run.on_edge}-")[2]
    return f"{run.on_edge} on the edge" + (f", rest at {cut}" if cut else "")


def _bars(point: Read) -> str:
    groups: dict[str, dict[str, Interval]] = {}
    for run in sorted(point.runs, key=lambda one: (one.arm != PLANNED, -one.per_s)):
        name = _title(run) if _title(run) not in groups else f"{_title(run)}, again"
        groups[name] = {phase: Interval(value=v) for phase, v in zip(PHASES, run.by_phase, strict=True)}
    return bars(groups, title=f"{point.record.point.network}: throughput", value_label="images a second")


def _runs_title(point: Read) -> str:
    return f"{point.record.point.network}: the runs over time"


def _pictures(results: Results, point: Read) -> list[Block]:
    shown = [*point.planned, *(run for run in point.runs if run.arm == UNDAMPED), point.best]
    samples = results.samples.get(point.record.point.key, ())
    return [Figure(svg=_picture(point.record, run, samples), caption=_CAPTION) for run in shown]


_CAPTION = (
    "Each dot is an image, at the moment when it was begun, in the row of its unit. Grey: the neighbour is busy. The "
    "wait is what the cloud reported that a routine request would wait, ten times a second."
)


def _picture(record: PointRecord, run: Score, samples: Sequence[Sample]) -> str:
    here = [sample for sample in samples if sample.extra["run"] == run.run]
    raw = next(one for one in record.notes["runs"] if one["run"] == run.run)
    phases = Phases(**record.notes["phases"])
    steps = remote_units(here, 0.0, phases.end_s)
    load = [one for one in raw["load"] if 0 <= one[0] <= phases.end_s]
    return timeline(
        [
            _units(here, record.notes["units"]),
            Panel(
                y_label="units on the cloud",
                tracks=[Track(label="units", x=[t for t, _ in steps], y=[float(n) for _, n in steps], kind="steps")],
            ),
            Panel(
                y_label="wait at the cloud (s)",
                tracks=[Track(label="reported", x=[one[0] for one in load], y=[one[1] for one in load])],
            ),
        ],
        title=f"{record.point.network}: {_title(run)}",
        x_label="time since the run began (s)",
        spans=spans(phases)[1:2],
    )


def _units(samples: Sequence[Sample], units: int) -> Panel:
    cuts = sorted({sample.cut for sample in samples if sample.ok}, key=lambda cut: (cut == LAST_CUT, cut))
    tracks = []
    for cut in cuts:
        at = [sample for sample in samples if sample.cut == cut]
        label = "last (all on the unit)" if cut == LAST_CUT else f"cut {cut}"
        tracks.append(Track(label=label, x=[s.at_s for s in at], y=[float(s.extra["unit"]) for s in at], kind="dots"))
    return Panel(y_label="unit", tracks=tracks, names=[str(number + 1) for number in range(units)])
