"""What codecs cost in answers, and the codec experiment's figures. Numbers from results alone.

Of a network with two labels, and images whose folders name them, the loss is in hundredths of AUC against the float
network on the same images; of any other it is the share of answers that differ from the float network's own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from suture_simulators.experiments.auc import Resampled, share_interval
from suture_simulators.experiments.codec_answers import FLOAT
from suture_simulators.experiments.codec_rows import ANSWERS, FAST, SMALL, CutRow, cut_rows, grouped
from suture_simulators.experiments.statistics import Interval
from suture_simulators.experiments.types import PointRecord, Results, Sample

#: Tensors of fewer codes are judged by time, not by time per code: calls alone take longer.
LARGE_CODES: Final = 16_000
NARROW: Final = "narrow@"
#: What narrowed codes are to be smaller than float32 by.
NARROW_RATIO: Final = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One way to send an image, over all images.

    Attributes:
        cut: Its id, `0` for a picture.
        spec: Codec's spec, or a picture's format and quality.
        loss: Hundredths of AUC against the float network; None without labels.
        changed: Share of answers that are not the float network's.
        ratio_float32: How many times smaller than the boundary in float32; None for pictures.
        favourite: Its place among the cuts that plans prefer, from 1; 0 at the input.
    """

    network: str
    cut: str
    spec: str
    lossless: bool
    bytes_median: float
    bytes_p90: float
    auc: Interval | None
    loss: Interval | None
    changed: Interval
    ratio_float32: float | None
    favourite: int


def answered(results: Results) -> list[Answered]:
    """All that was answered, by network, in the order of the points."""
    found: list[Answered] = []
    records = [record for record in results.valid if record.notes.get("part") == ANSWERS]
    for network in dict.fromkeys(record.point.network for record in records):
        of_it = [record for record in records if record.point.network == network]
        reference = next((record for record in of_it if record.notes["is_input"]), None)
        if reference is not None:
            found += _of_network(results, reference, of_it)
    return found


def _of_network(results: Results, reference: PointRecord, records: Iterable[PointRecord]) -> list[Answered]:
    seed = int(results.facts.get("seed", 1))
    truth, patients = reference.notes["truth"], reference.notes["patients"]
    resampled = None if truth is None else Resampled(truth, patients, seed=seed)
    floats = _values(grouped(results.samples[reference.point.key])[FLOAT], "margin")
    found = []
    favourite = 0
    for record in records:
        favourite += not record.notes["is_input"]
        for arm, samples in grouped(results.samples[record.point.key]).items():
            sizes = [sample.payload_bytes for sample in samples]
            both = resampled is not None and floats
            margins = _values(samples, "margin")
            whole = record.notes.get("bytes_float32")
            found.append(
                Answered(
                    network=record.point.network,
                    cut=record.notes["cut"],
                    spec=arm,
                    lossless=arm in record.notes.get("lossless", (FLOAT,)),
                    bytes_median=statistics.median(sizes),
                    bytes_p90=float(np.percentile(sizes, 90)),
                    auc=resampled.auc(margins) if resampled is not None and both else None,
                    loss=resampled.loss_points(floats, margins) if resampled is not None and both else None,
                    changed=share_interval(_values(samples, "changed"), patients, seed=seed),
                    ratio_float32=None if whole is None else whole / statistics.median(sizes),
                    favourite=0 if record.notes["is_input"] else favourite,
                )
            )
    return found


def _values(samples: Iterable[Sample], name: str) -> list[float]:
    return [sample.extra[name] for sample in samples if name in sample.extra]


def narrow_points(ways: Iterable[Answered]) -> list[Answered]:
    """At each favourite cut, the widest narrowed codes that are `NARROW_RATIO` times smaller than float32.

    By size alone and not by the loss on these images, which would choose the lucky ones. Where none is so small, the
    smallest.
    """
    by_cut: dict[tuple[str, str], list[Answered]] = {}
    for way in ways:
        if way.spec.startswith(NARROW):
            by_cut.setdefault((way.network, way.cut), []).append(way)
    found = []
    for there in by_cut.values():
        small = [way for way in there if (way.ratio_float32 or 0.0) >= NARROW_RATIO]
        found.append(max(small, key=lambda w: w.bytes_median) if small else min(there, key=lambda w: w.bytes_median))
    return found


def figures(results: Results) -> dict[str, float]:
    """The flat figures; one whose codec the bundles do not offer is left out."""
    rows = [row for row in cut_rows(results) if row.all_codes]
    found = {**_small(rows), **_fast(rows)}
    coded = [one for row in cut_rows(results) for one in row.lossless]
    lost = sum(s.error != "" for r in results.valid if r.notes.get("part") == ANSWERS for s in _of(results, r))
    if coded:
        found["lossless_inexact"] = float(sum(one.inexact for one in coded) + lost)
    ways = answered(results)
    return found | _lossy(ways)


def _of(results: Results, record: PointRecord) -> Iterable[Sample]:
    return results.samples.get(record.point.key, ())


def _small(rows: Iterable[CutRow]) -> dict[str, float]:
    having = [row for row in rows if SMALL in row.coded]
    if not having:
        return {}
    over = [ratio for row in having if (ratio := row.over_references(SMALL)) is not None]
    return {
        **({"lossless_small_vs_best_max": max(over)} if over else {}),
        "lossless_small_vs_entropy_median": statistics.median(row.over_entropy(SMALL) for row in having),
    }


def _fast(rows: Iterable[CutRow]) -> dict[str, float]:
    having = [row for row in rows if FAST in row.coded]
    large = [row for row in having if row.codes >= LARGE_CODES]
    found: dict[str, float] = {}
    if large:
        found["lossless_fast_vs_entropy_max"] = max(row.over_entropy(FAST) for row in large)
        found["lossless_fast_ns_per_code_max"] = max(1e9 * row.coded[FAST].both_s / row.codes for row in large)
    if len(large) < len(having):
        small = [row for row in having if row.codes < LARGE_CODES]
        found["lossless_fast_small_tensor_s_max"] = max(row.coded[FAST].both_s for row in small)
    return found


def _lossy(ways: list[Answered]) -> dict[str, float]:
    found: dict[str, float] = {}
    if points := narrow_points(ways):
        found["narrow_ratio_vs_float32"] = min(way.ratio_float32 or 0.0 for way in points)
        if losses := [way.loss.value for way in points if way.loss is not None]:
            found["narrow_auc_loss"] = max(losses)
        found["narrow_agreement"] = 1 - max(way.changed.value for way in points)
    rival = same_auc_target(ways)
    if rival is not None and rival.loss is not None:
        jpegs = [w for w in pictures(ways, "jpeg") if w.loss is not None and w.network == rival.network]
        enough = [way.bytes_median for way in jpegs if way.loss is not None and way.loss.value <= rival.loss.value]
        if enough:
            found["jpeg_same_auc_bytes_median"] = min(enough)
    return found


def same_auc_target(ways: Iterable[Answered]) -> Answered | None:
    """What JPEG has to equal in AUC: the best narrowed codes that are small enough; None without them, or labels."""
    points = [way for way in narrow_points(ways) if way.loss is not None]
    return min(points, key=lambda way: way.bytes_median, default=None)


def pictures(ways: Iterable[Answered], kind: str) -> list[Answered]:
    """The image as one format leaves it, by quality."""
    return [way for way in ways if way.favourite == 0 and way.spec.startswith(f"{kind} q")]
