"""The drives of `trace`, evaluated: each against a clairvoyant, the fixed policies, and what was foreseen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suture_simulators.experiments import adapt_scores, trace_scores
from suture_simulators.experiments.adapt_scores import Account
from suture_simulators.experiments.clairvoyant import Option
from suture_simulators.experiments.scenarios import outages
from suture_simulators.experiments.streaming import CLAIRVOYANT, SPLIT
from suture_simulators.experiments.trace_scores import Foreseen
from suture_simulators.experiments.types import PointRecord, Results, Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """One valid point, evaluated.

    `foreseen` is what a clairvoyant at the planned stream's moments is predicted to take. `pairs` are (planned,
    clairvoyant) for each image with a result that met no outage in either, `pairs_foreseen` (planned, foreseen);
    `away` are the turns of the planned stream that met one; `against` is the ratio to each fixed cut.
    """

    record: PointRecord
    by_arm: Mapping[str, tuple[Sample, ...]]
    accounts: Mapping[str, Account]
    known: tuple[Option, ...]
    foreseen: tuple[Foreseen, ...]
    away: frozenset[int]
    pairs: tuple[tuple[float, float], ...]
    pairs_foreseen: tuple[tuple[float, float], ...]
    right_share: float
    against: Mapping[str, float]

    @property
    def best_fixed(self) -> str:
        """The fixed cut against which the plan does worst; empty where none had a result."""
        return max(self.against, key=self.against.__getitem__, default="")

    @property
    def vs_best_fixed(self) -> float:
        """The ratio to it; nan where none had a result."""
        return max(self.against.values(), default=math.nan)

    @property
    def vs_clairvoyant(self) -> float:
        """Ratio of the means."""
        return trace_scores.ratio_of_means(self.pairs)

    @property
    def vs_foreseen(self) -> float:
        """Ratio of the means."""
        return trace_scores.ratio_of_means(self.pairs_foreseen)

    @property
    def vs_best_fixed_away(self) -> float | None:
        """As `vs_best_fixed`, over the images that met an outage; None where none did."""
        means = [trace_scores.mean_s(self.away_of(arm)) for arm in self.by_arm if arm not in (SPLIT, CLAIRVOYANT)]
        return trace_scores.mean_s(self.away_of(SPLIT)) / min(means) if self.away else None

    def away_of(self, arm: str) -> list[Sample]:
        """A stream's images that met an outage."""
        return trace_scores.in_turns(self.by_arm[arm], self.away, among=True)

    def clear_of(self, arm: str) -> list[Sample]:
        """A stream's other images."""
        return trace_scores.in_turns(self.by_arm[arm], self.away, among=False)


def read(results: Results) -> list[Read]:
    """Every valid point, evaluated."""
    return [_read(record, results.samples.get(record.point.key, ())) for record in results.valid]


def _read(record: PointRecord, samples: Sequence[Sample]) -> Read:
    notes, rtt_s = record.notes, record.point.rtt_s
    known, line, _ = adapt_scores.known_from(notes)
    by_arm = {arm: tuple(s for s in samples if s.arm == arm) for arm in notes["images"]}
    ahead = trace_scores.foreseen(by_arm[SPLIT], known, line, rtt_s)
    gone = outages(notes["scenario"]["steps"], notes["scenario"]["steps"][-1][0] + 1.0)
    away = frozenset(trace_scores.met_outage({SPLIT: by_arm[SPLIT]}, gone))
    either = trace_scores.met_outage({arm: by_arm[arm] for arm in (SPLIT, CLAIRVOYANT)}, gone)
    deadline_s = notes["pace"]["deadline_s"]
    return Read(
        record=record,
        by_arm=by_arm,
        accounts={arm: adapt_scores.account(found, notes["images"][arm], deadline_s) for arm, found in by_arm.items()},
        known=known,
        foreseen=tuple(ahead),
        away=away,
        pairs=tuple(trace_scores.vs_clairvoyant(by_arm[SPLIT], by_arm[CLAIRVOYANT], either)),
        pairs_foreseen=tuple(trace_scores.vs_foreseen(by_arm[SPLIT], ahead, away)),
        right_share=adapt_scores.right_share(by_arm[SPLIT], known, line, rtt_s),
        against=trace_scores.vs_best_fixed(by_arm, gone),
    )
