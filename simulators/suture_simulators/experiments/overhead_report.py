"""What `overhead` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from suture_protocol.units import format_share, format_size, format_time
from suture_simulators.experiments.overhead import IDLE_S, LOSS, bound_s
from suture_simulators.experiments.page import Block, Figure, Section, Table, Text
from suture_simulators.experiments.plots import Series, scatter
from suture_simulators.experiments.types import Point, PointRecord, Results, Sample
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

#: A point is over the bound by no more than this share, or by no more than this time where the bound is short.
OVER_SHARE = 0.08
OVER_S = 0.004

_HEAD = ("network", "part", "Mbit/s", "round trip", "what", "payload", "measured", "bound", "ratio", "over by")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One payload at one point: medians, reading and preprocessing left out; `rtt_s` is as it was measured."""

    point: Point
    rtt_s: float
    cut: str
    payload_bytes: int
    measured_s: float
    bound_s: float
    profiled_bound_s: float

    @property
    def ratio(self) -> float:
        """1 is the bound."""
        return self.measured_s / self.bound_s

    @property
    def within(self) -> bool:
        """Whether it is within what is allowed of each point."""
        return self.measured_s <= max((1 + OVER_SHARE) * self.bound_s, self.bound_s + OVER_S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """A series at one point; times are of one image, medians over the turns."""

    point: Point
    cut: str
    slices: int
    rate_bps: float
    stages_s: dict[str, float]
    alone_s: float
    series_s: float

    @property
    def vs_slowest(self) -> float:
        return self.series_s / max(self.stages_s.values())

    @property
    def speedup(self) -> float:
        return self.alone_s / self.series_s


def cells(results: Results, part: str) -> list[Cell]:
    """One part's cells, of its valid points."""
    found = []
    for record in results.valid:
        if record.point.scenario == part:
            for cut, samples in _by_arm(results, record.point):
                found.append(_cell(record, cut, samples))
    return found


def pipelines(results: Results) -> list[Pipeline]:
    """The series."""
    return [_pipeline(results, r) for r in results.valid if r.point.scenario == "series"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Urgent:
    """STAT at one point: medians on the idle link, beside routine images, and that on untuned sockets; reading and
    preprocessing left out."""

    record: PointRecord
    idle_s: float
    busy_s: float
    untuned_s: float

    @property
    def link_used(self) -> float:
        """Share of the line that routine payloads took while urgent images crossed it too; the less of both arms."""
        rate_bps = self.record.point.rate_bps * TCP_PAYLOAD_SHARE
        return float(min(self.record.notes["routine_bps"].values())) / rate_bps


def urgent(results: Results) -> list[Urgent]:
    """The urgent images."""
    found = []
    for record in results.valid:
        if record.point.scenario == "stat":
            arms = dict(_by_arm(results, record.point))
            made = {f"{arm}_s": statistics.median(map(_without_reading, samples)) for arm, samples in arms.items()}
            found.append(Urgent(record=record, **made))
    return found


def figures(results: Results) -> dict[str, float]:
    """Ratios of measured to bound; what was not measured is left out."""
    found: dict[str, float] = {}
    if warm := cells(results, "warm"):
        ratios = [cell.ratio for cell in warm]
        found |= {
            "overhead_ratio_median": statistics.median(ratios),
            "overhead_ratio_p95": float(np.percentile(ratios, 95)),
            "overhead_vs_profiles_median": statistics.median(c.measured_s / c.profiled_bound_s for c in warm),
            "overhead_cells": float(len(warm)),
            "overhead_cells_beyond": float(sum(not cell.within for cell in warm)),
        }
    if idle := cells(results, "idle"):
        found["overhead_idle_ratio"] = max(cell.ratio for cell in idle)
    if lossy := cells(results, "lossy"):
        found["overhead_lossy_ratio"] = statistics.median(cell.ratio for cell in lossy)
    if lines := pipelines(results):
        found["series_slice_vs_slowest_stage"] = max(line.vs_slowest for line in lines)
        found["series_speedup"] = min(line.speedup for line in lines)
    if stats := urgent(results):
        found["stat_vs_idle_ratio"] = max(one.busy_s / one.idle_s for one in stats)
        found["stat_untuned_vs_idle_ratio"] = max(one.untuned_s / one.idle_s for one in stats)
        found["stat_link_used"] = min(one.link_used for one in stats)
        found["routine_failed"] = float(sum(one.record.notes["routine_failed"] for one in stats))
    return found


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each cell, series and urgent image."""
    return _HEAD, [*_single_rows(results), *_stat_rows(results), *_series_rows(results)]


def sections(results: Results) -> Sequence[Section]:
    """Results first, then every row."""
    if not results.valid:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    head, rows = table(results)
    blocks: list[Block] = [Text(text=_summary(results), lead=True)]
    shown = {part: cells(results, part) for part in ("warm", "idle", "lossy")}
    if any(shown.values()):
        blocks.append(Figure(svg=_picture(shown), caption="Each dot is a median; on the dashed line is the bound."))
    blocks.append(Table(head=head, rows=rows, caption="All of it"))
    definitions = Section(title="What was measured", blocks=[Text(text=text) for text in _DEFINITIONS])
    return [Section(title="Results", blocks=blocks), definitions]


_DEFINITIONS = (
    "Bound: head and tail as they took in the same samples, the payload at the line's rate less what headers take "
    f"({100 * TCP_PAYLOAD_SHARE:.1f} % is left), and one round trip as a bare TCP handshake takes it on the same link "
    "(in brackets, ms; set is the delay, to which the emulation adds its own). Reading and preprocessing are left out "
    "on both sides. Codes cross as they are, so that sizes are exact. The answer's bytes are no part of the bound: "
    "1,000 logits take 3.3 ms at 10 Mbit/s. overhead_vs_profiles_median is the ratio to a bound whose head and tail "
    "are the profiles', measured in a loop without waits: a core that has waited for the link is colder.",
    f"Idle: {IDLE_S:g} s of silence before each image; the worst payload counts. Lossy: {format_share(LOSS)} of "
    "packets are lost at random each way; the median over payloads counts.",
    "Series: the rate is set so that one image's codes take as long as the slower of head and tail. Slowest stage: "
    "reading, preprocessing and head; the codes at the line's rate; decoding and tail; each as the median of the "
    "images that were done one by one. The pipeline's start and end, when not all stages have work, count.",
    "STAT: an urgent image of one size while routine images of the largest size saturate the uplink, against the same "
    "on an idle link. Untuned: on a connection whose sockets are as the system makes them. stat_link_used is the share "
    "of the line that the routine payloads took in either, urgent images between them.",
)


def _by_arm(results: Results, point: Point) -> Iterator[tuple[str, list[Sample]]]:
    samples = [sample for sample in results.samples.get(point.key, ()) if sample.ok]
    for arm in dict.fromkeys(sample.arm for sample in samples):
        yield arm, [sample for sample in samples if sample.arm == arm]


def _without_reading(sample: Sample) -> float:
    return sample.total_s - sample.steps_s["preprocess"]


def _cell(record: PointRecord, cut: str, samples: Sequence[Sample]) -> Cell:
    point, rtt_s = record.point, float(record.notes["rtt_s"])
    return Cell(
        point=point,
        rtt_s=rtt_s,
        cut=cut,
        payload_bytes=samples[0].payload_bytes,
        measured_s=statistics.median(map(_without_reading, samples)),
        bound_s=statistics.median(bound_s(sample, point.rate_bps, rtt_s) for sample in samples),
        profiled_bound_s=bound_s(samples[0], point.rate_bps, rtt_s, record.notes["sides_s"][cut]),
    )


def _pipeline(results: Results, record: PointRecord) -> Pipeline:
    arms = dict(_by_arm(results, record.point))
    slices, rate_bps = record.notes["slices"], record.notes["rate_bps"]
    alone = arms["one_by_one"]

    def median(*steps: str) -> float:
        return statistics.median(sum(sample.steps_s[step] for step in steps) for sample in alone)

    return Pipeline(
        point=record.point,
        cut=record.notes["cut"],
        slices=slices,
        rate_bps=rate_bps,
        stages_s={
            "unit": median("preprocess", "head", "encode"),
            "wire": 8 * alone[0].payload_bytes / (rate_bps * TCP_PAYLOAD_SHARE),
            "cloud": median("decode", "tail"),
        },
        alone_s=statistics.median(sample.total_s for sample in alone) / slices,
        series_s=statistics.median(sample.total_s for sample in arms["pipeline"]) / slices,
    )


def _single_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for part in ("warm", "idle", "lossy"):
        for cell in cells(results, part):
            over_s = cell.measured_s - cell.bound_s
            times = (format_time(cell.measured_s), format_time(cell.bound_s))
            yield (
                *_place(cell.point)[:3],
                f"{format_time(cell.point.rtt_s)} ({1e3 * cell.rtt_s:.1f})",
                f"cut {cell.cut}",
                format_size(cell.payload_bytes),
                *times,
                f"{cell.ratio:.3f}",
                f"{over_s * 1e3:.1f} ms",
            )


def _stat_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for one in urgent(results):
        notes = one.record.notes
        done = f"beside {notes['routine_done']} routine images, {notes['routine_failed']} lost"
        for what, took_s in ((done, one.busy_s), ("the same on untuned sockets", one.untuned_s)):
            times = (format_time(took_s), format_time(one.idle_s))
            over = f"{(took_s - one.idle_s) * 1e3:.1f} ms"
            place = (*_place(one.record.point), f"cut {notes['cut']} {what}", "")
            yield (*place, *times, f"{took_s / one.idle_s:.3f}", over)


def _series_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for line in pipelines(results):
        stages = ", ".join(f"{name} {format_time(took_s)}" for name, took_s in line.stages_s.items())
        slowest_s = max(line.stages_s.values())
        yield (
            *_place(line.point)[:2],
            f"{line.rate_bps / 1e6:.2f}",
            format_time(line.point.rtt_s),
            f"cut {line.cut}, {line.slices} images: {stages}; one by one {format_time(line.alone_s)} each",
            "",
            format_time(line.series_s),
            format_time(slowest_s),
            f"{line.vs_slowest:.3f}",
            f"{(line.series_s - slowest_s) * 1e3:.1f} ms",
        )


def _place(point: Point) -> tuple[str, ...]:
    return point.network, point.scenario, f"{point.rate_bps / 1e6:g}", format_time(point.rtt_s)


def _summary(results: Results) -> str:
    made = figures(results)
    text = ""
    if "overhead_ratio_median" in made:
        text += (
            f"Warm, a result took {made['overhead_ratio_median']:.3f} times the physical bound at the median of "
            f"{made['overhead_cells']:.0f} payloads and links, {made['overhead_ratio_p95']:.3f} at the 95th percentile;"
            f" {made['overhead_cells_beyond']:.0f} were beyond {1 + OVER_SHARE:g} times it and {OVER_S * 1e3:g} ms. "
        )
    if "overhead_idle_ratio" in made:
        text += f"After {IDLE_S:g} s of silence: {made['overhead_idle_ratio']:.3f} times at worst. "
    if "overhead_lossy_ratio" in made:
        text += f"With {format_share(LOSS)} of packets lost: {made['overhead_lossy_ratio']:.2f} times at the median. "
    if "series_speedup" in made:
        text += (
            f"A series ran at {made['series_slice_vs_slowest_stage']:.3f} times its slowest stage, "
            f"{made['series_speedup']:.2f} times as fast as one by one. "
        )
    if "stat_vs_idle_ratio" in made:
        text += (
            f"An urgent image on a saturated uplink took {made['stat_vs_idle_ratio']:.2f} times what it takes on an "
            f"idle one, {made['stat_untuned_vs_idle_ratio']:.2f} times on untuned sockets; "
            f"{made['routine_failed']:.0f} routine images were lost."
        )
    return text


def _picture(shown: dict[str, list[Cell]]) -> str:
    series = [
        Series(label=part, x=[cell.bound_s * 1e3 for cell in found], y=[cell.measured_s * 1e3 for cell in found])
        for part, found in shown.items()
        if found
    ]
    return scatter(series, title="Time to result and bound", x_label="bound (ms)", y_label="measured (ms)", log=True)
