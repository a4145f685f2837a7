"""The codec experiment's samples brought together: one row for each network, cut and codec. Medians over the images."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from suture_simulators.experiments.types import PointRecord, Results, Sample

SIZES: Final = "sizes"
ANSWERS: Final = "answers"
#: What an error says of a codec that calls itself lossless and is not.
CHANGED: Final = "came back changed"
#: Marks the arms that no unit can send with.
REFERENCE: Final = "reference: "
#: The arm of the image as it is, through the float network; what marks pictures at half their side.
FLOAT: Final = "float network"
HALF: Final = "half "
#: The modes of the lossless codec: the fewest bytes, and little time.
SMALL: Final = "lossless-small"
FAST: Final = "lossless-fast"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """One codec at one cut. Sizes are in bytes, by image; times are medians, of one image.

    Attributes:
        inexact: Images that a lossless codec did not give back.
    """

    spec: str
    lossless: bool
    bytes_by_image: Mapping[int, int]
    encode_s: float
    decode_s: float
    inexact: int = 0

    @property
    def median_bytes(self) -> float:
        return statistics.median(self.bytes_by_image.values())

    @property
    def p90_bytes(self) -> float:
        return float(np.percentile(list(self.bytes_by_image.values()), 90))

    @property
    def both_s(self) -> float:
        return self.encode_s + self.decode_s


@dataclass(frozen=True, kw_only=True, slots=True)
class CutRow:
    """One cut of one network with all that was coded there.

    Attributes:
        base: The network that a bottleneck was made for, where this is one.
        head_vs_base: A bottleneck's head's time over its network's at the same cut; None for none.
        codes: Elements that cross.
        all_codes: Whether all of them are uint8 codes.
        depth: Share of the network's multiply-accumulates before the cut.
        entropy: Image → order-0 entropy in bytes.
        references: Name → image → bytes.
    """

    network: str
    cut: str
    base: str
    is_input: bool
    depth: float
    codes: int
    all_codes: bool
    bytes_float32: int
    head_s: float
    head_vs_base: float | None
    tail_s: float
    entropy: Mapping[int, float]
    coded: Mapping[str, Coded]
    references: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def lossless(self) -> list[Coded]:
        """The codecs that keep everything."""
        return [coded for coded in self.coded.values() if coded.lossless]

    def over_entropy(self, spec: str) -> float:
        """A codec's bytes over the order-0 entropy, the median over the images."""
        sizes = self.coded[spec].bytes_by_image
        return statistics.median(size / max(self.entropy[image], 1.0) for image, size in sizes.items())

    def over_references(self, spec: str) -> float | None:
        """A codec's bytes over the smallest reference's for the same image, the median over the images."""
        if not self.references:
            return None
        ratios = []
        for image, size in self.coded[spec].bytes_by_image.items():
            ratios.append(size / min(sizes[image] for sizes in self.references.values()))
        return statistics.median(ratios)


def cut_rows(results: Results, network: str = "") -> list[CutRow]:
    """All cuts whose sizes are measured, of one network or of all, in the order of the points."""
    records = [r for r in results.valid if r.notes.get("part") == SIZES and network in ("", r.point.network)]
    return [_cut_row(record, results.samples.get(record.point.key, ())) for record in records]


def _cut_row(record: PointRecord, samples: Sequence[Sample]) -> CutRow:
    notes = record.notes
    by_arm = grouped(samples)
    names = ("cut", "base", "is_input", "codes", "all_codes", "bytes_float32", "head_s", "tail_s")
    return CutRow(
        network=record.point.network,
        depth=notes["head_macs_share"],
        head_vs_base=notes.get("head_vs_base"),
        entropy=dict(zip(notes["images"], notes["entropy_bytes"], strict=True)),
        coded={arm: _coded(arm, found, notes) for arm, found in by_arm.items() if not arm.startswith(REFERENCE)},
        references={
            arm.removeprefix(REFERENCE): {sample.turn: sample.payload_bytes for sample in found}
            for arm, found in by_arm.items()
            if arm.startswith(REFERENCE)
        },
        **{name: notes[name] for name in names},
    )


def _coded(spec: str, samples: Sequence[Sample], notes: Mapping[str, Any]) -> Coded:
    return Coded(
        spec=spec,
        lossless=spec in notes["lossless"],
        bytes_by_image={sample.turn: sample.payload_bytes for sample in samples},
        encode_s=statistics.median(sample.steps_s["encode"] for sample in samples),
        decode_s=statistics.median(sample.steps_s["decode"] for sample in samples),
        inexact=sum(sample.error == CHANGED for sample in samples),
    )


def grouped(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Arm → its samples, both in the order in which they came."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.arm, []).append(sample)
    return found


def crossing_pair(rows: Iterable[CutRow]) -> tuple[str, str] | None:
    """The small lossless mode and the fast one, where every cut has both; else the smallest and the fastest of all.

    None where one codec is both, or not every cut has two.
    """
    found = list(rows)
    everywhere = [spec for spec in found[0].coded if all(spec in row.coded for row in found)] if found else []
    if SMALL in everywhere and FAST in everywhere:
        return SMALL, FAST
    lossless = [spec for spec in everywhere if found[0].coded[spec].lossless]
    if not lossless:
        return None
    small = min(lossless, key=lambda spec: sum(row.coded[spec].median_bytes / row.codes for row in found))
    fast = min(lossless, key=lambda spec: sum(row.coded[spec].both_s for row in found))
    return None if small == fast else (small, fast)
