"""The oracle's points judged: who was best, how far behind every choice stayed, and the figures of it all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_simulators.experiments.oracle_arms import cut_of
from suture_simulators.experiments.oracle_scores import Winner, p95, regret, self_regret, split_half_winner
from suture_simulators.experiments.types import PointRecord, Results, Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A valid point with its winner.

    Attributes:
        samples: Arm → its samples that have a result, in the order of the turns.
        turns: Arm → turn → seconds.
        winner: The best arm; `winner.cut_id` is its name.
        regrets: Who chose → the regret of the arm that was chosen.
        noise: The winner's regret against itself.
    """

    record: PointRecord
    samples: Mapping[str, Sequence[Sample]]
    turns: Mapping[str, Mapping[int, float]]
    winner: Winner
    regrets: Mapping[str, float]
    noise: float

    @property
    def best_cut(self) -> str:
        """The winner's cut."""
        return cut_of(self.winner.cut_id)

    @property
    def middle(self) -> bool:
        """Whether the best cut is inside the network."""
        return self.best_cut not in (INPUT_CUT, LAST_CUT)


def judged(results: Results) -> list[Judged]:
    """Every valid point that has enough samples to pick a winner and score it."""
    found = []
    for record in results.valid:
        samples: dict[str, list[Sample]] = {}
        for sample in results.samples.get(record.point.key, ()):
            if sample.ok:
                samples.setdefault(sample.arm, []).append(sample)
        turns = {arm: {sample.turn: sample.total_s for sample in taken} for arm, taken in samples.items()}
        try:
            winner = split_half_winner(turns)
            noise = self_regret(turns, seed=1).median
        except ValueError:
            continue
        chosen = record.notes["chosen"]
        regrets = {who: regret(turns, arm, winner) for who, arm in chosen.items() if arm in turns}
        found.append(Judged(record=record, samples=samples, turns=turns, winner=winner, regrets=regrets, noise=noise))
    return found


def figures(results: Results) -> dict[str, float]:
    """See DESIGN's names; regrets and errors are shares (0.05 is 5 % slower than the best cut)."""
    points = judged(results)
    if not points:
        return {}
    errors = [abs(error) for _, _, error in errors_of(points)]
    found = {
        "distinct_best_cuts": float(len({_identity(p) for p in points})),
        "middle_cut_best_share": sum(p.middle for p in points) / len(points),
        "regret_noise_median": statistics.median(p.noise for p in points),
        "prediction_mape": statistics.mean(errors),
        "prediction_mape_median": statistics.median(errors),
        "prediction_ape_p90": statistics.quantiles(errors, n=10)[-1] if len(errors) > 1 else errors[0],
    }
    for who, name in (("plan", "regret"), ("neurosurgeon", "regret_neurosurgeon"), ("dads", "regret_dads")):
        values = [p.regrets[who] for p in points if who in p.regrets]
        if values:
            found[f"{name}_median"] = statistics.median(values)
            found[f"{name}_p95"] = p95(values)
            found[f"{name}_max"] = max(values)
    for name, fixed in (("best_fixed", best_fixed(points)), ("best_fixed_per_device", best_fixed_per_device(points))):
        values = [r for _, regrets in fixed.values() for r in regrets]
        if values:
            found[f"regret_{name}_p95"] = p95(values)
            found[f"regret_{name}_median"] = statistics.median(values)
    return found


def _identity(point: Judged) -> tuple[str, str]:
    """The winner; a cut inside a network is another than one of the same name in another network."""
    return (point.record.point.network if point.middle else "", point.best_cut)


def best_fixed(points: Sequence[Judged]) -> dict[str, tuple[str, list[float]]]:
    """Network → the single cut that does best over all of its points on all devices, and its regret at each.

    Cuts mean something within one network only. Among the cuts that were measured at all of its points, it is the one
    with the least 95th percentile of regret: the most that a unit without planning could hope for. Its codec may be
    another at each point: the one that was best there.
    """
    return _singles(points, lambda point: point.record.point.network)


def best_fixed_per_device(points: Sequence[Judged]) -> dict[str, tuple[str, list[float]]]:
    """The same for each network on each device: a single cut that knows its device and not the link."""
    return _singles(points, lambda point: f"{point.record.point.network} on {point.record.point.device}")


def _singles(points: Sequence[Judged], group_of: Callable[[Judged], str]) -> dict[str, tuple[str, list[float]]]:
    found = {}
    for group in dict.fromkeys(map(group_of, points)):
        here = [p for p in points if group_of(p) == group]
        common = set.intersection(*(set(map(cut_of, p.turns)) for p in here))
        regrets = {cut: [_cut_regret(p, cut) for p in here] for cut in sorted(common)}
        if regrets:
            cut = min(regrets, key=lambda name: (p95(regrets[name]), name))
            found[group] = (cut, regrets[cut])
    return found


def _cut_regret(point: Judged, cut: str) -> float:
    return min(regret(point.turns, arm, point.winner) for arm in point.turns if cut_of(arm) == cut)


def errors_of(points: Sequence[Judged]) -> list[tuple[float, float, float]]:
    """(predicted, measured, error relative to measured) of every arm measured at every point."""
    found = []
    for point in points:
        before_s = point.record.notes["before_s"]
        for arm, turns in point.turns.items():
            predicted_s = point.record.notes["predicted"][arm]["total_s"] + before_s
            measured_s = statistics.median(turns.values())
            found.append((predicted_s, measured_s, predicted_s / measured_s - 1))
    return found
