"""Heads and tails that were held out, predicted from the counters and the measured ones, against their measured times.

    python docs/benchmarks/bench_prediction.py bundles/densenet121 bundles/resnet50 [--engine openvino] [--budget 90]

Every candidate cut is measured; then each is predicted from all the others (`leave one out`, the two ends aside, which
a profile always measures), and all of them from a dozen, chosen as a quick profile chooses (`from 12`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import write_report

from suture_cloud.profiling import measure_tails
from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.profiling import measure_edge
from suture_models.bundle import Bundle, open_bundle
from suture_models.calibration import calibration_inputs
from suture_partitioner.device import processor_class
from suture_partitioner.predict import predicted, terms
from suture_partitioner.profile import in_order
from suture_partitioner.types import Profile

_SUBSET = 12
#: Largest mean absolute percentage error, per network and side; and the least rank correlation.
_MAPE_MAX = 5.0
_RANK_MIN = 0.98
_IMAGES = 3


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Built bundles.")],
    engine: Annotated[list[str] | None, typer.Option(help="Engines of the heads; default: openvino.")] = None,
    budget: Annotated[float, typer.Option(help="Seconds to measure all cuts of one network on one side.")] = 90.0,
    device: Annotated[str, typer.Option(help="Of the tails: auto, cpu or cuda.")] = "auto",
) -> None:
    """Measures, writes docs/benchmarks/prediction_<machine>_<date>.md, exits 1 where a threshold is missed."""
    torch.set_num_threads(1)
    lines = [
        "| network | part | cuts | way | predicted | MAPE, % | 90th percentile, % | worst, % | rank correlation |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    missed: list[str] = []
    for path in bundles:
        opened = open_bundle(path)
        profiles = [_heads(opened, name, budget) for name in engine or ["openvino"]]
        profiles.append(measure_tails(Tails(opened, choose_device(device)), budget_s=budget))
        for profile in profiles:
            rows, wrong = _judged(opened, profile)
            lines += rows
            missed += wrong
    lines += [
        "",
        f"Thresholds, for either way: MAPE <= {_MAPE_MAX:g} %, rank correlation >= {_RANK_MIN:g}. "
        + (f"Missed: {'; '.join(missed)}." if missed else "All are kept."),
    ]
    configuration = {"bundles": ", ".join(str(path) for path in bundles), "budget_s": budget, "threads": 1}
    write_report("prediction", lines, configuration)
    raise typer.Exit(int(bool(missed)))


def _heads(bundle: Bundle, engine: str, budget_s: float) -> Profile:
    heads = Heads(bundle, get_engine(engine), choose_variant(bundle, engine, processor_class()))
    images = calibration_inputs(bundle.manifest.network, None).inputs[:_IMAGES]
    return measure_edge(heads, images, budget_s=budget_s)


def _judged(bundle: Bundle, profile: Profile) -> tuple[list[str], list[str]]:
    """The table's rows of one profile, and what misses a threshold."""
    cuts = [bundle.cut(cut_id) for cut_id in profile.cuts]
    described = terms(bundle.manifest, cuts, profile.side, profile.layers_s)
    measured_s = {c: t.compute_s for c, t in profile.cuts.items() if t.samples and any(described[c])}
    sizes = {c: min(t.payload_bytes.values()) for c, t in profile.cuts.items() if t.payload_bytes}
    order = in_order({c: described[c][0] for c in measured_s}, sizes)
    few = {c: measured_s[c] for c in order[:_SUBSET]}
    ways = {
        "leave one out": {c: _without(described, measured_s, c) for c in order[2:]},
        f"from {_SUBSET}": {c: s for c, s in predicted(described, few).items() if c in measured_s and c not in few},
    }
    part = f"heads, {profile.engine}" if profile.side == "edge" else f"tails, {profile.device['tails_on']}"
    rows, missed = [], []
    for way, found_s in ways.items():
        if len(found_s) < 3:  # a rank correlation of two says nothing
            continue
        errors = np.array([abs(seconds / measured_s[c] - 1) for c, seconds in found_s.items()]) * 100
        rank = _rank_correlation(list(found_s.values()), [measured_s[c] for c in found_s])
        name = f"{bundle.name} {part} {way}"
        figures = f"{errors.mean():.2f} | {np.percentile(errors, 90):.2f} | {errors.max():.1f} | {rank:.4f}"
        rows.append(f"| {bundle.name} | {part} | {len(measured_s)} | {way} | {len(found_s)} | {figures} |")
        if errors.mean() > _MAPE_MAX or rank < _RANK_MIN:
            missed.append(name)
    return rows, missed


def _without(described: Mapping[str, Any], measured_s: Mapping[str, float], cut_id: str) -> float:
    """The prediction for a cut as if it had not been measured."""
    return predicted(described, {c: s for c, s in measured_s.items() if c != cut_id})[cut_id]


def _rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's, without ties."""
    ranks = [np.argsort(np.argsort(np.asarray(values))).astype(np.float64) for values in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


if __name__ == "__main__":
    typer.run(main)
