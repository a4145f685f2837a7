"""What codecs cost in answers: the image as JPEG and WebP leave it, and codes at a cut as every codec gives them back.

Axes: N image, K output, C channel, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_models.accuracy import changed
from suture_models.manifest import INPUT_CUT, Cut
from suture_protocol.codecs.layout import image_pixels, image_planes, is_image
from suture_protocol.payload import pack, unpack
from suture_simulators.experiments.codec_desk import Boundary, Desk
from suture_simulators.experiments.codec_offer import offered
from suture_simulators.experiments.codec_rows import CHANGED, FLOAT, HALF
from suture_simulators.experiments.types import Notes, Point, Record, Sample

#: Down to the lowest that each library takes.
QUALITIES: Final[Mapping[str, tuple[int, ...]]] = {
    "jpeg": (1, 3, 5, 8, 12, 20, 35, 50, 75, 95),
    "webp": (0, 1, 3, 6, 10, 20, 35, 50, 75, 95),
}
#: Of the image at half its side, enlarged again before the network: what a sender does who has few bytes.
HALF_QUALITIES: Final[Mapping[str, tuple[int, ...]]] = {"jpeg": (5, 12, 25, 50, 75, 90), "webp": (0, 5, 20, 50, 75, 90)}
_QUICK_STEP: Final = 3
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {"jpeg": {"optimize": True}, "webp": {"method": 6}}
_MAX_SIDE: Final = 16_383

_Coder = Callable[[Boundary], tuple[int, Boundary]]


def measure_input(desk: Desk, point: Point, record: Record, *, quick: bool = False) -> Notes:
    """The float network's answers on every image, and on what JPEG and WebP leave of it at each quality.

    These are as small as the formats make them: JPEG with its own Huffman tables for each image, WebP at its slowest,
    both at half the side as well. To be quick, only some of the qualities.
    """
    cut = desk.bundle.cut(INPUT_CUT)
    images = [(image,) for image in desk.inputs]
    _record(
        desk, record, point, cut, FLOAT, images, [_timed(_as_it_is, image) for image in images], desk.float_outputs_NK
    )
    spec = desk.bundle.manifest.network.input
    if is_image(spec.shape, spec.dtype, _MAX_SIDE):
        for arm, coder in _pictures(_QUICK_STEP if quick else 1):
            _through(desk, record, point, cut, arm, images, coder)
    return {
        "part": "answers",
        "cut": cut.id,
        "is_input": True,
        "truth": desk.truth,
        "patients": desk.patients,
        "images": list(desk.names),
    }


def measure_cut(desk: Desk, cut: Cut, point: Point, record: Record, *, base: str = "") -> Notes:
    """INT8 head, codec and float tail on every image, at one cut; lossless codecs share one answer.

    At a bottleneck, `base` names the network that it was made for, and nothing is narrowed further.
    """
    head = desk.head(cut)
    boundaries = [head.run(image) for image in desk.inputs]
    head.close()
    whole = desk.outputs(cut, boundaries)
    codecs = [codec for codec in offered(desk.bundle, desk.variant, cut, boundaries[0]) if codec.lossless or not base]
    for codec in codecs:

        def coder(boundary: Boundary, codec: Any = codec) -> tuple[int, Boundary]:
            headers, payload = pack(boundary, codec)
            return len(payload), unpack(headers, payload, codec)

        if codec.lossless:
            coded = [_timed(coder, boundary) for boundary in boundaries]
            _record(desk, record, point, cut, codec.spec, boundaries, coded, whole)
        else:
            _through(desk, record, point, cut, codec.spec, boundaries, coder)
    lossless = [codec.spec for codec in codecs if codec.lossless]
    return {
        "part": "answers",
        "cut": cut.id,
        "is_input": False,
        "bytes_float32": cut.bytes_float32,
        "lossless": lossless,
        "base": base,
    }


def _through(
    desk: Desk, record: Record, point: Point, cut: Cut, arm: str, boundaries: Sequence[Boundary], coder: _Coder
) -> None:
    coded = [_timed(coder, boundary) for boundary in boundaries]
    outputs_NK = desk.outputs(cut, [back for _, back, _ in coded])
    _record(desk, record, point, cut, arm, None, coded, outputs_NK)


def _record(
    desk: Desk,
    record: Record,
    point: Point,
    cut: Cut,
    arm: str,
    exact: Sequence[Boundary] | None,
    coded: Sequence[tuple[int, Boundary, float]],
    outputs_NK: NDArray[np.float32],
) -> None:
    """A sample for each image; where `exact` is given, what came back has to be that."""
    network = desk.bundle.manifest.network
    other = changed(outputs_NK, desk.float_outputs_NK, network)
    two = network.output == "classes" and len(network.labels) == 2
    for image, (size, back, took_s) in enumerate(coded):
        same = exact is None or all(np.array_equal(a, b) for a, b in zip(exact[image], back, strict=True))
        extra = {} if other is None else {"changed": float(other[image])}
        if two:
            extra["margin"] = float(outputs_NK[image, 1] - outputs_NK[image, 0])
        record(
            Sample(
                point=point.key,
                arm=arm,
                turn=image,
                total_s=took_s,
                cut=cut.id,
                codec=arm,
                payload_bytes=size,
                error="" if same else CHANGED,
                extra=extra,
            )
        )


def _timed(coder: _Coder, boundary: Boundary) -> tuple[int, Boundary, float]:
    begun_s = time.perf_counter()
    size, back = coder(boundary)
    return size, back, time.perf_counter() - begun_s


def _as_it_is(boundary: Boundary) -> tuple[int, Boundary]:
    return sum(tensor.nbytes for tensor in boundary), tuple(tensor.copy() for tensor in boundary)


def _pictures(step: int) -> Iterator[tuple[str, _Coder]]:
    for name, divisor, ladders in (("", 1, QUALITIES), (HALF, 2, HALF_QUALITIES)):
        for kind, qualities in ladders.items():
            for quality in qualities[::step]:
                yield f"{name}{kind} q{quality}", _picture(kind, divisor, quality=quality, **_OPTIONS[kind])


def _picture(kind: str, divisor: int, **options: Any) -> _Coder:
    def coder(boundary: Boundary) -> tuple[int, Boundary]:
        from PIL import Image

        (planes_1CHW,) = boundary
        out = BytesIO()
        picture = Image.fromarray(image_pixels(planes_1CHW))
        small = (max(picture.width // divisor, 1), max(picture.height // divisor, 1))
        sent = picture if divisor == 1 else picture.resize(small, Image.Resampling.LANCZOS)
        sent.save(out, format=kind.upper(), **options)
        with Image.open(out) as opened:
            back = opened.convert(picture.mode)
        if divisor > 1:
            back = back.resize(picture.size, Image.Resampling.BICUBIC)
        return len(out.getvalue()), (np.ascontiguousarray(image_planes(np.asarray(back))),)

    return coder
