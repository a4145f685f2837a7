"""What crosses one cut, coded by every codec that the bundle offers there: bytes, exactness, time.

Codecs take turns on the same image, so that what slows the machine for a moment slows them all; the quick ones run once
untimed before each turn, since the caches are full of what the one before left. Times are the lesser of the time that
passed and of the processor's (`Stopwatch`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from suture_edge.engines.base import Head
from suture_models.manifest import INPUT_CUT, Cut
from suture_partitioner.stopwatch import Stopwatch
from suture_protocol.codecs.base import Codec
from suture_protocol.payload import PayloadTensor, pack, unpack
from suture_simulators.experiments.codec_desk import Boundary, Desk
from suture_simulators.experiments.codec_offer import boundary_entropy_bytes, offered
from suture_simulators.experiments.codec_references import CodeReferences, of_the_input
from suture_simulators.experiments.codec_rows import CHANGED, REFERENCE
from suture_simulators.experiments.types import Notes, Point, Record, Sample

#: Under which name a bundle with a bottleneck says at which cut of its network that sits.
BASE_CUT: Final = "bottleneck_cut"
_TURNS_MIN: Final = 3
#: No further turns for an image whose turns took so long.
_IMAGE_BUDGET_S: Final = 0.6
_SIDE_RUNS: Final = 5
_PAIRS: Final = 101
_WARM_PAIRS: Final = 10
#: What takes no longer runs warm.
_QUICK_S: Final = 2e-3


def measure_sizes(
    desk: Desk, cut: Cut, point: Point, record: Record, *, images: Sequence[int], turns: int, base: str = ""
) -> Notes:
    """Codes what crosses `cut` for some of the desk's images.

    Args:
        desk: Where.
        cut: Which; not the last.
        point: The point that samples belong to.
        record: Gets a sample for each image and codec, and one for each reference.
        images: Places of the images.
        turns: How often each codec encodes and decodes each image, timed; fewer where that takes long, three at least.
        base: The network that a bottleneck was made for, where this is one.

    Returns:
        What the samples do not say: sizes before coding, entropy by image, times of the head and of the tail.
    """
    watch = Stopwatch()
    built_with = desk.bundle.manifest.built_with
    head = desk.head(cut)
    boundaries = [head.run(desk.inputs[image]) for image in images]
    codecs = offered(desk.bundle, desk.variant, cut, boundaries[0])
    all_codes = cut.id != INPUT_CUT and all(tensor.dtype == np.uint8 for tensor in boundaries[0])
    references = CodeReferences([head.run(image) for image in desk.calibration]) if all_codes else None
    for image, boundary in zip(images, boundaries, strict=True):
        for sample in _coded(boundary, codecs, turns, watch):
            record(Sample(point=point.key, turn=image, cut=cut.id, **sample))
        for sample in _referred(boundary, cut, references):
            record(Sample(point=point.key, turn=image, **sample))
    boundary, base_cut = boundaries[0], built_with.get(BASE_CUT, "") if base else ""
    notes = {
        "part": "sizes",
        "cut": cut.id,
        "base": base,
        "head_vs_base": _head_vs_base(desk, head, base_cut, images[0]) if base_cut else None,
        "is_input": cut.id == INPUT_CUT,
        "head_macs_share": cut.head_macs / max(cut.head_macs + cut.tail_macs, 1),
        "codes": sum(tensor.size for tensor in boundary),
        "all_codes": all_codes,
        "bytes_float32": cut.bytes_float32,
        "lossless": [codec.spec for codec in codecs if codec.lossless],
        "images": list(images),
        "entropy_bytes": [boundary_entropy_bytes(b) for b in boundaries],
        "head_s": _median_s(lambda: head.run(desk.inputs[images[0]]), watch),
        "tail_s": _median_s(lambda: desk.finish(cut, boundary), watch),
    }
    head.close()
    return notes


def _coded(boundary: Boundary, codecs: Sequence[Codec], turns: int, watch: Stopwatch) -> Iterator[dict[str, Any]]:
    """One image's samples, without point and turn."""
    packed, first_s = {}, {}
    for codec in codecs:
        packed[codec.spec], first_s[codec.spec] = watch.timed(partial(pack, boundary, codec))
    errors = {codec.spec: _error(boundary, codec, packed[codec.spec]) for codec in codecs}
    encode_s: dict[str, list[float]] = {codec.spec: [] for codec in codecs}
    decode_s: dict[str, list[float]] = {codec.spec: [] for codec in codecs}
    begun_s = time.perf_counter()
    for turn in range(turns):
        if turn >= _TURNS_MIN and time.perf_counter() - begun_s > _IMAGE_BUDGET_S:
            break
        for codec in codecs if turn % 2 else reversed(codecs):
            encode, decode = partial(pack, boundary, codec), partial(unpack, *packed[codec.spec], codec)
            for operation, times_s in ((encode, encode_s), (decode, decode_s)):
                if first_s[codec.spec] < _QUICK_S:
                    operation()
                times_s[codec.spec].append(watch.timed(operation)[1])
    for spec, (_, payload) in packed.items():
        steps_s = {"encode": statistics.median(encode_s[spec]), "decode": statistics.median(decode_s[spec])}
        yield {
            "arm": spec,
            "codec": spec,
            "total_s": sum(steps_s.values()),
            "payload_bytes": len(payload),
            "error": errors[spec],
            "steps_s": steps_s,
            "extra": {"turns": len(encode_s[spec])},
        }


def _referred(boundary: Boundary, cut: Cut, references: CodeReferences | None) -> list[dict[str, Any]]:
    """What one image takes by the references, as samples without point and turn."""
    begun_s = time.perf_counter()
    if references is None:
        sizes = of_the_input(boundary[0]) if cut.id == INPUT_CUT else {}
    else:
        sizes = references.sizes(boundary)
    took_s = time.perf_counter() - begun_s
    return [{"arm": REFERENCE + name, "total_s": took_s, "payload_bytes": size} for name, size in sizes.items()]


def _error(boundary: Boundary, codec: Codec, packed: tuple[tuple[PayloadTensor, ...], bytes]) -> str:
    if not codec.lossless:
        return ""
    headers, payload = packed
    same = all(
        np.array_equal(ours, theirs) and ours.dtype == theirs.dtype
        for ours, theirs in zip(boundary, unpack(headers, payload, codec), strict=True)
    )
    return "" if same else CHANGED


def _head_vs_base(desk: Desk, head: Head, base_cut: str, image: int) -> float:
    """The time of a bottleneck's head over that of its network's at the same cut, the median of pairs in turns."""
    plain = desk.base_head(base_cut)
    inputs, watch = desk.inputs[image], Stopwatch()
    ratios = []
    for turn in range(_PAIRS + _WARM_PAIRS):
        ours_s, plain_s = (watch.timed(partial(one.run, inputs))[1] for one in (head, plain))
        if turn >= _WARM_PAIRS:
            ratios.append(ours_s / plain_s)
    plain.close()
    return statistics.median(ratios)


def _median_s(operation: Callable[[], object], watch: Stopwatch) -> float:
    operation()
    return statistics.median(watch.timed(operation)[1] for _ in range(_SIDE_RUNS))
