"""What a two-label classifier is worth on a split: AUC, accuracy, sensitivity, specificity, each with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A measured ratio with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Figures of one split at one threshold; a positive is an image of the second label."""

    split: str
    images: int
    positives: int
    patients: int
    threshold: float
    auc: Figure
    accuracy: Figure
    sensitivity: Figure
    specificity: Figure


def evaluate_scores(
    labels_N: NDArray[np.int64],
    scores_N: NDArray[np.float64],
    patients: tuple[str, ...],
    *,
    split: str,
    threshold: float,
    seed: int = 0,
) -> Evaluation:
    """Figures of `scores_N` (probability of the second label); at or above `threshold` an image is positive.

    Intervals: percentile bootstrap, 2000 resamples of whole patients, since images of one patient are alike.
    """
    called = scores_N >= threshold
    truth = labels_N == 1
    resamples = _patient_resamples(patients, truth, seed)

    def figure(measure: Callable[[NDArray[np.int64]], float]) -> Figure:
        values = np.array([measure(index) for index in resamples])
        low, high = np.percentile(values, (2.5, 97.5))
        return Figure(value=measure(np.arange(len(truth))), low=float(low), high=float(high))

    return Evaluation(
        split=split,
        images=len(truth),
        positives=int(truth.sum()),
        patients=len(set(patients)),
        threshold=threshold,
        auc=figure(lambda i: float(roc_auc_score(truth[i], scores_N[i]))),
        accuracy=figure(lambda i: float(np.mean(called[i] == truth[i]))),
        sensitivity=figure(lambda i: float(np.mean(called[i][truth[i]]))),
        specificity=figure(lambda i: float(np.mean(~called[i][~truth[i]]))),
    )


def balanced_threshold(labels_N: NDArray[np.int64], scores_N: NDArray[np.float64]) -> float:
    """The middle, in log-odds, of the thresholds whose Youden index (1950) is within a standard error of the best.

    Where the labels separate well, many thresholds do equally well but for a few images; the middle of them is the one
    that least depends on those, and on the last bits of scores computed elsewhere.
    """
    false_rate, true_rate, thresholds = roc_curve(labels_N == 1, scores_N, drop_intermediate=False)
    youden = true_rate - false_rate
    best = int(np.argmax(youden))
    positives = int(labels_N.sum())
    variances = (rate * (1 - rate) for rate in (true_rate[best], false_rate[best]))
    error = float(np.sqrt(sum(v / n for v, n in zip(variances, (positives, len(labels_N) - positives), strict=True))))
    good = thresholds[youden >= youden[best] - error]
    # A threshold is the lowest score called positive; the next lower score ends the interval in which it does as well.
    lower = scores_N[scores_N < good.min()]
    ends = np.array([lower.max() if lower.size else good.min(), good[np.isfinite(good)].max()])
    odds = np.clip(ends, 1e-6, 1 - 1e-6)
    return float(1 / (1 + np.exp(-np.mean(np.log(odds / (1 - odds))))))


def _patient_resamples(patients: tuple[str, ...], truth: NDArray[np.bool_], seed: int) -> list[NDArray[np.int64]]:
    """Image indices of each resample; those that lost a label altogether are left out, as AUC has no value there."""
    members: dict[str, list[int]] = {}
    for index, patient in enumerate(patients):
        members.setdefault(patient, []).append(index)
    groups = [np.array(indices) for indices in members.values()]
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(groups), len(groups)) for _ in range(RESAMPLES))
    resamples = (np.concatenate([groups[g] for g in draw]) for draw in drawn)
    return [index for index in resamples if 0 < truth[index].sum() < len(index)]
