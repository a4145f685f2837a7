"""Which of the codec experiment's results are drawn, and how their drawings read."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from suture_protocol.units import format_size
from suture_simulators.experiments.codec_favourites import crossing_bps
from suture_simulators.experiments.codec_plots import Dots, Weighed, cost_over_bytes, rows_of_dots
from suture_simulators.experiments.codec_rows import HALF, Coded, CutRow, crossing_pair
from suture_simulators.experiments.codec_ways import Way, bottlenecks, pictures
from suture_simulators.experiments.page import Figure
from suture_simulators.experiments.plots import Series
from suture_simulators.experiments.statistics import Interval

#: What costs more than this is not drawn: points of AUC, and the share of changed answers in hundredths.
_POINTS_DRAWN: Final = 6.0
_SHARE_DRAWN: Final = 30.0
#: Cuts whose lossy ladders are drawn, the plans' first favourites.
_LADDERS: Final = 2


def sizes_figure(rows: Sequence[CutRow]) -> Figure:
    """Kilobytes at every cut: float32, codes, entropy, the smallest reference, every lossless codec."""
    inner = [row for row in rows if not row.is_input]
    specs = _specs(inner, lambda coded: coded.lossless and coded.spec != "raw")
    dots = [
        Dots(label="float32", values=[row.bytes_float32 / 1e3 for row in inner], hollow=True),
        Dots(label="codes", values=[row.codes / 1e3 for row in inner], hollow=True),
        Dots(label="order-0 entropy", values=[_median_kb(row.entropy.values()) for row in inner], hollow=True),
        Dots(label="smallest reference", values=[_least_reference_kb(row) for row in inner], hollow=True),
        *(Dots(label=s, values=[_coded_kb(row, s) for row in inner]) for s in specs),
    ]
    levels = {}
    for row in rows:
        if row.is_input:
            small = min(row.lossless, key=lambda coded: coded.median_bytes)
            levels[f"the input as {small.spec}"] = small.median_bytes / 1e3
            if "jpeg" in row.coded:
                levels["the input as JPEG q95"] = row.coded["jpeg"].median_bytes / 1e3
    svg = rows_of_dots(
        [_name(row) for row in inner], dots, title="What crosses each cut", x_label="KB an image, median",
        reference=levels,
    )  # fmt: skip
    return Figure(svg=svg, caption="Hollow: nobody sends that. Left of an upright, the cut sends less than the image.")


def times_figure(rows: Sequence[CutRow]) -> Figure:
    """Time of encoding and decoding one code, at every cut."""
    specs = _specs(rows, lambda coded: coded.spec != "raw")
    dots = [Dots(label=spec, values=[_ns(row, spec) for row in rows]) for spec in specs]
    svg = rows_of_dots(
        [_name(row) for row in rows], dots, title="Time of coding", x_label="ns per code, encoding and decoding"
    )
    return Figure(svg=svg, caption="In small tensors the calls themselves take longest.")


def crossing_figure(rows: Sequence[CutRow], factors: Sequence[float]) -> Figure | None:
    """Below which rate the smaller codec gives the earlier result; None where none crosses."""
    pair = crossing_pair(rows)
    if pair is None:
        return None
    small, fast = pair
    dots = []
    for factor in factors:
        rates = [crossing_bps(row.coded[small], row.coded[fast], factor) for row in rows]
        values = [None if rate is None else rate / 1e6 for rate in rates]
        dots.append(Dots(label=f"unit {factor:g} times slower" if factor > 1 else "unit as fast", values=values))
    if all(value is None for one in dots for value in one.values):
        return None
    svg = rows_of_dots(
        [_name(row) for row in rows], dots, title=f"Where {fast} overtakes {small}", x_label="rate of the link (Mbit/s)"
    )
    return Figure(svg=svg, caption=f"Left of a dot {small} gives the earlier result, right of it {fast}.")


def answers_figure(ways: Sequence[Way]) -> Figure:
    """Cost in answers over kilobytes: pictures, bottlenecks, lossy codes at the first favourites, lossless at all."""
    labelled = any(way.loss is not None for way in ways)
    drawn = [
        _ladder("JPEG of the input", pictures(ways, "jpeg"), labelled=labelled),
        _ladder("WebP of the input", pictures(ways, "webp"), labelled=labelled),
        _ladder("JPEG at half the side", pictures(ways, f"{HALF}jpeg"), labelled=labelled),
        _ladder("WebP at half the side", pictures(ways, f"{HALF}webp"), labelled=labelled),
    ]
    for favourite in range(1, _LADDERS + 1):
        there = [way for way in ways if way.favourite == favourite and not way.lossless]
        families = dict.fromkeys(way.spec.partition("@")[0] for way in there)
        if len(families) > 1:
            families.pop("zstd", None)  # narrowed by the answer's sensitivity is what the bundle would send
        for family in families:
            members = [way for way in there if way.spec.partition("@")[0] == family]
            drawn.append(_ladder(f"{family}@ at {members[0].cut}", members, labelled=labelled, names=True))
    drawn.append(_dots("learned bottleneck", bottlenecks(ways).values(), labelled=labelled))
    smallest = [
        min((way for way in ways if way.favourite == place and way.lossless), key=lambda way: way.bytes_median)
        for place in sorted({way.favourite for way in ways if way.favourite and way.lossless})
    ]
    drawn.append(_dots("lossless codes at the favourites", smallest, labelled=labelled))
    label = "AUC lost (points)" if labelled else "answers that are not the float network's (%)"
    svg = cost_over_bytes(
        [way for way in drawn if len(way.series.x)], title="What the answers cost over what is sent", y_label=label,
        limit=_POINTS_DRAWN if labelled else _SHARE_DRAWN, level={"float network": 0.0},
    )  # fmt: skip
    least = min((way.bytes_median for way in pictures(ways, "jpeg")), default=None)
    floor = "" if least is None else f" No JPEG of the whole input is below {format_size(least)}."
    return Figure(svg=svg, caption=f"Bands and bars are 95 % intervals. Lower and further left is better.{floor}")


def _ladder(label: str, ways: Iterable[Way], *, labelled: bool, names: bool = False) -> Weighed:
    """Ways by their bytes."""
    found = sorted(ways, key=lambda way: way.bytes_median)
    costs = [_cost(way, labelled=labelled) for way in found]
    return Weighed(
        series=Series(
            label=label,
            x=[way.bytes_median / 1e3 for way in found],
            y=[cost.value for cost in costs],
            low=[cost.low for cost in costs],
            high=[cost.high for cost in costs],
        ),
        points=[way.spec.partition("@")[2] for way in found] if names else [],
    )


def _dots(label: str, ways: Iterable[Way], *, labelled: bool) -> Weighed:
    """Ways that are no ladder."""
    return Weighed(series=_ladder(label, ways, labelled=labelled).series, line=False)


def _cost(way: Way, *, labelled: bool) -> Interval:
    if labelled and way.loss is not None:
        return way.loss
    changed = way.changed
    bounds = [None if bound is None else 100 * bound for bound in (changed.low, changed.high)]
    return Interval(value=100 * changed.value, low=bounds[0], high=bounds[1])


def _specs(rows: Iterable[CutRow], wanted: Callable[[Coded], bool]) -> list[str]:
    return list(dict.fromkeys(coded.spec for row in rows for coded in row.coded.values() if wanted(coded)))


def _coded_kb(row: CutRow, spec: str) -> float | None:
    return row.coded[spec].median_bytes / 1e3 if spec in row.coded else None


def _least_reference_kb(row: CutRow) -> float | None:
    return min((_median_kb(sizes.values()) for sizes in row.references.values()), default=None)


def _median_kb(sizes: Iterable[float]) -> float:
    return statistics.median(sizes) / 1e3


def _ns(row: CutRow, spec: str) -> float | None:
    return 1e9 * row.coded[spec].both_s / row.codes if spec in row.coded else None


def _name(row: CutRow) -> str:
    return f"{row.cut} ({row.codes:,})"
