"""Figures, table and report of `baselines`, from its results alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.units import format_rate, format_time
from suture_simulators.experiments import grids, plots
from suture_simulators.experiments.baselines import ARMS, DICOM, EDGE, IMAGE, SPLIT, medians
from suture_simulators.experiments.page import Figure, Section, Table, Text
from suture_simulators.experiments.plots import Series
from suture_simulators.experiments.statistics import comparison_table, median_interval, paired
from suture_simulators.experiments.tables import comparison_of_ways
from suture_simulators.experiments.types import Point, Results

_TITLES: Final = {arm.name: arm.title for arm in ARMS}
_LOSSLESS: Final = frozenset(arm.name for arm in ARMS if arm.lossless)
_RIVALS: Final = {"dicom_upload": DICOM, "image_upload": IMAGE, "edge_only": EDGE}
#: Within this share of the fastest, a way counts as among the fastest: the planner's own hysteresis.
_AS_GOOD: Final = 1.05


def figures(results: Results) -> dict[str, float]:
    """Ratios of medians, split ÷ rival, over the valid points; below 1 the split is faster."""
    best, lossless = [], []
    against: dict[str, list[float]] = {name: [] for name in _RIVALS}
    for record in results.valid:
        times = medians(results, record.point)
        if SPLIT not in times or len(times) < 2:
            continue
        best.append(times[SPLIT] / _least(times))
        if any(arm in _LOSSLESS for arm in times if arm != SPLIT):
            lossless.append(times[SPLIT] / _least({a: t for a, t in times.items() if a in _LOSSLESS}))
        for name, arm in _RIVALS.items():
            if arm in times:
                against[name].append(times[SPLIT] / times[arm])
    found = {f"split_vs_{name}_median": statistics.median(ratios) for name, ratios in against.items() if ratios}
    if best:
        found["split_vs_best_rival_max"] = max(best)
        found["split_vs_best_rival_median"] = statistics.median(best)
        found["split_as_good_as_best_share"] = sum(ratio <= _AS_GOOD for ratio in best) / len(best)
    if lossless:
        found["split_vs_best_lossless_rival_max"] = max(lossless)
    return found


def _least(times: dict[str, float]) -> float:
    return min(seconds for arm, seconds in times.items() if arm != SPLIT)


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each point: the median time of each way, and the fastest."""
    arms = [arm for arm in _TITLES if any(results.times_s(r.point, arm) for r in results.records)]
    rows = []
    for record in results.records:
        times = medians(results, record.point)
        cells = [format_time(times[arm]) if arm in times else "–" for arm in arms]
        cuts = _cuts(results, record.point)
        fastest = _TITLES[min(times, key=times.__getitem__)] if times else "–"
        rows.append([record.point.title, *cells, cuts, fastest if record.valid else "INVALID"])
    return ["point", *(_TITLES[arm] for arm in arms), "split's cut", "fastest"], rows


def _cuts(results: Results, point: Point) -> str:
    cuts = [s.cut for s in results.samples.get(point.key, ()) if s.arm == SPLIT and s.ok]
    if not cuts:
        return "–"
    return {INPUT_CUT: "image", LAST_CUT: "edge"}.get(statistics.mode(cuts), statistics.mode(cuts))


def sections(results: Results) -> Sequence[Section]:
    """The report's sections."""
    found = [_summary(results)]
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for record in results.valid:
        point = record.point
        groups.setdefault((point.network, point.device, point.image), []).append(point)
    for (network, device, image), chosen in groups.items():
        found.append(_network(results, f"{network}, device {device}, {image}", chosen))
    found += [_local(results), _tests(results), _everything(results)]
    return found


def _summary(results: Results) -> Section:
    numbers = figures(results)
    best = numbers.get("split_vs_best_rival_max")
    texts = [
        Text(
            text="Each sample is the time from the image's file to the result. In every turn each way had one sample, "
            "in a random order; times are medians over the turns. Ratios are split ÷ rival: below 1, split is faster.",
            lead=True,
        )
    ]
    if best is not None:
        share = numbers["split_as_good_as_best_share"]
        texts.append(
            Text(
                text=f"At its worst point, the planned split took {best:.2f} times as long as the best rival there; at "
                f"{100 * share:.0f} % of the points it was within 5 % of the fastest way or was it. "
                "Where the plan is cut 0 or all on the edge, split is that way, and can at best be as fast."
            )
        )
    ways = Table(
        head=["way", "what it does", "what the network sees"],
        rows=[[arm.title, arm.what, "the image" if arm.lossless else "a lossy copy"] for arm in ARMS],
    )
    return Section(title="What was compared", blocks=[*texts, ways])


def _network(results: Results, name: str, points: Sequence[Point]) -> Section:
    blocks: list[Text | Figure | Table] = []
    for rtt_s in dict.fromkeys(point.rtt_s for point in points):
        here = sorted((p for p in points if p.rtt_s == rtt_s), key=lambda point: point.rate_bps)
        blocks.append(_lines(results, f"Time to result, round trip {format_time(rtt_s)}", here))
        crossed = _crossings(results, here)
        if crossed is not None:
            blocks.append(crossed)
    blocks += _ratios(results, points)
    return Section(title=name, blocks=blocks)


def _series(results: Results, points: Sequence[Point]) -> list[Series]:
    found = []
    for arm, title in _TITLES.items():
        x = [p.rate_bps / 1e6 for p in points if results.times_s(p, arm)]
        between = [median_interval(results.times_s(p, arm), seed=1) for p in points if results.times_s(p, arm)]
        if x:
            found.append(
                Series(
                    label=title,
                    x=x,
                    y=[one.value for one in between],
                    low=[one.low for one in between],
                    high=[one.high for one in between],
                )
            )
    return found


def _lines(results: Results, title: str, points: Sequence[Point]) -> Figure:
    svg = plots.lines(
        _series(results, points),
        title=title,
        x_label="rate of the link (Mbit/s)",
        y_label="time to result (s)",
        log_x=True,
        log_y=True,
        crossing_of=_TITLES[SPLIT],
    )
    caption = "Medians, with 95 % bootstrap intervals as bands. Circles: where the split's line crosses another."
    return Figure(svg=svg, caption=caption)


def _crossings(results: Results, points: Sequence[Point]) -> Table | None:
    """Where any two ways change places, by straight lines between measured points on the drawing's axes."""
    series = _series(results, points)
    rows = []
    for place, first in enumerate(series):
        for second in series[place + 1 :]:
            for rate, seconds in plots.crossings(first, second, log_x=True, log_y=True):
                rows.append([first.label, second.label, f"{rate:.3g} Mbit/s", format_time(seconds)])
    if not rows:
        return None
    return Table(head=["way", "crosses", "at", "both take"], rows=rows, caption="Crossings, interpolated")


def _ratios(results: Results, points: Sequence[Point]) -> list[Text | Figure | Table]:
    rates = sorted({p.rate_bps for p in points})
    rtts = sorted({p.rtt_s for p in points})
    if len(rates) < 2:
        return []
    cells: list[list[float | None]] = []
    for rtt_s in rtts:
        row: list[float | None] = []
        for rate_bps in rates:
            point = next((p for p in points if p.rate_bps == rate_bps and p.rtt_s == rtt_s), None)
            times = medians(results, point) if point is not None else {}
            row.append(times[SPLIT] / _least(times) if SPLIT in times and len(times) > 1 else None)
        cells.append(row)
    svg = grids.heatmap(
        cells,
        title="Split ÷ best rival",
        x_label="rate of the link",
        y_label="round trip",
        x_names=[format_rate(rate) for rate in rates],
        y_names=[format_time(rtt) for rtt in rtts],
        value_label="ratio of medians",
        form="{:.2f}".format,
        centre=1.0,
    )
    return [Figure(svg=svg, caption="Below 1, split is faster than the best of all other ways, lossy ones included.")]


def _local(results: Results) -> Section:
    rows: dict[tuple[str, str], list[list[str]]] = {}
    for record in results.records:
        key = (record.point.network, record.point.device)
        if key not in rows and "local_engines" in record.notes:
            rows[key] = [
                [*key, one["engine"], one["precision"], format_time(one["median_s"]), "used" if place == 0 else ""]
                for place, one in enumerate(record.notes["local_engines"])
            ]
    return Section(
        title="The unit alone: engines and precisions",
        blocks=[
            Text(
                text="Edge only runs on whichever was the fastest on the emulated device; all that the bundle has for "
                "it:"
            ),
            Table(
                head=["network", "device", "engine", "precision", "median", ""],
                rows=[row for group in rows.values() for row in group],
            ),
        ],
    )


def _tests(results: Results) -> Section:
    """The table that medical papers expect, and the paired comparison that the design allows."""
    rows = []
    for record in results.valid:
        by_turn = _by_turn(results, record.point)
        for arm in by_turn:
            if arm == SPLIT or len(by_turn[SPLIT].keys() & by_turn[arm].keys()) < 2:
                continue
            both = paired(by_turn[SPLIT], by_turn[arm], seed=1)
            if both is None:
                continue
            test = next((r for r in comparison_table(results.by_arm(record.point), SPLIT) if r.arm == arm), None)
            rows.append(
                [
                    record.point.title,
                    _TITLES[arm],
                    str(both.n),
                    f"{both.ratio.value:.3f}",
                    _between(both.ratio.low, both.ratio.high),
                    _p(both.p_value),
                    _p(None if test is None else test.p_holm),
                ]
            )
    return Section(
        title="Paired comparison with the split",
        blocks=[
            Text(
                text="Ratio: median over the turns of split ÷ rival, with its 95 % bootstrap interval; p of the "
                "signed-rank test of the paired logarithms; p of Welch's t-test of the times, adjusted after "
                "Holm. With few turns a test can show little; the interval says more."
            ),
            Table(head=["point", "rival", "turns", "ratio", "95 %", "p (paired)", "p (Welch, Holm)"], rows=rows),
            comparison_of_ways(
                {record.point.title: results.by_arm(record.point) for record in results.valid},
                SPLIT,
                titles=_TITLES,
                folded="Means, t-tests and analysis of variance at each point",
            ),
        ],
    )


def _by_turn(results: Results, point: Point) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {SPLIT: {}}
    for sample in results.samples.get(point.key, ()):
        if sample.ok:
            found.setdefault(sample.arm, {})[sample.turn] = sample.total_s
    return found


def _between(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} … {high:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _everything(results: Results) -> Section:
    header, rows = table(results)
    return Section(title="Every point", blocks=[Table(head=header, rows=rows)])
