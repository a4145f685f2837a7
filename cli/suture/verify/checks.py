"""The checks of one bundle: torch splits, float heads, INT8 codes, and how near the answer stays to float."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suture.verify.unsplit import Arrays, onnxruntime_codes, openvino_codes
from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails
from suture_edge.engines.registry import get_engine, load_head
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, Variant
from suture_models.program import subgraph
from suture_partitioner.device import processor_class
from suture_partitioner.profile import Progress

TORCH_TOLERANCE = 1e-5
ENGINE_TOLERANCE = 1e-3
#: An OpenVINO head's codes may differ from the unsplit network's by one (a rounding tie), and hardly ever do.
CODES_APART = 1
CODES_EQUAL = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check of one cut. `figure` is what was measured, `ok` whether it is within the limit that `what` names."""

    cut_id: str
    arm: str
    what: str
    figure: float
    ok: bool
    note: str = ""


def verify(
    bundle: Bundle,
    images: list[NDArray[Any]],
    cuts: list[Cut],
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Checks `cuts` of `bundle` on `images` (inputs of its shape and dtype) with every artefact that can run here.

    INT8 artefacts of other processor classes than this machine's are left out.
    """
    tails = Tails(bundle, torch.device("cpu"))
    whole = [_whole(tails, bundle, image) for image in images]
    variants = [v for v in bundle.manifest.variants if v.processor in ("any", processor_class())]
    steps = [(None, cut) for cut in cuts] + [(v, cut) for v in variants for cut in cuts if v.has_cut(cut)]
    for done, (variant, cut) in enumerate(steps):
        arm = "torch" if variant is None else variant.id
        if progress is not None:
            progress(done, len(steps), f"{arm}, cut {cut.id}")
        if variant is None:
            yield _torch_split(tails, cut, images, whole)
        elif cut.id != INPUT_CUT:
            yield from _engine(tails, bundle, variant, cut, images, whole)


def relative_error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Largest difference over the largest magnitude."""
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))


def cosine(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Cosine of the angle between two outputs."""
    a, b = found.ravel().astype(np.float64), wanted.ravel().astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))


def _whole(tails: Tails, bundle: Bundle, image: NDArray[Any]) -> NDArray[Any]:
    return _finish(tails, bundle, bundle.cut(INPUT_CUT), "", (image,))


def _finish(tails: Tails, bundle: Bundle, cut: Cut, variant_id: str, boundary: Arrays) -> NDArray[Any]:
    if cut.id == LAST_CUT:
        return boundary[0]
    request = TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant_id, tensors=boundary)
    return next(iter(tails.run(request).values()))


def _torch_split(tails: Tails, cut: Cut, images: list[NDArray[Any]], whole: list[NDArray[Any]]) -> Finding:
    program = tails.program
    names = (program.input,) if cut.id == INPUT_CUT else tuple(t.name for t in cut.boundary)
    worst, wrong = 0.0, ""
    with torch.inference_mode():
        head = subgraph(program, (program.input,), names)
        tail = subgraph(program, names, program.outputs)
        for image, wanted in zip(images, whole, strict=True):
            boundary = head(torch.from_numpy(image))
            if [tuple(t.shape) for t in boundary] != [t.shape for t in cut.boundary]:
                wrong = f"the head gives {[tuple(t.shape) for t in boundary]}, the manifest says otherwise"
            worst = max(worst, relative_error(tail(*boundary)[0].numpy(), wanted))
    return Finding(
        cut_id=cut.id,
        arm="torch",
        what=f"split = whole, <= {TORCH_TOLERANCE:g}",
        figure=worst,
        ok=worst <= TORCH_TOLERANCE and not wrong,
        note=wrong,
    )


def _engine(
    tails: Tails, bundle: Bundle, variant: Variant, cut: Cut, images: list[NDArray[Any]], whole: list[NDArray[Any]]
) -> Iterator[Finding]:
    head = load_head(get_engine(variant.engine), bundle, variant, cut)
    boundaries = [head.run(image) for image in images]
    head.close()
    ends = [_finish(tails, bundle, cut, variant.id, boundary) for boundary in boundaries]
    if variant.precision == "f32":
        worst = max(relative_error(a, b) for a, b in zip(ends, whole, strict=True))
        what = f"float head + tail = whole, <= {ENGINE_TOLERANCE:g}"
        yield Finding(cut_id=cut.id, arm=variant.id, what=what, figure=worst, ok=worst <= ENGINE_TOLERANCE)
        return
    least = min(cosine(a, b) for a, b in zip(ends, whole, strict=True))
    yield Finding(cut_id=cut.id, arm=variant.id, what="cosine to the float network", figure=least, ok=True)
    if cut.id == LAST_CUT:
        return
    if variant.engine == "openvino":
        wanted = openvino_codes(bundle, variant, cut, images)
        yield _codes(variant, cut, boundaries, wanted, apart=CODES_APART, equal=CODES_EQUAL)
    elif variant.engine == "onnxruntime":
        wanted, outputs, tail_outputs = onnxruntime_codes(bundle, variant, cut, images)
        yield _codes(variant, cut, boundaries, wanted, apart=0, equal=1.0)
        if tail_outputs is not None:
            same = all(np.array_equal(a[0], b[0]) for a, b in zip(outputs, tail_outputs, strict=True))
            what = "INT8 head + INT8 tail = unsplit, exactly"
            yield Finding(cut_id=cut.id, arm=variant.id, what=what, figure=float(same), ok=same)


def _codes(
    variant: Variant, cut: Cut, found: list[Arrays], wanted: list[Arrays], *, apart: int, equal: float
) -> Finding:
    pairs = [(a, b) for arrays in zip(found, wanted, strict=True) for a, b in zip(*arrays, strict=True)]
    differences = np.concatenate([np.abs(a.astype(np.int32) - b.astype(np.int32)).ravel() for a, b in pairs])
    share, worst = float((differences == 0).mean()), int(differences.max())
    origins = {q.origin for t in cut.boundary if (q := variant.quantiser(cut, t)) is not None}
    return Finding(
        cut_id=cut.id,
        arm=variant.id,
        what=f"codes = unsplit's, >= {equal:.1%} equal, <= {apart} apart",
        figure=share,
        ok=share >= equal and worst <= apart,
        note=f"at most {worst} apart; {' and '.join(sorted(origins))} quantiser",
    )
