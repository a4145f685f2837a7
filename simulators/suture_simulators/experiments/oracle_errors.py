"""Where a prediction was off: step by step, what was expected of an arm and what it took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture_protocol.units import format_size, format_time
from suture_simulators.experiments.oracle_judged import Judged
from suture_simulators.experiments.types import Sample

_STEPS: Final = ("head", "encode", "transfer", "queue", "decode", "tail")
#: A payload that is off by more than this explains a transfer that is.
_PAYLOAD_OFF: Final = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class Off:
    """One step of one arm: what was predicted and the median of what was measured, in seconds."""

    arm: str
    step: str
    predicted_s: float
    measured_s: float

    @property
    def by_s(self) -> float:
        """Above zero, it took longer than predicted."""
        return self.measured_s - self.predicted_s


def steps_off(arm: str, prediction: Mapping[str, Any], samples: Sequence[Sample]) -> list[Off]:
    """Each step of an arm, predicted against measured."""
    return [
        Off(
            arm=arm,
            step=step,
            predicted_s=float(prediction["steps_s"].get(step, 0.0)),
            measured_s=statistics.median(sample.steps_s.get(step, 0.0) for sample in samples),
        )
        for step in _STEPS
    ]


def why_wrong(point: Judged, who: str = "plan") -> str:
    """Which prediction made a choice the wrong one: which step's, of the arm chosen or of the one passed over."""
    chosen, best = point.record.notes["chosen"][who], point.winner.cut_id
    if chosen == best:
        return "the best was chosen; what is left is noise between its own samples"
    # Too little expected of what was chosen, or too much of what was passed over: both count towards the error.
    offs = [(off.by_s, off) for off in _off(point, chosen)] + [(-off.by_s, off) for off in _off(point, best)]
    misled_s, worst = max(offs, key=lambda pair: pair[0])
    predicted = point.record.notes["predicted"]
    gap_s = predicted[best]["total_s"] - predicted[chosen]["total_s"]
    if misled_s <= 0:
        return f"{chosen} instead of {best}: no step was mispredicted that way; the order of the two is noise"
    text = (
        f"{chosen} instead of {best}, thought {format_time(abs(gap_s))} {'faster' if gap_s >= 0 else 'slower'}: "
        f"the {worst.step} of {worst.arm} took {format_time(worst.measured_s)}, predicted "
        f"{format_time(worst.predicted_s)}"
    )
    return text + (_payload(point, worst.arm) if worst.step == "transfer" else "")


def _off(point: Judged, arm: str) -> list[Off]:
    return steps_off(arm, point.record.notes["predicted"][arm], point.samples[arm])


def _payload(point: Judged, arm: str) -> str:
    """Says so where the transfer was off because the payload was of another size."""
    expected = point.record.notes["predicted"][arm]["payload_bytes"]
    sent = statistics.median(sample.payload_bytes for sample in point.samples[arm])
    if not expected or abs(sent / expected - 1) <= _PAYLOAD_OFF:
        return ""
    return f" (its payload was {format_size(sent)}, predicted {format_size(expected)})"


def error_by_step(points: Sequence[Judged]) -> list[tuple[str, float, float]]:
    """(step, median of its error, median of its absolute error), as shares of the arm's whole measured time."""
    found: dict[str, list[float]] = {step: [] for step in _STEPS}
    for point in points:
        for arm, samples in point.samples.items():
            whole_s = statistics.median(sample.total_s for sample in samples)
            for off in _off(point, arm):
                found[off.step].append(-off.by_s / whole_s)
    return [
        (step, statistics.median(shares), statistics.quantiles([abs(share) for share in shares], n=10)[-1])
        for step, shares in found.items()
        if len(shares) > 1
    ]
