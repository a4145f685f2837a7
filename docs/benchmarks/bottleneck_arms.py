"""Ways of sending an image that `bench_bottleneck.py` compares: what each one weighs and what the network then says."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.base import Head
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_partitioner.device import processor_class
from suture_protocol.codecs.registry import codec_of
from suture_protocol.payload import pack, unpack

BEST_ZSTD = {"level": "19"}
_QUALITIES = {"WEBP": (0, 1, 2, 5, 10, 20, 40), "JPEG": (1, 5, 10, 15, 20, 40)}
_BITS = (2, 4, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way of sending the 324 images: bytes and logit margin of each. `rival` is empty for a bottleneck."""

    name: str
    rival: str
    sizes_N: NDArray[np.int64]
    margins_N: NDArray[np.float64]
    note: str = ""

    @property
    def median_bytes(self) -> float:
        return float(np.median(self.sizes_N))


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Labels and the same resamples of patients for every arm."""

    ill_N: NDArray[np.bool_]
    resamples: tuple[NDArray[np.int64], ...]

    def auc(self, margins_N: NDArray[np.float64], index: NDArray[np.int64] | slice = slice(None)) -> float:
        """Area under the ROC curve, by ranks (ties count half)."""
        ill, ranks = self.ill_N[index], rankdata(margins_N[index])
        count = int(ill.sum())
        return float((ranks[ill].sum() - count * (count + 1) / 2) / (count * (len(ill) - count)))

    def difference(self, first: Arm, second: Arm) -> tuple[float, float, float]:
        """AUC of `first` less that of `second`, and its 95 % interval."""
        pair = first.margins_N, second.margins_N
        drawn = [self.auc(pair[0], i) - self.auc(pair[1], i) for i in self.resamples]
        low, high = np.percentile(drawn, (2.5, 97.5))
        return self.auc(pair[0]) - self.auc(pair[1]), float(low), float(high)


class Tables:
    """Codes under one frequency table per channel, by a range coder; the tables come from the calibration images."""

    def __init__(self, calibration: Sequence[NDArray[np.uint8]]) -> None:
        stacked = np.concatenate(calibration)
        self._models = []
        for channel in range(stacked.shape[1]):
            # Half a count for each code keeps those that calibration never showed possible.
            counts = np.bincount(stacked[:, channel].ravel(), minlength=256) + 0.5 / 256
            table = (counts / counts.sum()).astype(np.float32)
            self._models.append(constriction.stream.model.Categorical(table, perfect=False))

    def encoded(self, codes: NDArray[np.uint8]) -> int:
        """Bytes of `codes` (1, C, H, W); what comes back is compared with them."""
        coder = constriction.stream.queue.RangeEncoder()
        for channel, model in enumerate(self._models):
            coder.encode(codes[0, channel].ravel().astype(np.int32), model)
        words = coder.get_compressed()
        decoder = constriction.stream.queue.RangeDecoder(words)
        size = codes[0, 0].size
        back = np.stack([decoder.decode(model, size) for model in self._models])
        if not np.array_equal(back.ravel(), codes.ravel()):
            raise SystemExit("the range coder did not give the codes back")
        return int(words.nbytes)


def load_openvino_head(bundle: Bundle, cut: Cut) -> tuple[Head, str]:
    variant = choose_variant(bundle, "openvino", processor_class())
    return load_head(get_engine("openvino"), bundle, variant, cut), variant.id


def code_cut(bundle: Bundle) -> Cut:
    """The cut behind the encoder: what crosses there was rounded to whole numbers."""
    rounded = {node.name for node in bundle.manifest.graph if node.op == "aten.round.default"}
    return next(cut for cut in bundle.manifest.cuts if cut.id in rounded)


def narrowed_codes(base: Bundle, images: Sequence[NDArray[Any]], bottleneck: Bundle) -> Iterator[Arm]:
    """Narrowed codes of the plain network where fewest cross, and where the bottleneck sits."""
    tails = Tails(base, choose_device("cpu"))
    middle = [cut for cut in base.manifest.cuts if cut.candidate and cut.id not in (INPUT_CUT, LAST_CUT)]
    deep = min(middle, key=lambda cut: (cut.bytes_codes, cut.index))
    for cut in (deep, base.cut(bottleneck.manifest.built_with["bottleneck_cut"])):
        head, variant = load_openvino_head(base, cut)
        boundaries = [head.run(image) for image in images]
        head.close()
        for bits in _BITS:
            codec = codec_of(f"zstd@{bits}", BEST_ZSTD)
            packed = [pack(boundary, codec) for boundary in boundaries]
            margins = margins_of(tails, base, cut, variant, [unpack(*one, codec) for one in packed])
            sizes = np.array([len(payload) for _, payload in packed])
            yield Arm(name=f"zstd@{bits} at {cut.id}", rival=f"codes at {cut.id}", sizes_N=sizes, margins_N=margins)


def pictures(tails: Tails, images: Sequence[NDArray[Any]]) -> Iterator[Arm]:
    for kind, qualities in _QUALITIES.items():
        for part in (1, 2):
            for quality in qualities:
                found = [_picture(image[0, 0], kind, quality, part) for image in images]
                sizes = np.array([size for size, _ in found])
                margins = whole_network(tails, [back for _, back in found])
                label = f"{kind} of the image" if part == 1 else f"{kind} at half the side"
                yield Arm(name=f"{label}, quality {quality}", rival=label, sizes_N=sizes, margins_N=margins)


def _picture(image_HW: NDArray[np.uint8], kind: str, quality: int, part: int) -> tuple[int, NDArray[np.uint8]]:
    picture = Image.fromarray(image_HW)
    whole = picture.size
    if part > 1:
        picture = picture.resize((whole[0] // part, whole[1] // part), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality, **({"method": 6} if kind == "WEBP" else {"optimize": True}))
    back = Image.open(io.BytesIO(stream.getvalue())).convert("L").resize(whole, Image.Resampling.BICUBIC)
    return stream.tell(), np.asarray(back)[np.newaxis, np.newaxis]


def whole_network(tails: Tails, images: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    bundle = tails.bundle
    return margins_of(tails, bundle, bundle.cut(INPUT_CUT), "", [(image,) for image in images])


def margins_of(
    tails: Tails, bundle: Bundle, cut: Cut, variant: str, boundaries: Sequence[tuple[NDArray[Any], ...]]
) -> NDArray[np.float64]:
    margins = []
    for boundary in boundaries:
        request = TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant, tensors=boundary)
        logits = next(iter(tails.run(request).values()))
        margins.append(float(logits[0, 1] - logits[0, 0]))
    return np.array(margins)
