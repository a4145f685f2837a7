"""The ways to send an image, each with what it weighs and what it costs in answers. Numbers from results alone.

Of a network with two labels, and images whose folders name them, the cost is in hundredths of AUC against the float
network on the same images; of any other it is the share of answers that differ from the float network's own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from suture_simulators.experiments.auc import Resampled, share_interval
from suture_simulators.experiments.codec_rows import ANSWERS, FLOAT, HALF, grouped
from suture_simulators.experiments.statistics import Interval
from suture_simulators.experiments.types import PointRecord, Results, Sample

NARROW: Final = "narrow@"
#: What narrowed codes are to be smaller than float32 by, and what a bottleneck's codes may weigh.
NARROW_RATIO: Final = 12.0
BOTTLENECK_BYTES: Final = 1500


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to send an image, over all images.

    Attributes:
        network: Whose float answers are the reference.
        cut: Its id, `0` for a picture.
        spec: Codec's spec, or a picture's format and quality.
        loss: Hundredths of AUC against the float network; None without labels.
        changed: Share of answers that are not the float network's.
        ratio_float32: How many times smaller than the boundary in float32; None for pictures.
        favourite: Its place among the cuts that plans prefer, from 1; 0 elsewhere.
        bottleneck: Name of the network with a bottleneck whose cut this is; empty elsewhere.
        margins: By image, where there are labels.
    """

    network: str
    cut: str
    spec: str
    lossless: bool
    bytes_median: float
    bytes_p90: float
    auc: Interval | None
    loss: Interval | None
    changed: Interval
    ratio_float32: float | None
    favourite: int
    bottleneck: str
    margins: Sequence[float] = field(repr=False)
    resampled: Resampled | None = field(repr=False)

    @property
    def is_picture(self) -> bool:
        """Whether it is the image, and not what crosses a cut inside."""
        return not self.favourite and not self.bottleneck

    @property
    def cost(self) -> float:
        """Hundredths of AUC lost where there are labels, else the share of changed answers."""
        return self.changed.value if self.loss is None else self.loss.value

    def loss_against(self, other: Way) -> Interval | None:
        """By how many hundredths its AUC is below another way's on the same images; None without labels."""
        if self.resampled is None or not self.margins or not other.margins:
            return None
        return self.resampled.loss_points(other.margins, self.margins)


def all_ways(results: Results) -> list[Way]:
    """All that was answered, by network, in the order of the points; a bottleneck's after its network's."""
    found: list[Way] = []
    records = [record for record in results.valid if record.notes.get("part") == ANSWERS]
    for reference in records:
        if reference.notes["is_input"]:
            network = reference.point.network
            own = [record for record in records if record.point.network == network]
            made_for_it = [record for record in records if record.notes.get("base") == network]
            found += _of_network(results, reference, [*own, *made_for_it])
    return found


def _of_network(results: Results, reference: PointRecord, records: Iterable[PointRecord]) -> list[Way]:
    seed = int(results.facts.get("seed", 1))
    truth, patients = reference.notes["truth"], reference.notes["patients"]
    floats = _values(grouped(results.samples[reference.point.key])[FLOAT], "margin")
    resampled = None if truth is None or not floats else Resampled(truth, patients, seed=seed)
    found = []
    favourite = 0
    for record in records:
        inner = not record.notes["is_input"] and not record.notes.get("base")
        favourite += inner
        place: dict[str, Any] = {
            "network": reference.point.network,
            "cut": record.notes["cut"],
            "favourite": favourite if inner else 0,
            "bottleneck": record.point.network if record.notes.get("base") else "",
        }
        for arm, samples in grouped(results.samples[record.point.key]).items():
            margins = _values(samples, "margin")
            sizes = [sample.payload_bytes for sample in samples]
            whole = record.notes.get("bytes_float32")
            found.append(
                Way(
                    **place,
                    spec=arm,
                    lossless=arm in record.notes.get("lossless", (FLOAT,)),
                    bytes_median=statistics.median(sizes),
                    bytes_p90=float(np.percentile(sizes, 90)),
                    auc=None if resampled is None else resampled.auc(margins),
                    loss=None if resampled is None else resampled.loss_points(floats, margins),
                    changed=share_interval(_values(samples, "changed"), patients, seed=seed),
                    ratio_float32=None if whole is None else whole / statistics.median(sizes),
                    margins=margins,
                    resampled=resampled,
                )
            )
    return found


def _values(samples: Iterable[Sample], name: str) -> list[float]:
    return [sample.extra[name] for sample in samples if name in sample.extra]


def pictures(ways: Iterable[Way], kind: str = "") -> list[Way]:
    """The image as JPEG and WebP leave it, or as one of them does at its whole size; `half jpeg` for half the side."""
    prefixes = (f"{kind} q",) if kind else tuple(f"{half}{name} q" for half in ("", HALF) for name in ("jpeg", "webp"))
    return [way for way in ways if way.is_picture and way.spec.startswith(prefixes)]


def narrow_points(ways: Iterable[Way]) -> list[Way]:
    """At each favourite cut, the widest narrowed codes that are `NARROW_RATIO` times smaller than float32.

    By size alone and not by the loss on these images, which would choose the lucky ones. Where none is so small, the
    smallest.
    """
    by_cut: dict[tuple[str, str], list[Way]] = {}
    for way in ways:
        if way.favourite and way.spec.startswith(NARROW):
            by_cut.setdefault((way.network, way.cut), []).append(way)
    return [
        _largest(there, [way for way in there if (way.ratio_float32 or 0.0) >= NARROW_RATIO])
        for there in by_cut.values()
    ]


def bottleneck_point(ways: Iterable[Way]) -> Way | None:
    """Of the bottlenecks the one that sends most within `BOTTLENECK_BYTES`, with its smallest codec; by size alone."""
    smallest = list(bottlenecks(ways).values())
    if not smallest:
        return None
    return _largest(smallest, [way for way in smallest if way.bytes_median <= BOTTLENECK_BYTES])


def bottlenecks(ways: Iterable[Way]) -> Mapping[str, Way]:
    """Each bottleneck, by its network's name, with the codec that makes the fewest bytes of its codes."""
    found: dict[str, Way] = {}
    for way in ways:
        known = found.get(way.bottleneck)
        if way.bottleneck and way.lossless and (known is None or way.bytes_median < known.bytes_median):
            found[way.bottleneck] = way
    return found


def _largest(ways: Sequence[Way], within: Sequence[Way]) -> Way:
    """The largest of those that are small enough, or the smallest of all where none is."""
    return max(within, key=lambda way: way.bytes_median) if within else min(ways, key=lambda way: way.bytes_median)


def same_auc_target(ways: Sequence[Way]) -> Way | None:
    """What a picture has to equal: the bottleneck, else the smallest of the narrow points; None without labels."""
    point = bottleneck_point(ways)
    if point is not None and point.loss is not None:
        return point
    narrow = [way for way in narrow_points(ways) if way.loss is not None]
    return min(narrow, key=lambda way: way.bytes_median, default=None)


def fewest_bytes_as_good(rivals: Iterable[Way], target: Way) -> float | None:
    """The fewest bytes of the rivals whose loss is no greater than the target's; luck included, in their favour."""
    enough = [way.bytes_median for way in rivals if way.network == target.network and way.cost <= target.cost]
    return min(enough, default=None)
