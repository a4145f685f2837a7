"""What crosses every cut of a bundle, to be weighed: all boundaries from one run of the network where it can be had."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.engines.registry import load_head
from suture_edge.heads import Heads
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, TensorSpec
from suture_partitioner.payloads import Payloads

Boundary = tuple[NDArray[Any], ...]

#: Sizes of one image say nothing of how they differ.
IMAGES_MIN: Final = 2


def add_payloads(
    payloads: Payloads, heads: Heads, cuts: Sequence[Cut], images: Sequence[NDArray[Any]], *, until_s: float
) -> None:
    """Weighs what crosses each of `cuts` for the first `IMAGES_MIN` images, for the others while it is not `until_s`.

    Raises:
        BundleError: a head cannot be cut out of the variant's artefact.
        CapabilityMissing: the engine's library is not installed.
    """
    inner = [cut for cut in cuts if cut.id not in (INPUT_CUT, LAST_CUT)]
    for cut in cuts:
        if cut.id == INPUT_CUT:
            for image in images:
                payloads.add(cut, (image,))
    if not inner:
        return
    weigh = _watched if "model" in heads.variant.files else _one_by_one
    for cut, boundary in weigh(heads, inner, images, until_s):
        payloads.add(cut, boundary)


def _watched(
    heads: Heads, cuts: Sequence[Cut], images: Sequence[NDArray[Any]], until_s: float
) -> Iterator[tuple[Cut, Boundary]]:
    """One network that gives the tensors of every cut at once: one compilation and a run per image.

    Watched tensors keep some layers from being fused, so codes may differ by a rounding from those of the heads.
    """
    specs: dict[str, TensorSpec] = {tensor.name: tensor for cut in cuts for tensor in cut.boundary}
    deepest = max(cuts, key=lambda cut: cut.index)
    everything = Cut(
        id="every cut",
        index=deepest.index,
        boundary=tuple(specs.values()),
        head_macs=deepest.head_macs,
        tail_macs=deepest.tail_macs,
    )
    with closing(load_head(heads.engine, heads.bundle, heads.variant, everything, threads=heads.threads)) as head:
        for turn, image in enumerate(images):
            if turn >= IMAGES_MIN and time.perf_counter() > until_s:
                return
            found = dict(zip(specs, head.run(image), strict=True))
            for cut in cuts:
                yield cut, tuple(found[tensor.name] for tensor in cut.boundary)


def _one_by_one(
    heads: Heads, cuts: Sequence[Cut], images: Sequence[NDArray[Any]], until_s: float
) -> Iterator[tuple[Cut, Boundary]]:
    """Head by head, where each cut has an artefact of its own, which loads fast."""
    for cut in cuts:
        with closing(load_head(heads.engine, heads.bundle, heads.variant, cut, threads=heads.threads)) as head:
            for turn, image in enumerate(images):
                if turn >= IMAGES_MIN and time.perf_counter() > until_s:
                    break
                yield cut, head.run(image)
