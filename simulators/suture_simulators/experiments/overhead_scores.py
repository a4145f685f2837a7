"""What came of `overhead`: each payload against its bound, each series and each urgent image. Numbers alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from suture_simulators.experiments.overhead import SIZES_BYTES, bound_s
from suture_simulators.experiments.types import Point, PointRecord, Results, Sample
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

#: A point is over the bound by no more than this share, or by no more than this time where the bound is short.
OVER_SHARE = 0.08
OVER_S = 0.004


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Some times of one kind: how many, their median and quartiles."""

    count: int
    median_s: float
    low_s: float
    high_s: float

    @classmethod
    def of(cls, times_s: Sequence[float]) -> Spread:
        """Of one time at least."""
        low_s, median_s, high_s = (float(one) for one in np.percentile(times_s, (25, 50, 75)))
        return cls(count=len(times_s), median_s=median_s, low_s=low_s, high_s=high_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One payload at one point: medians, reading and preprocessing left out; `rtt_s` is as it was measured.

    `ratio` and `over_s` set each sample against the bound of its own head and tail, which vary more from one to the
    next than what lies between; the difference of two medians would be theirs.
    """

    point: Point
    rtt_s: float
    cut: str
    payload_bytes: int
    measured: Spread
    bound_s: float
    ratio: float
    over_s: float
    profiled_bound_s: float

    @property
    def measured_s(self) -> float:
        """What a result took."""
        return self.measured.median_s

    @property
    def within(self) -> bool:
        """Whether it is within what is allowed of each point."""
        return self.ratio <= 1 + OVER_SHARE or self.over_s <= OVER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """A series at one point; times are of one image, medians over the turns; stages as they took one by one, and the
    slowest of them as it took in the series, where stages share this machine's cores."""

    point: Point
    cut: str
    slices: int
    rate_bps: float
    stages_s: dict[str, float]
    slowest_together_s: float
    alone_s: float
    series: Spread

    @property
    def series_s(self) -> float:
        """One image of the series."""
        return self.series.median_s

    @property
    def vs_slowest(self) -> float:
        return self.series_s / max(self.stages_s.values())

    @property
    def filling(self) -> float:
        """`vs_slowest` of a pipeline that loses nothing but its start and end, when not all stages have work."""
        whole_s = sum(self.stages_s.values()) + self.point.rtt_s
        return 1 + (whole_s / max(self.stages_s.values()) - 1) / self.slices

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
    """STAT at one point: on the idle link, beside routine images, and that on untuned sockets; reading and
    preprocessing left out."""

    record: PointRecord
    idle: Spread
    busy: Spread
    untuned: Spread

    @property
    def ratio(self) -> float:
        """Beside routine images against the idle link."""
        return self.busy.median_s / self.idle.median_s

    @property
    def untuned_ratio(self) -> float:
        """The same on untuned sockets, against the tuned ones on the idle link."""
        return self.untuned.median_s / self.idle.median_s

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
            made = {arm: Spread.of([_without_reading(one) for one in samples]) for arm, samples in arms.items()}
            found.append(Urgent(record=record, **made))
    return found


def figures(results: Results) -> dict[str, float]:
    """Ratios of measured to bound; what was not measured is left out."""
    found: dict[str, float] = {}
    if warm := cells(results, "warm"):
        ratios = [cell.ratio for cell in warm]
        sized = [cell for cell in warm if cell.payload_bytes >= SIZES_BYTES[0]]
        found |= {
            "overhead_ratio_median": statistics.median(ratios),
            "overhead_ratio_p95": float(np.percentile(ratios, 95)),
            "overhead_vs_profiles_median": statistics.median(c.measured_s / c.profiled_bound_s for c in warm),
            "overhead_cells": float(len(warm)),
            "overhead_cells_beyond": float(sum(not cell.within for cell in warm)),
            "overhead_cells_10kb": float(len(sized)),
            "overhead_cells_10kb_beyond": float(sum(not cell.within for cell in sized)),
        }
    if idle := cells(results, "idle"):
        found["overhead_idle_ratio"] = max(cell.ratio for cell in idle)
    if lossy := cells(results, "lossy"):
        found["overhead_lossy_ratio"] = statistics.median(cell.ratio for cell in lossy)
    if lines := pipelines(results):
        found["series_slice_vs_slowest_stage"] = max(line.vs_slowest for line in lines)
        found["series_speedup"] = min(line.speedup for line in lines)
    if stats := urgent(results):
        found["stat_vs_idle_ratio"] = max(one.ratio for one in stats)
        found["stat_untuned_vs_idle_ratio"] = max(one.untuned_ratio for one in stats)
        found["stat_link_used"] = min(one.link_used for one in stats)
        found["routine_failed"] = float(sum(one.record.notes["routine_failed"] for one in stats))
    return found


def _by_arm(results: Results, point: Point) -> Iterator[tuple[str, list[Sample]]]:
    samples = [sample for sample in results.samples.get(point.key, ()) if sample.ok]
    for arm in dict.fromkeys(sample.arm for sample in samples):
        yield arm, [sample for sample in samples if sample.arm == arm]


def _without_reading(sample: Sample) -> float:
    return sample.total_s - sample.steps_s["preprocess"]


def _cell(record: PointRecord, cut: str, samples: Sequence[Sample]) -> Cell:
    point, rtt_s = record.point, float(record.notes["rtt_s"])
    measured_s = [_without_reading(sample) for sample in samples]
    bounds_s = [bound_s(sample, point.rate_bps, rtt_s) for sample in samples]
    return Cell(
        point=point,
        rtt_s=rtt_s,
        cut=cut,
        payload_bytes=samples[0].payload_bytes,
        measured=Spread.of(measured_s),
        bound_s=statistics.median(bounds_s),
        ratio=statistics.median(took / least for took, least in zip(measured_s, bounds_s, strict=True)),
        over_s=statistics.median(took - least for took, least in zip(measured_s, bounds_s, strict=True)),
        profiled_bound_s=bound_s(samples[0], point.rate_bps, rtt_s, record.notes["sides_s"][cut]),
    )


def _pipeline(results: Results, record: PointRecord) -> Pipeline:
    arms = dict(_by_arm(results, record.point))
    slices, rate_bps = record.notes["slices"], record.notes["rate_bps"]
    alone, together = arms["one_by_one"], arms["pipeline"]
    return Pipeline(
        point=record.point,
        cut=record.notes["cut"],
        slices=slices,
        rate_bps=rate_bps,
        stages_s=_stages_s(alone, rate_bps),
        slowest_together_s=max(_stages_s(together, rate_bps).values()),
        alone_s=statistics.median(sample.total_s for sample in alone) / slices,
        series=Spread.of([sample.total_s / slices for sample in together]),
    )


def _stages_s(samples: Sequence[Sample], rate_bps: float) -> dict[str, float]:
    def median(*steps: str) -> float:
        return statistics.median(sum(sample.steps_s[step] for step in steps) for sample in samples)

    return {
        "reading": median("preprocess"),
        "head": median("head", "encode"),
        "wire": 8 * samples[0].payload_bytes / (rate_bps * TCP_PAYLOAD_SHARE),
        "tail": median("decode", "tail"),
    }
