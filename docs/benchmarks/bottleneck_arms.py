"""Ways of sending an image that `bench_bottleneck.py` compares: what each one weighs and what the network then says."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bottleneck_tasks import Task
from numpy.typing import NDArray
from PIL import Image

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.base import Head
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_models.tables import BundleTables
from suture_partitioner.device import processor_class
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.registry import codec_of
from suture_protocol.payload import pack, unpack

_BEST_ZSTD = {"level": "19"}
_QUALITIES: Mapping[str, tuple[int, ...]] = {"WEBP": (0, 1, 2, 5, 10, 20, 40), "JPEG": (1, 5, 10, 15, 20, 40)}
#: The side is divided by so much before coding.
_PARTS: Mapping[int, str] = {1: "of the image", 2: "at half the side", 4: "at a quarter of the side"}
_BITS = (2, 4, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way of sending the images: bytes and value (see `Task`) of each. `rival` is empty for a bottleneck."""

    name: str
    rival: str
    sizes_N: NDArray[np.int64]
    values_N: NDArray[np.float64]
    note: str = ""

    @property
    def median_bytes(self) -> float:
        return float(np.median(self.sizes_N))


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """A task and the tails of one bundle: from what crosses to the images' values."""

    task: Task
    tails: Tails

    @classmethod
    def of(cls, task: Task, bundle: Bundle) -> Judge:
        return cls(task=task, tails=Tails(bundle, choose_device("cpu")))

    def values(self, cut: Cut, variant: str, boundaries: Sequence[tuple[NDArray[Any], ...]]) -> NDArray[np.float64]:
        values = []
        for place, boundary in enumerate(boundaries):
            digest = self.tails.bundle.digest
            request = TailRequest(bundle_digest=digest, cut_id=cut.id, variant_id=variant, tensors=boundary)
            values.append(self.task.value(place, next(iter(self.tails.run(request).values()))))
        return np.array(values)

    def of_images(self, images: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """The whole float network's."""
        return self.values(self.tails.bundle.cut(INPUT_CUT), "", [(image,) for image in images])


def load_openvino_head(bundle: Bundle, cut: Cut) -> tuple[Head, str]:
    variant = choose_variant(bundle, "openvino", processor_class())
    return load_head(get_engine("openvino"), bundle, variant, cut), variant.id


def code_cut(bundle: Bundle) -> Cut:
    """The cut behind the encoder: what crosses there was rounded to whole numbers."""
    rounded = {node.name for node in bundle.manifest.graph if node.op == "aten.round.default"}
    return next(cut for cut in bundle.manifest.cuts if cut.id in rounded)


def bottleneck(task: Task, bundle: Bundle) -> Arm:
    """INT8 head with the encoder, `lossless-small` with the bundle's tables, float tail with the decoder."""
    cut = code_cut(bundle)
    head, variant = load_openvino_head(bundle, cut)
    boundaries = [head.run(image) for image in task.images]
    head.close()
    tables = BundleTables(bundle, bundle.variant(variant))
    if not tables.of(cut):
        raise SystemExit(f"{bundle.path} has no codec tables for {cut.id}; build it again, with tables")
    codec = tables.given_to(codec_of("lossless-small"), cut)
    packed = [pack(boundary, codec) for boundary in boundaries]
    crossed = [unpack(*one, codec) for one in packed]
    if not all(np.array_equal(one[0], two[0]) for one, two in zip(boundaries, crossed, strict=True)):
        raise SystemExit(f"{codec.spec} did not give the codes of {bundle.path} back")
    zstd = codec_of("zstd", _BEST_ZSTD)
    zstd_bytes = statistics.median(len(pack(boundary, zstd)[1]) for boundary in boundaries)
    entropy = statistics.median(_order0_bytes(boundary[0]) for boundary in boundaries)
    return Arm(
        name=f"bottleneck {bundle.path.name}",
        rival="",
        sizes_N=np.array([len(payload) for _, payload in packed]),
        values_N=Judge.of(task, bundle).values(cut, variant, crossed),
        note=f"zstd-19 {zstd_bytes:.0f}, own order-0 entropy per channel {entropy:.0f}",
    )


def _order0_bytes(codes_NCHW: NDArray[np.uint8]) -> float:
    bits = 0.0
    for channel in codes_NCHW[0]:
        counts = np.unique(channel, return_counts=True)[1]
        bits += float(-(counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def narrowed_codes(task: Task, base: Bundle, beside: Bundle) -> Iterator[Arm]:
    """Narrowed codes of the plain network where fewest cross, and where the bottleneck of `beside` sits."""
    judge = Judge.of(task, base)
    middle = [cut for cut in base.manifest.cuts if cut.candidate and cut.id not in (INPUT_CUT, LAST_CUT)]
    deep = min(middle, key=lambda cut: (cut.bytes_codes, cut.index))
    at = base.cut(beside.manifest.built_with["bottleneck_cut"])
    for cut in {deep.id: deep, at.id: at}.values():
        head, variant = load_openvino_head(base, cut)
        boundaries = [head.run(image) for image in task.images]
        head.close()
        for codec in _narrowing(base, variant, cut):
            packed = [pack(boundary, codec) for boundary in boundaries]
            values = judge.values(cut, variant, [unpack(*one, codec) for one in packed])
            sizes = np.array([len(payload) for _, payload in packed])
            yield Arm(name=f"{codec.spec} at {cut.id}", rival=f"codes at {cut.id}", sizes_N=sizes, values_N=values)


def _narrowing(base: Bundle, variant: str, cut: Cut) -> list[Codec]:
    """Fewer bits for all codes alike, then the operating points that the bundle has for the cut."""
    tables = BundleTables(base, base.variant(variant))
    points = max((len(entry.points) for entry in tables.of(cut) if entry is not None), default=0)
    alike = [codec_of(f"zstd@{bits}", _BEST_ZSTD) for bits in _BITS]
    return alike + [tables.given_to(codec_of(f"narrow@{point}"), cut) for point in range(1, points + 1)]


def pictures(task: Task, base: Bundle) -> Iterator[Arm]:
    """WebP and JPEG of the image, whole and made smaller; the float network on what comes back."""
    judge = Judge.of(task, base)
    for kind, qualities in _QUALITIES.items():
        for part, size in _PARTS.items():
            for quality in qualities:
                found = [_picture(image[0, 0], kind, quality, part) for image in task.images]
                sizes = np.array([size for size, _ in found])
                values = judge.of_images([back for _, back in found])
                label = f"{kind} {size}"
                yield Arm(name=f"{label}, quality {quality}", rival=label, sizes_N=sizes, values_N=values)


def _picture(image_HW: NDArray[np.uint8], kind: str, quality: int, part: int) -> tuple[int, NDArray[np.uint8]]:
    picture = Image.fromarray(image_HW)
    whole = picture.size
    if part > 1:
        picture = picture.resize((whole[0] // part, whole[1] // part), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality, **({"method": 6} if kind == "WEBP" else {"optimize": True}))
    back = Image.open(io.BytesIO(stream.getvalue())).convert("L").resize(whole, Image.Resampling.BICUBIC)
    return stream.tell(), np.asarray(back)[np.newaxis, np.newaxis]
