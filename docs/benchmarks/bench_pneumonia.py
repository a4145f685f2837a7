"""AUC, accuracy and agreement of the pneumonia network on its test split: engines x processor classes x cuts.

    python docs/benchmarks/bench_pneumonia.py --data "$SUTURE_DATA" --bundle bundles/pneumonia_mobilenet_v2

OpenVINO is measured as this processor runs it, and once more in a process limited to AVX2 (`ONEDNN_MAX_CPU_ISA`), where
the artefact for processors without 8-bit dot products is chosen. The reference is the float network in torch. With
`--bits 4` (repeatable) the middle cuts are measured with codes narrowed so far as well; no threshold applies to those.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import write_report
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.registry import choose_variant, engine_names, get_engine, load_head
from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_models.preprocess import preprocess
from suture_models.walk import read_file
from suture_partitioner.device import processor_class
from suture_protocol.codecs.registry import codec_of
from suture_protocol.payload import pack, unpack

_MIDDLE = 3
_AUC_TOLERANCE = 0.01
_SAME_SIDE = 0.97
_NARROWED = ", codes of "


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds cxr_pneumonia_224.")],
    bundle: Annotated[Path, typer.Option(help="Built with all three engines.")],
    every_cut: Annotated[bool, typer.Option("--every-cut", help="All candidate cuts, with OpenVINO.")] = False,
    limit: Annotated[int, typer.Option(help="Use the first N images only; 0 for all.")] = 0,
    bits: Annotated[list[int] | None, typer.Option(min=2, max=7, help="Narrow codes too; repeatable.")] = None,
    only: Annotated[str, typer.Option(help="Used by the program itself.", hidden=True)] = "",
) -> None:
    """Measures, writes docs/benchmarks/pneumonia_<machine>_<date>.md, exits 1 where a threshold is missed."""
    opened = open_bundle(bundle)
    images, truth = load_split(data, opened, limit)
    if only:
        sys.stdout.write(json.dumps(_measure(opened, only, images, every_cut, bits or [])))
        return
    tails = Tails(opened, choose_device("cpu"))
    reference = [_margin(_tail(tails, opened, INPUT_CUT, "", (image,))) for image in images]
    rows = [_row("torch, float", "whole", reference, reference, truth, opened)]
    for engine in engine_names():
        arms = {"": os.environ.get("ONEDNN_MAX_CPU_ISA", "")}
        if engine == "openvino":
            arms["limited to AVX2"] = "AVX2"
        for label, isa in arms.items():
            measured = _in_process(data, bundle, engine, isa, every_cut, limit, bits or [])
            for cut_id, margins in measured["margins"].items():
                rows.append(_row(f"{measured['variant']} {label}".strip(), cut_id, margins, reference, truth, opened))
    judged = [r for r in rows if _NARROWED not in r["cut"]]
    missed = [r for r in judged if abs(r["auc"] - rows[0]["auc"]) > _AUC_TOLERANCE or r["same_side"] < _SAME_SIDE]
    lines = [f"{len(images)} images of the test split; threshold {opened.manifest.network.threshold:.3f}.", ""]
    lines += ["| artefact | cut | AUC | accuracy | same side as float | median abs. change of the logit margin |"]
    lines += ["|---|---|---|---|---|---|"]
    for r in rows:
        numbers = f"{r['auc']:.4f} | {r['accuracy']:.3f} | {r['same_side']:.3f} | {r['delta']:.3f}"
        lines.append(f"| {r['arm']} | `{r['cut']}` | {numbers} |")
    lines += [
        "",
        f"Thresholds: AUC within {_AUC_TOLERANCE} of float, same side >= {_SAME_SIDE}. Missed: {len(missed)}.",
    ]
    write_report("pneumonia", lines, {"bundle": opened.digest, "built_with": dict(opened.manifest.built_with)})
    raise typer.Exit(1 if missed else 0)


def load_split(data: Path, bundle: Bundle, limit: int) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
    """Preprocessed inputs of the test split and their labels (1: pneumonia)."""
    with (data / "cxr_pneumonia_224" / "MANIFEST.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    rows = rows[:: max(len(rows) // limit, 1)] if limit else rows
    images = [preprocess(read_file(data / row["path"]), bundle.manifest.network) for row in rows]
    return images, np.array([row["label"] == "PNEUMONIA" for row in rows], dtype=np.int64)


def _in_process(
    data: Path, bundle: Path, engine: str, isa: str, every_cut: bool, limit: int, bits: list[int]
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--data", str(data), "--bundle", str(bundle), "--limit", str(limit)]
    command += ["--only", engine, *(["--every-cut"] if every_cut and engine == "openvino" else [])]
    command += [part for width in bits for part in ("--bits", str(width))]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa} if isa else dict(os.environ)
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _measure(
    bundle: Bundle, engine_name: str, images: list[NDArray[Any]], every_cut: bool, bits: list[int]
) -> dict[str, Any]:
    engine = get_engine(engine_name)
    variant = choose_variant(bundle, engine_name, processor_class())
    tails = Tails(bundle, choose_device("cpu"))
    cuts = [c for c in bundle.manifest.cuts if c.candidate and variant.has_cut(c)]
    if not every_cut:
        middle = cuts[1:-1]
        picked = [middle[len(middle) * i // (_MIDDLE + 1)] for i in range(1, _MIDDLE + 1)]
        cuts = [cuts[0], *picked, cuts[-1]]
    margins = {}
    for cut in cuts:
        head = load_head(engine, bundle, variant, cut)
        boundaries = [head.run(image) for image in images]
        head.close()
        margins[cut.id] = [_through(tails, bundle, variant.id, cut, boundary) for boundary in boundaries]
        for width in bits if cut.id not in (INPUT_CUT, LAST_CUT) else []:
            codec = codec_of(f"zstd@{width}")
            narrowed = [unpack(*pack(boundary, codec), codec) for boundary in boundaries]
            found = [_through(tails, bundle, variant.id, cut, boundary) for boundary in narrowed]
            margins[f"{cut.id}{_NARROWED}{width} bit"] = found
    return {"variant": variant.id, "margins": margins}


def _through(tails: Tails, bundle: Bundle, variant_id: str, cut: Cut, boundary: tuple[NDArray[Any], ...]) -> float:
    if cut.id == LAST_CUT:
        return _margin(boundary[0])
    return _margin(_tail(tails, bundle, cut.id, variant_id, boundary))


def _tail(
    tails: Tails, bundle: Bundle, cut_id: str, variant_id: str, boundary: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    request = TailRequest(bundle_digest=bundle.digest, cut_id=cut_id, variant_id=variant_id, tensors=boundary)
    return next(iter(tails.run(request).values()))


def _margin(logits_NK: NDArray[Any]) -> float:
    return float(logits_NK[0, 1] - logits_NK[0, 0])


def _row(
    arm: str, cut: str, margins: list[float], reference: list[float], truth: NDArray[np.int64], bundle: Bundle
) -> dict[str, Any]:
    found, float_found = np.array(margins), np.array(reference)
    threshold = bundle.manifest.network.threshold
    limit = np.log(threshold / (1 - threshold))
    return {
        "arm": arm,
        "cut": cut,
        "auc": float(roc_auc_score(truth, found)),
        "accuracy": float(((found >= limit) == truth).mean()),
        "same_side": float(((found >= limit) == (float_found >= limit)).mean()),
        "delta": float(np.median(np.abs(found - float_found))),
    }


if __name__ == "__main__":
    typer.run(main)
