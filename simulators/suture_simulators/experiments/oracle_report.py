"""Figures, table and report of `oracle`, from its results alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.units import format_rate, format_time
from suture_simulators.experiments import grids, plots
from suture_simulators.experiments.oracle import FULL, QUICK
from suture_simulators.experiments.oracle_scores import Winner, regret, self_regret, split_half_winner
from suture_simulators.experiments.page import Figure, Section, Table, Text
from suture_simulators.experiments.plots import Series
from suture_simulators.experiments.types import PointRecord, Results

_RULES: Final = {"plan": "Suture's plan", "neurosurgeon": "Neurosurgeon's rule", "dads": "min-cut (DADS)"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A valid point with its winner; `regrets` by who chose, `noise` the winner's regret against itself."""

    record: PointRecord
    turns: Mapping[str, Mapping[int, float]]
    winner: Winner
    regrets: Mapping[str, float]
    noise: float

    @property
    def middle(self) -> bool:
        """Whether the best cut is inside the network."""
        return self.winner.cut_id not in (INPUT_CUT, LAST_CUT)


def judged(results: Results) -> list[Judged]:
    """Every valid point that has enough samples to pick a winner and score it."""
    found = []
    for record in results.valid:
        turns: dict[str, dict[int, float]] = {}
        for sample in results.samples.get(record.point.key, ()):
            if sample.ok:
                turns.setdefault(sample.arm, {})[sample.turn] = sample.total_s
        try:
            winner = split_half_winner(turns)
            noise = self_regret(turns, seed=1).median
        except ValueError:
            continue
        chosen = record.notes["chosen"]
        regrets = {who: regret(turns, cut, winner) for who, cut in chosen.items() if cut in turns}
        found.append(Judged(record=record, turns=turns, winner=winner, regrets=regrets, noise=noise))
    return found


def figures(results: Results) -> dict[str, float]:
    """See DESIGN's names; regrets are shares (0.05 is 5 % slower than the best cut)."""
    points = judged(results)
    if not points:
        return {}
    found = {
        "distinct_best_cuts": float(len({_identity(p) for p in points})),
        "middle_cut_best_share": sum(p.middle for p in points) / len(points),
        "regret_noise_median": statistics.median(p.noise for p in points),
        "prediction_mape": statistics.mean(abs(error) for _, _, error in _errors(points)),
    }
    for who, name in (("plan", "regret"), ("neurosurgeon", "regret_neurosurgeon"), ("dads", "regret_dads")):
        values = [p.regrets[who] for p in points if who in p.regrets]
        if values:
            found[f"{name}_median"] = statistics.median(values)
            found[f"{name}_p95"] = _p95(values)
    fixed = best_fixed(points)
    if fixed:
        found["regret_best_fixed_p95"] = _p95([r for _, regrets in fixed.values() for r in regrets])
        found["regret_best_fixed_median"] = statistics.median([r for _, regrets in fixed.values() for r in regrets])
    return found


def _identity(point: Judged) -> tuple[str, str]:
    """The winner; a cut inside a network is another than one of the same name in another network."""
    return (point.record.point.network if point.middle else "", point.winner.cut_id)


def best_fixed(points: Sequence[Judged]) -> dict[str, tuple[str, list[float]]]:
    """Network → the single cut that does best over all of its points on all devices, and its regret at each.

    Cuts mean something within one network only. Among the cuts that were measured at all of its points, it is the one
    with the least 95th percentile of regret: the most that a unit without planning could hope for.
    """
    found = {}
    for network in dict.fromkeys(p.record.point.network for p in points):
        here = [p for p in points if p.record.point.network == network]
        common = set.intersection(*(set(p.turns) for p in here))
        regrets = {cut: [regret(p.turns, cut, p.winner) for p in here] for cut in sorted(common)}
        if regrets:
            cut = min(regrets, key=lambda name: (_p95(regrets[name]), name))
            found[network] = (cut, regrets[cut])
    return found


def _errors(points: Sequence[Judged]) -> list[tuple[float, float, float]]:
    """(predicted, measured, error relative to measured) of every cut measured at every point."""
    found = []
    for point in points:
        before_s = point.record.notes["before_s"]
        for cut, turns in point.turns.items():
            predicted_s = point.record.notes["predicted"][cut]["total_s"] + before_s
            measured_s = statistics.median(turns.values())
            found.append((predicted_s, measured_s, predicted_s / measured_s - 1))
    return found


def _p95(values: Sequence[float]) -> float:
    return float(np.quantile(np.asarray(values), 0.95))


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each point: the best cut with its time, and the regret of each choice."""
    rows = []
    by_key = {p.record.point.key: p for p in judged(results)}
    for record in results.records:
        point = by_key.get(record.point.key)
        if point is None:
            rows.append([record.point.title, *["–"] * 6, "INVALID" if not record.valid else "too few samples"])
            continue
        regrets = [_percent(point.regrets.get(who)) for who in _RULES]
        cuts = f"{len(point.turns)}{' (all)' if record.notes['exhaustive'] else ''}"
        best = [point.winner.cut_id, format_time(point.winner.scored_s)]
        rows.append([record.point.title, cuts, *best, *regrets, _percent(point.noise)])
    return ["point", "cuts measured", "best cut", "its time", *_RULES.values(), "noise"], rows


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def sections(results: Results) -> Sequence[Section]:
    """The report's sections."""
    points = judged(results)
    header, rows = table(results)
    every = Section(title="Every point", blocks=[Table(head=header, rows=rows)])
    if not points:
        return [_method(results), every]
    return [_summary(results, points), _method(results), *_winners(points), _predictions(points), _cuts(points), every]


def _summary(results: Results, points: Sequence[Judged]) -> Section:
    numbers = figures(results)
    text = (
        f"Over {len(points)} points, the planned cut took {_percent(numbers['regret_median'])} longer than the best "
        f"measured one at the median and {_percent(numbers['regret_p95'])} at the 95th percentile. The best cut "
        f"against itself shows {_percent(numbers['regret_noise_median'])}: less than that is noise. A middle cut was "
        f"best at {100 * numbers['middle_cut_best_share']:.0f} % of the points."
    )
    regrets = {_RULES[who]: [p.regrets[who] for p in points if who in p.regrets] for who in _RULES}
    fixed = best_fixed(points)
    regrets["best single cut"] = [r for _, values in fixed.values() for r in values]
    shown = {name: [100 * r for r in values] for name, values in regrets.items() if values}
    drawing = plots.distribution(
        shown, title="Regret of each way to choose", x_label="regret (% of the best cut's time)"
    )
    rows = [
        [name, _percent(statistics.median(values)), _percent(_p95(values)), _percent(max(values))]
        for name, values in regrets.items()
        if values
    ]
    singles = ", ".join(f"{network}: {cut}" for network, (cut, _) in fixed.items())
    return Section(
        title="Regret",
        blocks=[
            Text(text=text, lead=True),
            Figure(svg=drawing, caption="Share of the points at which the regret is at most that. Below 0 is noise."),
            Table(head=["who chooses", "median", "95th percentile", "largest"], rows=rows),
            Text(text=f"Best single cut of each network, chosen with hindsight over all of its points: {singles}."),
        ],
    )


def _method(results: Results) -> Section:
    exhaustive = [r.point.title for r in results.records if r.notes.get("exhaustive")]
    covered = QUICK if results.facts.get("quick") else FULL
    return Section(
        title="How it was measured",
        blocks=[
            Text(
                text=f"At {len(exhaustive)} of {len(results.records)} points every candidate cut was measured: "
                f"{'; '.join(exhaustive)}. Elsewhere: cut 0 and the last, the {covered.predicted_best} that the plan "
                f"expects to be best, {covered.at_random} at random (the same at all points of a network, so far as "
                "they were not in already), and what each rule chose. A better cut outside of these would have gone "
                "unseen."
            ),
            Text(
                text="Each sample ran the head and the encoding on the slowed unit, sent the payload over the "
                "emulated link and ran the tail; nothing is reused between points. In each turn every cut had one "
                "sample, in a random order. The winner is picked on the even turns and everything is scored on the "
                "odd ones, because the least of noisy medians is too good to be true. Noise: the regret of the winner "
                "against itself, two sets of its odd turns being drawn with replacement."
            ),
            Text(
                text="All rules were given the same profiles of both sides and the same link estimate, which came "
                "from four warm-up uploads at the point. Each measured cut used the codec that the plan would use "
                "for it."
            ),
        ],
    )


def _winners(points: Sequence[Judged]) -> list[Section]:
    blocks: list[Text | Figure | Table] = []
    for network, device in dict.fromkeys((p.record.point.network, p.record.point.device) for p in points):
        here = [p for p in points if (p.record.point.network, p.record.point.device) == (network, device)]
        rates = sorted({p.record.point.rate_bps for p in here})
        rtts = sorted({p.record.point.rtt_s for p in here})
        found = {(p.record.point.rate_bps, p.record.point.rtt_s): p for p in here}
        best = [[_name(found.get((rate, rtt))) for rate in rates] for rtt in rtts]
        svg = grids.mosaic(
            best,
            title=f"Best cut, {network}, device {device}",
            x_label="rate of the link",
            y_label="round trip",
            x_names=[format_rate(rate) for rate in rates],
            y_names=[format_time(rtt) for rtt in rtts],
        )
        blocks.append(Figure(svg=svg))
    return [Section(title="Which cut is best where", blocks=blocks, pairs=True)]


def _name(point: Judged | None) -> str:
    return "" if point is None else _short(point.winner.cut_id)


def _short(cut_id: str) -> str:
    return {INPUT_CUT: "image", LAST_CUT: "edge"}.get(cut_id, cut_id)


def _predictions(points: Sequence[Judged]) -> Section:
    series = []
    for network in dict.fromkeys(p.record.point.network for p in points):
        here = _errors([p for p in points if p.record.point.network == network])
        series.append(Series(label=network, x=[p for p, _, _ in here], y=[m for _, m, _ in here]))
    errors = [error for _, _, error in _errors(points)]
    svg = plots.scatter(
        series, title="Predicted and measured", x_label="predicted (s)", y_label="measured, median (s)", log=True
    )
    text = (
        f"Mean absolute error of the predicted time {100 * statistics.mean(abs(e) for e in errors):.1f} %, "
        f"median error {100 * statistics.median(errors):+.1f} % ({len(errors)} cuts at {len(points)} points)."
    )
    return Section(title="Prediction", blocks=[Text(text=text), Figure(svg=svg)])


def _cuts(points: Sequence[Judged]) -> Section:
    """Measured against predicted for every cut, at the points where all were measured."""
    blocks: list[Text | Figure | Table] = []
    for point in points:
        if not point.record.notes["exhaustive"]:
            continue
        cuts = [cut for cut in point.record.notes["predicted"] if cut in point.turns]
        before_s = point.record.notes["before_s"]
        measured = [statistics.median(point.turns[cut].values()) for cut in cuts]
        predicted = [point.record.notes["predicted"][cut]["total_s"] + before_s for cut in cuts]
        x = list(range(len(cuts)))
        svg = plots.lines(
            [Series(label="measured", x=x, y=measured), Series(label="predicted", x=x, y=predicted)],
            title=f"{point.record.point.network}, {format_rate(point.record.point.rate_bps)}",
            x_label="candidate cuts, from the input to the output",
            y_label="time to result (s)",
            verticals={"best": float(cuts.index(point.winner.cut_id))},
        )
        plan = point.record.notes["chosen"]["plan"]
        blocks.append(
            Figure(svg=svg, caption=f"{point.record.point.title}. Best: {_name(point)}. Plan: {_short(plan)}.")
        )
    return Section(title="Every cut, where all were measured", blocks=blocks, pairs=True)
