"""What a learned bottleneck costs and saves on the pneumonia test split: AUC, bytes, head time, against its rivals.

    suture build pneumonia_mobilenet_v2 --engine openvino
    suture build pneumonia_mobilenet_v2 --bottleneck pneumonia_bottleneck_m --engine openvino
    python docs/benchmarks/bench_bottleneck.py --data "$SUTURE_DATA" --plain bundles/pneumonia_mobilenet_v2 \
      bundles/pneumonia_mobilenet_v2_bottleneck

Each bundle with a bottleneck is one operating point: OpenVINO INT8 head with the encoder, codes, codec, float tail with
the decoder. Rivals on the same images: WebP and JPEG of the image, whole and at half its side (decoded, scaled back,
then the whole float network), and narrowed codes of the plain bundle at a deep cut and at the bottleneck's. Intervals
are paired: both arms on the same resamples of patients.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from bench_pneumonia import load_split
from bottleneck_arms import (
    BEST_ZSTD,
    Arm,
    Tables,
    Truth,
    code_cut,
    load_openvino_head,
    margins_of,
    narrowed_codes,
    pictures,
    whole_network,
)
from common import write_report
from numpy.typing import NDArray

from suture_cloud.tail import Tails, choose_device
from suture_models.bundle import Bundle, open_bundle
from suture_models.calibration import calibration_inputs
from suture_protocol.codecs.registry import codec_of
from suture_protocol.payload import pack

_RESAMPLES = 2000
_BYTES_AT_MOST = 1500
_AUC_LOSS_AT_MOST = 0.01
_TIME_AT_MOST = 1.3
_ROUNDS, _CALLS = 9, 60


def main(
    bottlenecks: Annotated[list[Path], typer.Argument(help="Bundles with a bottleneck, one per operating point.")],
    data: Annotated[Path, typer.Option(help="The folder that holds cxr_pneumonia_224.")],
    plain: Annotated[Path, typer.Option(help="The same network's bundle without one.")],
    limit: Annotated[int, typer.Option(help="Use the first N images only; 0 for all.")] = 0,
) -> None:
    """Measures, writes docs/benchmarks/bottleneck_<machine>_<date>.md, exits 1 where the first bundle misses."""
    base = open_bundle(plain)
    images, labels = load_split(data, base, limit)
    truth = Truth(ill_N=labels == 1, resamples=_resamples(data, labels, limit))
    tails = Tails(base, choose_device("cpu"))
    zeros = np.zeros(len(images), np.int64)
    whole = Arm(name="float, the image as it is", rival="", sizes_N=zeros, margins_N=whole_network(tails, images))
    points = [_point(open_bundle(path), images) for path in bottlenecks]
    times = [_head_times(base, open_bundle(path), images[0]) for path in bottlenecks]
    rivals = [*narrowed_codes(base, images, open_bundle(bottlenecks[0])), *pictures(tails, images)]
    about = f"{len(images)} images of the test split, {_RESAMPLES} paired resamples of patients; payload bytes."
    lines = [about]
    lines += ["", *_point_lines(points, times, bottlenecks, truth, whole)]
    lines += ["## The curve", "", *_curve_lines([*points, *rivals], truth, whole), "", "## Who dominates", ""]
    lines += _verdicts(points, rivals, truth)
    digests = {path.name: open_bundle(path).digest for path in (plain, *bottlenecks)}
    built = {path.name: dict(open_bundle(path).manifest.built_with) for path in bottlenecks}
    write_report("bottleneck", lines, {"bundles": digests, "built_with": built, "calls per head": _ROUNDS * _CALLS})
    loss = -truth.difference(points[0], whole)[0]
    kept = points[0].median_bytes <= _BYTES_AT_MOST and loss <= _AUC_LOSS_AT_MOST
    raise typer.Exit(0 if kept and _ratio(times[0]) <= _TIME_AT_MOST else 1)


def _resamples(data: Path, labels: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], ...]:
    """Whole patients drawn with replacement; a draw of one label only is drawn again."""
    with (data / "cxr_pneumonia_224" / "MANIFEST.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    rows = rows[:: max(len(rows) // limit, 1)] if limit else rows
    members: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        members.setdefault(row["patient"], []).append(place)
    groups, generator = list(members.values()), np.random.default_rng(0)
    drawn: list[NDArray[np.int64]] = []
    while len(drawn) < _RESAMPLES:
        chosen = np.array([i for g in generator.integers(0, len(groups), len(groups)) for i in groups[g]])
        if 0 < labels[chosen].sum() < len(chosen):
            drawn.append(chosen)
    return tuple(drawn)


def _point(bundle: Bundle, images: Sequence[NDArray[Any]]) -> Arm:
    cut = code_cut(bundle)
    head, variant = load_openvino_head(bundle, cut)
    tables = Tables([head.run(image)[0] for image in calibration_inputs(bundle.manifest.network, None).inputs])
    boundaries = [head.run(image) for image in images]
    head.close()
    sizes = np.array([tables.encoded(boundary[0]) for boundary in boundaries])
    zstd = codec_of("zstd", BEST_ZSTD)
    zstd_bytes = statistics.median(len(pack(boundary, zstd)[1]) for boundary in boundaries)
    entropy = statistics.median(_order0_bytes(boundary[0]) for boundary in boundaries)
    note = f"zstd-19 {zstd_bytes:.0f}, own order-0 entropy per channel {entropy:.0f}"
    margins = margins_of(Tails(bundle, choose_device("cpu")), bundle, cut, variant, boundaries)
    return Arm(name=f"bottleneck {bundle.path.name}", rival="", sizes_N=sizes, margins_N=margins, note=note)


def _order0_bytes(codes: NDArray[np.uint8]) -> float:
    bits = 0.0
    for channel in codes[0]:
        counts = np.unique(channel, return_counts=True)[1]
        bits += float(-(counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def _head_times(base: Bundle, bundle: Bundle, image: NDArray[Any]) -> list[tuple[float, float]]:
    """Median seconds of the head with the encoder and of the plain one, in each round of alternating calls."""
    ours, _ = load_openvino_head(bundle, code_cut(bundle))
    plain, _ = load_openvino_head(base, base.cut(bundle.manifest.built_with["bottleneck_cut"]))
    rounds = []
    for _ in range(_ROUNDS + 1):
        pairs = [(_seconds(ours.run, image), _seconds(plain.run, image)) for _ in range(_CALLS)]
        rounds.append((statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)))
    ours.close()
    plain.close()
    return rounds[1:]


def _seconds(run: Callable[[Any], object], image: NDArray[Any]) -> float:
    start_s = time.perf_counter()
    run(image)
    return time.perf_counter() - start_s


def _ratio(times: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours / plain for ours, plain in times)


def _point_lines(
    points: Sequence[Arm],
    times: Sequence[Sequence[tuple[float, float]]],
    paths: Sequence[Path],
    truth: Truth,
    whole: Arm,
) -> list[str]:
    lines = [
        "## Operating points",
        "",
        "| bundle | cut | weights | AUC | AUC loss (95 %) | bytes, median (max) | other coders, median bytes "
        "| head, ms | plain head, ms | ratio (rounds) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for point, rounds, path in zip(points, times, paths, strict=True):
        built = open_bundle(path).manifest.built_with
        ours, plain = (statistics.median(r[place] for r in rounds) * 1e3 for place in (0, 1))
        ratios = [a / b for a, b in rounds]
        lines.append(
            f"| {path.name} | behind `{built['bottleneck_cut']}` | `{built['bottleneck_sha256'][:12]}` "
            f"| {truth.auc(point.margins_N):.4f} | {_interval(truth.difference(whole, point))} "
            f"| {point.median_bytes:.0f} ({point.sizes_N.max()}) | {point.note} "
            f"| {ours:.3f} | {plain:.3f} | {_ratio(rounds):.3f} ({min(ratios):.3f}-{max(ratios):.3f}) |"
        )
    return [
        *lines,
        "",
        "Bytes: one table per channel from the package's calibration images, range coder, decoded and compared.",
        f"Limits for the first bundle: {_BYTES_AT_MOST} bytes, loss {_AUC_LOSS_AT_MOST}, ratio {_TIME_AT_MOST}.",
        "",
    ]


def _curve_lines(arms: Sequence[Arm], truth: Truth, whole: Arm) -> list[str]:
    lines = [f"The float network on the images as they are: AUC {truth.auc(whole.margins_N):.4f}.", ""]
    lines += ["| sent | bytes, median (max) | AUC | AUC loss (95 %) |", "|---|---|---|---|"]
    for arm in sorted(arms, key=lambda arm: arm.median_bytes):
        name = arm.name if arm.rival else f"**{arm.name}**"
        loss = _interval(truth.difference(whole, arm))
        cells = f"{arm.median_bytes:.0f} ({arm.sizes_N.max()}) | {truth.auc(arm.margins_N):.4f} | {loss}"
        lines.append(f"| {name} | {cells} |")
    return lines


def _verdicts(points: Sequence[Arm], rivals: Sequence[Arm], truth: Truth) -> list[str]:
    """For each operating point: what a rival gets for no fewer bytes, and what the same AUC costs it."""
    lines = []
    for point in points:
        auc = truth.auc(point.margins_N)
        beating = [r.name for r in rivals if r.median_bytes <= point.median_bytes and truth.auc(r.margins_N) >= auc]
        if beating:
            lines.append(f"- {point.name} is itself dominated by: {', '.join(beating)}.")
        kinds = {kind: [r for r in rivals if r.rival == kind] for kind in dict.fromkeys(r.rival for r in rivals)}
        lines += [f"- {_verdict(point, auc, arms, kind, truth)}" for kind, arms in kinds.items()]
    whole = "Not in the table: the last cut. Two logits are 8 bytes, for all of the network's work on the unit."
    return [*lines, "", whole]


def _verdict(point: Arm, auc: float, arms: Sequence[Arm], rival: str, truth: Truth) -> str:
    as_good = [arm for arm in arms if truth.auc(arm.margins_N) >= auc]
    if as_good:
        cheapest = min(as_good, key=lambda arm: arm.median_bytes)
        factor = cheapest.median_bytes / point.median_bytes
        first = f"the same AUC costs {rival} {cheapest.median_bytes:.0f} bytes, {factor:.1f} x as many"
    else:
        first = f"{rival} reaches its AUC at none of the settings tried"
    dearer = [arm for arm in arms if arm.median_bytes >= point.median_bytes]
    if not dearer:
        return f"{point.name}: {first}; all its settings take fewer bytes."
    near = min(dearer, key=lambda arm: arm.median_bytes)
    gain = truth.difference(point, near)
    word = "better beyond chance" if gain[1] > 0 else "worse beyond chance" if gain[2] < 0 else "no clear difference"
    return f"{point.name}: {first}; against {near.name} ({near.median_bytes:.0f} bytes) AUC {_interval(gain)}, {word}."


def _interval(found: tuple[float, float, float]) -> str:
    value, low, high = found
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    typer.run(main)
