"""Measuring what narrower codes cost a bundle's answers: its heads, the real codec, its tails, input by input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails
from suture_edge.engines.registry import get_engine, load_head
from suture_models.accuracy import WIDTHS, Accuracy, WidthLoss, changed, output_error
from suture_models.bundle import Bundle
from suture_models.calibration import Calibration
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, Variant
from suture_models.tables import BundleTables
from suture_models.tabulate.points import DISTORTIONS
from suture_partitioner.device import processor_class
from suture_partitioner.profile import Progress
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.registry import codec_of
from suture_protocol.errors import BundleError, CapabilityMissing
from suture_protocol.payload import pack, unpack

#: What the tails may compute in all, in multiply-accumulates: about a minute on two cores for MobileNetV2 with 64
#: inputs. By work and not by the clock, so that the same bundle is always measured with the same inputs.
WORK_MACS: Final = 1e12
#: Fewer inputs tell too little (none changed of 16: up to 17 % at 95 % confidence), however long they take.
MIN_INPUTS: Final = 16
#: Narrower widths are not measured once so many answers changed: nobody's budget allows them.
HOPELESS_SHARE: Final = 0.25
#: Operating points that a bundle has for each tensor.
POINTS: Final = len(DISTORTIONS)
_BATCH: Final = 8


def annotate(
    bundle: Bundle, calibration: Calibration, *, inputs: int | None = None, progress: Progress | None = None
) -> Accuracy:
    """Measures narrowed codes at every candidate cut of `bundle` whose boundary is codes.

    The codes are those of the bundle's first INT8 artefact that runs here. The same bundle, inputs, library versions
    and processor class give the same shares.

    Args:
        bundle: The bundle.
        calibration: Inputs to measure with.
        inputs: How many of them, spread evenly; by default as many as `WORK_MACS` pays for.
        progress: Told (steps done, steps in all, text).

    Raises:
        BundleError: it has no INT8 artefact that runs here, or a file of it is damaged.
    """
    variant = _variant(bundle)
    cuts = narrowable(bundle, variant)
    images = _spread(calibration.inputs, inputs or affordable(cuts, len(calibration.inputs)))
    tails = Tails(bundle, torch.device("cpu"))
    found: dict[str, dict[int, WidthLoss]] = {}
    points: dict[str, dict[int, WidthLoss]] = {}
    for done, cut in enumerate(cuts):
        if progress is not None:
            progress(done, len(cuts), f"narrower codes, {len(images)} inputs, cut {cut.id}")
        found[cut.id], points[cut.id] = _losses(tails, variant, cut, images)
    if progress is not None:
        progress(len(cuts), len(cuts), f"narrower codes measured with {len(images)} inputs")
    return Accuracy(
        bundle_digest=bundle.digest,
        variant_id=variant.id,
        inputs=len(images),
        origin=calibration.origin,
        versions={"suture": version("suture"), "torch": version("torch"), variant.engine: _engine_version(variant)},
        cuts=found,
        points={cut_id: losses for cut_id, losses in points.items() if losses},
    )


def narrowable(bundle: Bundle, variant: Variant) -> list[Cut]:
    """The candidate cuts at which nothing but codes crosses."""
    return [
        cut
        for cut in bundle.manifest.cuts
        if cut.candidate
        and cut.id not in (INPUT_CUT, LAST_CUT)
        and variant.has_cut(cut)
        and all(variant.quantiser(cut, tensor) is not None for tensor in cut.boundary)
    ]


def affordable(cuts: Sequence[Cut], available: int) -> int:
    """How many inputs are measured: what `WORK_MACS` pays for, at least `MIN_INPUTS`, of those there are."""
    each = sum(cut.tail_macs for cut in cuts) * (1 + len(WIDTHS) + POINTS)
    return min(available, max(MIN_INPUTS, int(WORK_MACS // max(each, 1))))


def _variant(bundle: Bundle) -> Variant:
    """The first INT8 artefact that this processor and installation can run."""
    for variant in bundle.manifest.variants:
        if variant.precision == "int8" and variant.processor in ("any", processor_class()):
            try:
                _engine_version(variant)
            except CapabilityMissing:
                continue
            return variant
    have = ", ".join(v.id for v in bundle.manifest.variants) or "none"
    raise BundleError(f"bundle {bundle.name} has no INT8 artefact that runs here; it has: {have}")


def _engine_version(variant: Variant) -> str:
    return get_engine(variant.engine).version()


def _spread(images: Sequence[NDArray[Any]], count: int) -> list[NDArray[Any]]:
    places = np.linspace(0, len(images) - 1, min(count, len(images)))
    return [images[round(place)] for place in places]


def _losses(
    tails: Tails, variant: Variant, cut: Cut, images: Sequence[NDArray[Any]]
) -> tuple[dict[int, WidthLoss], dict[int, WidthLoss]]:
    """What each width and each operating point loses, the finest first, up to where it is hopeless."""
    head = load_head(get_engine(variant.engine), tails.bundle, variant, cut)
    boundaries = [head.run(image) for image in images]
    head.close()
    wanted = _outputs(tails, variant, cut, boundaries)

    def loss(codec: Codec) -> WidthLoss:
        narrowed, sizes = _narrowed(boundaries, codec)
        found = _outputs(tails, variant, cut, narrowed)
        each = changed(found, wanted, tails.bundle.manifest.network)
        return WidthLoss(
            changed_share=None if each is None else round(float(each.mean()), 6),
            # Threads add up in another order; four digits do not show it.
            output_error=float(f"{output_error(found, wanted):.4g}"),
            payload_bytes=int(np.median(sizes)),
        )

    tables = BundleTables(tails.bundle, variant)
    points = (tables.given_to(codec_of(f"narrow@{point}"), cut) for point in range(1, POINTS + 1))
    fitting = (codec for codec in points if _carries(codec, cut))
    widths = _until_hopeless(loss(codec_of(f"zstd@{bits}")) for bits in WIDTHS)
    return dict(zip(WIDTHS, widths, strict=False)), dict(enumerate(_until_hopeless(map(loss, fitting)), start=1))


def _carries(codec: Codec, cut: Cut) -> bool:
    return all(codec.of_tensor(place).accepts(tensor.shape, "uint8") for place, tensor in enumerate(cut.boundary))


def _until_hopeless(losses: Iterable[WidthLoss]) -> Iterator[WidthLoss]:
    for loss in losses:
        yield loss
        if loss.changed_share is not None and loss.changed_share > HOPELESS_SHARE:
            return


def _narrowed(
    boundaries: Sequence[tuple[NDArray[Any], ...]], codec: Codec
) -> tuple[list[tuple[NDArray[Any], ...]], list[int]]:
    """The boundaries as the cloud gets them, and the size of each payload in bytes."""
    received, sizes = [], []
    for boundary in boundaries:
        headers, payload = pack(boundary, codec)
        sizes.append(len(payload))
        received.append(unpack(headers, payload, codec))
    return received, sizes


def _outputs(
    tails: Tails, variant: Variant, cut: Cut, boundaries: Sequence[tuple[NDArray[Any], ...]]
) -> NDArray[np.float32]:
    """The network's first output for each boundary, batch axis leading."""
    found = []
    for begin in range(0, len(boundaries), _BATCH):
        batch = tuple(np.concatenate(tensors) for tensors in zip(*boundaries[begin : begin + _BATCH], strict=True))
        request = TailRequest(bundle_digest=tails.bundle.digest, cut_id=cut.id, variant_id=variant.id, tensors=batch)
        found.append(next(iter(tails.run(request).values())))
    return np.concatenate(found)
