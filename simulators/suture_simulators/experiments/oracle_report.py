"""Figures, table and report of `oracle`, from its results alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.units import format_rate, format_time
from suture_simulators.experiments import grids, plots
from suture_simulators.experiments import oracle_errors as wrong
from suture_simulators.experiments.oracle_arms import FULL, QUICK, cut_of
from suture_simulators.experiments.oracle_judged import (
    Judged,
    best_fixed,
    best_fixed_per_device,
    errors_of,
    figures,
    judged,
)
from suture_simulators.experiments.oracle_scores import p95
from suture_simulators.experiments.page import Figure, Section, Table, Text
from suture_simulators.experiments.plots import Series
from suture_simulators.experiments.types import Results

#: How many of the largest regrets are explained.
_WORST: Final = 8
_RULES: Final = {"plan": "Suture's plan", "neurosurgeon": "Neurosurgeon's rule", "dads": "min-cut (DADS)"}


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
    return ["point", "cuts measured", "best cut and codec", "its time", *_RULES.values(), "noise"], rows


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def sections(results: Results) -> Sequence[Section]:
    """The report's sections."""
    points = judged(results)
    header, rows = table(results)
    every = Section(title="Every point", blocks=[Table(head=header, rows=rows)])
    if not points:
        return [_method(results), every]
    return [
        _summary(results, points),
        _worst(points),
        _method(results),
        *_winners(points),
        _predictions(points),
        _cuts(points),
        every,
    ]


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
    regrets["best single cut of each device"] = [r for _, v in best_fixed_per_device(points).values() for r in v]
    shown = {name: [100 * r for r in values] for name, values in regrets.items() if values}
    drawing = plots.distribution(
        shown, title="Regret of each way to choose", x_label="regret (% of the best cut's time)"
    )
    rows = [
        [name, _percent(statistics.median(values)), _percent(p95(values)), _percent(max(values))]
        for name, values in regrets.items()
        if values
    ]
    singles = ", ".join(f"{network}: {cut}" for network, (cut, _) in fixed.items())
    worst = max((p for p in points if "plan" in p.regrets), key=lambda p: p.regrets["plan"])
    told = f"The plan's largest regret, {_percent(worst.regrets['plan'])}, is at {worst.record.point.title}: "
    return Section(
        title="Regret",
        blocks=[
            Text(text=text, lead=True),
            Figure(svg=drawing, caption="Share of the points at which the regret is at most that. Below 0 is noise."),
            Table(head=["who chooses", "median", "95th percentile", "largest"], rows=rows),
            Text(text=told + wrong.why_wrong(worst) + "."),
            Text(text=f"Best single cut of each network, chosen with hindsight over all of its points: {singles}."),
        ],
    )


def _method(results: Results) -> Section:
    return Section(title="How it was measured", blocks=[Text(text=text) for text in _definitions(results)])


def _definitions(results: Results) -> tuple[str, ...]:
    exhaustive = [r.point.title for r in results.records if r.notes.get("exhaustive")]
    covered = QUICK if results.facts.get("quick") else FULL
    return (
        f"At {len(exhaustive)} of {len(results.records)} points every candidate cut was measured with every codec that "
        f"a plan may choose: {'; '.join(exhaustive)}. Elsewhere: cut 0 and the last, the {covered.predicted_best} "
        f"cuts that are predicted best (the first {covered.every_codec} with every codec, the others with the one "
        f"predicted best), {covered.at_random} cuts at random (the same at all points of a network, so far as they "
        "were not in already), the cuts predicted to serve best as the only one, and what each rule chose. A better "
        "cut outside of these would have gone unseen.",
        "Each sample ran the head and the encoding on the slowed unit, sent the payload over the emulated link and "
        "ran the tail, all for real and warm: the head was compiled and had run, the cloud had run the tail. In each "
        "turn every arm that was still in had one sample, in a random order. An arm was given up when it was far "
        "behind: after the first turn above 1.5 times the least time, after the second above 1.2 times the least "
        "median, then above 1.08 and from the fourth on above 1.05 times; what somebody chose had four turns, or two "
        "where it was that far behind. An arm predicted to take four times the best's time was not measured again "
        "at a point where it had been measured at a faster rate of the same device and was within a quarter of its "
        "prediction. A network's images took turns over its points; the unit's profile was measured with the same "
        "images.",
        "The winner is picked on the even turns and everything is scored on the odd ones, because the least of noisy "
        "medians is too good to be true; an arm given up after one turn counts with that. Noise: the regret of the "
        "winner against itself, two sets of its odd turns being drawn with replacement.",
        "All rules were given the same profiles of both sides and the same link estimate, which came from warm-up "
        "uploads at the point. The rivals send our codes through the same codecs as ours does, narrowed ones where "
        "the accuracy budget admits them; their cut was measured with the codec that we predict best there. The best "
        "single cut is chosen with hindsight, and takes the codec that measured best at each point.",
        "Which networks, devices and images belong in such a grid is a matter of use, not of what wins: radiographs "
        "(grey, 20 KB as a lossless image), colour photographs as dermatology, endoscopy and fundus cameras give them "
        "(some 90 KB), CT volumes; boards with published speeds; uplinks from half a Mbit/s up.",
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
    return "" if point is None else _short(point.best_cut)


def _short(cut_id: str) -> str:
    return {INPUT_CUT: "image", LAST_CUT: "edge"}.get(cut_id, cut_id)


def _predictions(points: Sequence[Judged]) -> Section:
    series = []
    for network in dict.fromkeys(p.record.point.network for p in points):
        here = errors_of([p for p in points if p.record.point.network == network])
        series.append(Series(label=network, x=[p for p, _, _ in here], y=[m for _, m, _ in here]))
    sizes = sorted(abs(error) for _, _, error in errors_of(points))
    numbers = {"median": statistics.median(sizes), "p90": sizes[int(0.9 * (len(sizes) - 1))]}
    svg = plots.scatter(
        series, title="Predicted and measured", x_label="predicted (s)", y_label="measured, median (s)", log=True
    )
    text = (
        f"The predicted time to result was off by {_percent(numbers['median'])} at the median and "
        f"{_percent(numbers['p90'])} at the 90th percentile, over {len(sizes)} arms at {len(points)} points, warm; "
        f"mean {_percent(statistics.mean(sizes))}."
    )
    rows = [[step, f"{100 * bias:+.2f} %", _percent(size)] for step, bias, size in wrong.error_by_step(points)]
    steps = Table(
        head=["step", "median error", "90th percentile of its size"],
        rows=rows,
        caption="Error of each step, as a share of the arm's whole time; above 0 was predicted too slow",
    )
    return Section(title="Prediction", blocks=[Text(text=text), Figure(svg=svg), steps])


def _worst(points: Sequence[Judged]) -> Section:
    """The points where the plan lost most, each with the prediction that misled it."""
    behind = sorted((p for p in points if p.regrets.get("plan", 0) > 0), key=lambda p: -p.regrets["plan"])[:_WORST]
    rows = [[p.record.point.title, _percent(p.regrets["plan"]), wrong.why_wrong(p)] for p in behind]
    return Section(
        title="Where the plan lost most", blocks=[Table(head=["point", "regret", "what was mispredicted"], rows=rows)]
    )


def _cuts(points: Sequence[Judged]) -> Section:
    """Measured against predicted for every arm, at the points where all were measured."""
    blocks: list[Text | Figure | Table] = []
    for point in points:
        if not point.record.notes["exhaustive"]:
            continue
        cuts = [arm for arm in point.record.notes["predicted"] if arm in point.turns]
        before_s = point.record.notes["before_s"]
        measured = [statistics.median(point.turns[cut].values()) for cut in cuts]
        predicted = [point.record.notes["predicted"][cut]["total_s"] + before_s for cut in cuts]
        x = list(range(len(cuts)))
        svg = plots.lines(
            [Series(label="measured", x=x, y=measured), Series(label="predicted", x=x, y=predicted)],
            title=f"{point.record.point.network}, {format_rate(point.record.point.rate_bps)}",
            x_label="candidate cuts with each codec, from the input to the output",
            y_label="time to result (s)",
            verticals={"best": float(cuts.index(point.winner.cut_id))},
        )
        plan = cut_of(point.record.notes["chosen"]["plan"])
        blocks.append(
            Figure(svg=svg, caption=f"{point.record.point.title}. Best: {_name(point)}. Plan: {_short(plan)}.")
        )
    return Section(title="Every cut, where all were measured", blocks=blocks, pairs=True)
