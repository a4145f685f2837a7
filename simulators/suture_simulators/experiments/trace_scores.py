"""How a planned stream did on a recorded drive: against a clairvoyant, and against every fixed cut that drove it too.

`vs_clairvoyant`: the planned stream's mean time from image to result ÷ that of the clairvoyant's stream, who has the
same profiles, knows the rate that the line is going to have, integrates it over the transfer, and takes the best cut
and codec; it really drove, from the same offset. `vs_foreseen`: the mean time from begin to result ÷ what the profiles
foresee for such a choice over an ideal line, for the planned stream's own moments.

`vs_best_fixed`: the planned stream's mean time from image to result ÷ that of the fixed cut against which it does
worst, of those that were replayed on the same drive. A mean, since one image stuck is what a good plan avoids and a
median would not see.

Waiting for the image before counts, but where it says from begin. Two streams are compared over the images that met no
outage in either; the others are reported apart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_simulators.experiments.clairvoyant import Option, best_over
from suture_simulators.experiments.streaming import CLAIRVOYANT, SPLIT
from suture_simulators.experiments.types import Sample
from suture_simulators.lines import TracedLine

#: How many moments of the drive a fixed cut's prediction is averaged over.
_MOMENTS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """What the clairvoyant would have needed for one image, and by which cut; `start_s` is when it was begun."""

    start_s: float
    cut: str
    codec: str
    total_s: float


def foreseen(samples: Sequence[Sample], known: Sequence[Option], line: TracedLine, rtt_s: float) -> list[Foreseen]:
    """One for each sample; its reading and preprocessing are those measured, as no plan changes them."""
    found = []
    for sample in samples:
        before_s = sample.steps_s.get("preprocess", 0.0)
        start_s = sample.extra["start_s"]
        best = best_over(known, line, start_s + before_s, rtt_s)
        total_s = before_s + best.over(line, start_s + before_s, rtt_s)
        found.append(Foreseen(start_s=start_s, cut=best.cut, codec=best.codec, total_s=total_s))
    return found


def vs_foreseen(
    samples: Sequence[Sample], ahead: Sequence[Foreseen], turns: Set[int] = frozenset()
) -> list[tuple[float, float]]:
    """(measured, foreseen) time from its begin of each image that has a result, all turns but these."""
    return [
        (_took_s(sample), seen.total_s)
        for sample, seen in zip(samples, ahead, strict=True)
        if sample.ok and sample.turn not in turns
    ]


def vs_clairvoyant(
    samples: Sequence[Sample], clairvoyant: Sequence[Sample], turns: Set[int] = frozenset()
) -> list[tuple[float, float]]:
    """(planned, clairvoyant) time to result of each image that has one in both, all turns but these."""
    other = {sample.turn: sample for sample in clairvoyant if sample.ok}
    return [
        (sample.total_s, other[sample.turn].total_s)
        for sample in samples
        if sample.ok and sample.turn in other and sample.turn not in turns
    ]


def _took_s(sample: Sample) -> float:
    return float(sample.extra["end_s"] - sample.extra["start_s"])


def ratio_of_means(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean of the first ones ÷ mean of the second; nan without any."""
    return sum(one for one, _ in pairs) / sum(other for _, other in pairs) if pairs else math.nan


def mean_s(samples: Sequence[Sample]) -> float:
    """Mean time from image to result; inf where nothing came back."""
    times = [sample.total_s for sample in samples if sample.ok]
    return statistics.fmean(times) if times else float("inf")


def met_outage(by_arm: Mapping[str, Sequence[Sample]], gone: Sequence[tuple[float, float]]) -> set[int]:
    """Turns of the images that were under way in an outage, or waited through one, in any of the streams.

    `gone` are the outages, (from, to) in seconds since the drive began.
    """
    return {
        sample.turn
        for samples in by_arm.values()
        for sample in samples
        if any(sample.at_s < end_s and begin_s < sample.extra["end_s"] for begin_s, end_s in gone)
    }


def in_turns(samples: Sequence[Sample], turns: Set[int], *, among: bool) -> list[Sample]:
    """Those of these turns, or the others."""
    return [sample for sample in samples if (sample.turn in turns) == among]


def vs_best_fixed(by_arm: Mapping[str, Sequence[Sample]], gone: Sequence[tuple[float, float]] = ()) -> dict[str, float]:
    """Fixed cut → the planned stream's mean ÷ its, over the images that met no outage in either; the clairvoyant is
    none. Without the cuts with which no such image had a result.

    Raises:
        ValueError: no planned stream, or no fixed one.
    """
    planned = by_arm.get(SPLIT)
    fixed = {arm: samples for arm, samples in by_arm.items() if arm not in (SPLIT, CLAIRVOYANT)}
    if planned is None or not fixed:
        raise ValueError("comparing takes a planned stream and one at a fixed cut")
    found = {}
    for arm, samples in fixed.items():
        away = met_outage({SPLIT: planned, arm: samples}, gone)
        ours_s, theirs_s = (mean_s(in_turns(each, away, among=False)) for each in (planned, samples))
        if math.isfinite(theirs_s):
            found[arm] = ours_s / theirs_s
    return found


def expected_s(option: Option, line: TracedLine, length_s: float, rtt_s: float) -> float:
    """Mean time of an option over a drive, images begun evenly over it and none waiting."""
    moments = [length_s * i / _MOMENTS for i in range(_MOMENTS)]
    return statistics.fmean(option.over(line, moment, rtt_s) for moment in moments)


def fixed_options(
    known: Sequence[Option], line: TracedLine, length_s: float, rtt_s: float, *, predicted_best: int, ends: bool
) -> list[Option]:
    """The fixed cuts to drive with: the predicted best ones, each with its best codec, and both ends.

    Args:
        known: What there is to choose from.
        line: The drive.
        length_s: Its length.
        rtt_s: Round trip.
        predicted_best: How many of those that are predicted best.
        ends: Whether cut 0 and the last one are among them in any case.
    """
    ranked = sorted(known, key=lambda option: expected_s(option, line, length_s, rtt_s))
    best: dict[str, Option] = {}
    for option in ranked:
        best.setdefault(option.cut, option)
    wanted = list(best)[:predicted_best]
    if ends:
        wanted += [cut for cut in (INPUT_CUT, LAST_CUT) if cut in best and cut not in wanted]
    return [best[cut] for cut in wanted]
