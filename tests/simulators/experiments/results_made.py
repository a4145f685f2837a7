"""Results as a run would have left them, from times that a test makes up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suture_simulators.experiments.types import Point, PointRecord, Results, Sample


def point(rate_bps: float = 2e6, **fields: Any) -> Point:
    return Point(**{"network": "tiny", "device": "x8", "rtt_s": 0.04, "image": "chest", **fields}, rate_bps=rate_bps)


def results(
    times_s: Mapping[Point, Mapping[str, Sequence[float]]],
    *,
    experiment: str,
    notes: Mapping[str, Any] | None = None,
    invalid: Sequence[Point] = (),
    cuts: Mapping[str, str] | None = None,
) -> Results:
    """Point → arm → times by turn."""
    records = tuple(
        PointRecord(point=p, sitting=1, valid=p not in invalid, why_invalid="busy" * (p in invalid), notes=notes or {})
        for p in times_s
    )
    samples = {
        p.key: tuple(
            Sample(point=p.key, arm=arm, turn=turn, total_s=t, cut=(cuts or {}).get(arm, arm))
            for arm, times in arms.items()
            for turn, t in enumerate(times)
        )
        for p, arms in times_s.items()
    }
    facts = {"networks": {"tiny": {"weights": "random"}}, "units": {}, "took_s": 1.0, "seed": 1}
    return Results(experiment=experiment, facts=facts, records=records, samples=samples, complete=True)
