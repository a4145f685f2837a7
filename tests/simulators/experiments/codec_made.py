"""Results as the codec experiment would have left them, from sizes, times and answers that a test makes up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suture_simulators.experiments.codec_rows import CHANGED, REFERENCE
from suture_simulators.experiments.types import Point, PointRecord, Results, Sample

#: Codec → bytes by image, seconds of encoding, seconds of decoding.
Sizes = Mapping[str, tuple[Sequence[int], float, float]]
#: Way → bytes by image, margin by image.
Margins = Mapping[str, tuple[Sequence[int], Sequence[float]]]
#: A point that was measured, with its samples.
Measured = tuple[PointRecord, list[Sample]]


def sized(
    cut: str,
    codecs: Sizes,
    *,
    network: str = "tiny",
    codes: int = 20_000,
    entropy: float = 10_000,
    depth: float = 0.8,
    references: Mapping[str, Sequence[int]] | None = None,
    inexact: Sequence[str] = (),
    **more: Any,
) -> Measured:
    """A point of sizes. A codec loses something where its name holds an `@`."""
    where = Point(network=network, device="here", rate_bps=0.0, rtt_s=0.0, scenario=f"sizes at {cut}")
    images = range(len(next(iter(codecs.values()))[0]))
    notes = {
        "part": "sizes",
        "cut": cut,
        "base": "",
        "is_input": cut == "0",
        "head_macs_share": depth,
        "codes": codes,
        "all_codes": cut != "0",
        "bytes_float32": 4 * codes,
        "lossless": [spec for spec in codecs if "@" not in spec and spec != "jpeg"],
        "images": list(images),
        "entropy_bytes": [entropy for _ in images],
        "head_s": 0.01,
        "tail_s": 0.02,
        **more,
    }
    samples = [
        Sample(
            point=where.key,
            arm=spec,
            turn=image,
            total_s=encode_s + decode_s,
            payload_bytes=size,
            error=CHANGED if spec in inexact else "",
            steps_s={"encode": encode_s, "decode": decode_s},
        )
        for spec, (sizes, encode_s, decode_s) in codecs.items()
        for image, size in enumerate(sizes)
    ]
    samples += [
        Sample(point=where.key, arm=REFERENCE + name, turn=image, total_s=0.1, payload_bytes=size)
        for name, sizes in (references or {}).items()
        for image, size in enumerate(sizes)
    ]
    return PointRecord(point=where, sitting=1, valid=True, notes=notes), samples


def answers(
    cut: str,
    ways: Margins,
    *,
    network: str = "tiny",
    truth: Sequence[int] | None = None,
    changed: Mapping[str, Sequence[float]] | None = None,
    bytes_float32: int = 80_000,
    base: str = "",
) -> Measured:
    """A point of answers; at the input where the cut is `0`."""
    where = Point(network=network, device="here", rate_bps=0.0, rtt_s=0.0, scenario=f"answers at {cut}")
    count = len(next(iter(ways.values()))[0])
    notes: dict[str, Any] = {"part": "answers", "cut": cut, "is_input": cut == "0", "base": base}
    if cut == "0":
        notes |= {"truth": truth, "patients": [f"patient {n}" for n in range(count)]}
    else:
        notes |= {"bytes_float32": bytes_float32, "lossless": [spec for spec in ways if "@" not in spec]}
    samples = [
        Sample(
            point=where.key,
            arm=spec,
            turn=image,
            total_s=0.001,
            payload_bytes=size,
            extra={"changed": (changed or {}).get(spec, [0.0] * count)[image], "margin": margin},
        )
        for spec, (sizes, margins) in ways.items()
        for image, (size, margin) in enumerate(zip(sizes, margins, strict=True))
    ]
    return PointRecord(point=where, sitting=1, valid=True, notes=notes), samples


def results(*points: Measured) -> Results:
    """All of it together."""
    return Results(
        experiment="codec",
        facts={"seed": 1, "networks": {}},
        records=tuple(record for record, _ in points),
        samples={record.point.key: tuple(samples) for record, samples in points},
        complete=True,
    )
