"""The codec experiment's figures, from its results alone; one whose codec the bundles do not offer is left out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from suture_simulators.experiments.codec_rows import ANSWERS, FAST, SMALL, CutRow, cut_rows
from suture_simulators.experiments.codec_ways import (
    Way,
    all_ways,
    bottleneck_point,
    fewest_bytes_as_good,
    narrow_points,
    pictures,
    same_auc_target,
)
from suture_simulators.experiments.types import Results

#: Tensors of fewer codes are judged by time, not by time per code: calls alone take longer.
LARGE_CODES: Final = 16_000


def figures(results: Results) -> dict[str, float]:
    """The flat figures; see `codec_report` for what each is."""
    rows, ways = cut_rows(results), all_ways(results)
    weights = {name: raw["weights"] for name, raw in results.facts.get("networks", {}).items()}
    coded = [row for row in rows if row.all_codes and not row.base]
    return {
        **_small(coded),
        **_fast(coded),
        **_inexact(results, rows),
        **_narrow([way for way in ways if weights.get(way.network) != "random"] or ways),
        **_bottleneck(rows, ways),
        **_pictures(ways),
    }


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


def _inexact(results: Results, rows: Iterable[CutRow]) -> dict[str, float]:
    """How many images came back changed from a codec that calls itself lossless."""
    coded = [one for row in rows for one in row.lossless]
    answered = [record.point.key for record in results.valid if record.notes.get("part") == ANSWERS]
    lost = sum(sample.error != "" for key in answered for sample in results.samples.get(key, ()))
    return {"lossless_inexact": float(sum(one.inexact for one in coded) + lost)} if coded else {}


def _narrow(ways: Sequence[Way]) -> dict[str, float]:
    points = narrow_points(ways)
    if not points:
        return {}
    losses = [way.loss.value for way in points if way.loss is not None]
    unlabelled = [way.changed.value for way in points if way.loss is None]
    return {
        "narrow_ratio_vs_float32": min(way.ratio_float32 or 0.0 for way in points),
        **({"narrow_auc_loss": max(losses)} if losses else {}),
        **({"narrow_agreement": 1 - max(unlabelled)} if unlabelled else {}),
    }


def _bottleneck(rows: Sequence[CutRow], ways: Sequence[Way]) -> dict[str, float]:
    point = bottleneck_point(ways)
    if point is None:
        return {}
    found = {"bottleneck_bytes_median": point.bytes_median}
    if point.loss is None:
        found["bottleneck_agreement"] = 1 - point.changed.value
    else:
        found["bottleneck_auc_loss"] = point.loss.value
    own = next((row for row in rows if row.network == point.bottleneck), None)
    if own is not None and own.head_vs_base is not None:
        found["bottleneck_head_ratio"] = own.head_vs_base
    return found


def _pictures(ways: Sequence[Way]) -> dict[str, float]:
    target = same_auc_target(ways)
    if target is None:
        return {}
    jpeg = fewest_bytes_as_good(pictures(ways, "jpeg"), target)
    every = fewest_bytes_as_good(pictures(ways), target)
    return {
        **({} if jpeg is None else {"jpeg_same_auc_bytes_median": jpeg}),
        **({} if every is None else {"picture_same_auc_bytes_median": every}),
    }
