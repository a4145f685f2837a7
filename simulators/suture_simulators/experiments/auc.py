"""The area under the ROC curve, what a lossy way costs of it, and how surely: resamples of whole patients, paired.

Axes: N image, P image of the second label, M image of the first, R resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suture_simulators.experiments.statistics import CONFIDENCE, Interval

RESAMPLES: Final = 2000


class Resampled:
    """The resamples of one set of labelled images, the same for every way, so that ways are compared in pairs.

    Whole patients are drawn, as many as there are, since images of one patient are alike; a resample that lost a label
    altogether is left out, as it has no AUC. Intervals are percentiles.
    """

    def __init__(self, truth: Sequence[int], patients: Sequence[str], *, seed: int, resamples: int = RESAMPLES) -> None:
        """Draws.

        Args:
            truth: 1 for the second label, 0 for the first, by image.
            patients: Whose image each is.
            seed: Of the draws.
            resamples: How many.

        Raises:
            ValueError: both labels have to occur, and each image has to have a patient.
        """
        self._truth_N = np.asarray(truth, dtype=bool)
        if not 0 < self._truth_N.sum() < self._truth_N.size or len(patients) != self._truth_N.size:
            raise ValueError("an AUC takes images of both labels, and whose each of them is")
        self._weights_RN = drawn_weights(patients, seed=seed, resamples=resamples)
        whole = np.ones((1, self._truth_N.size))
        sums = (self._weights_RN @ self._truth_N, self._weights_RN @ ~self._truth_N)
        self._weights_RN = np.concatenate([whole, self._weights_RN[(sums[0] > 0) & (sums[1] > 0)]])

    def auc(self, scores: Sequence[float]) -> Interval:
        """AUC of one way's scores, higher for the second label, with its interval."""
        return _interval(self._aucs(scores))

    def loss_points(self, reference: Sequence[float], scores: Sequence[float]) -> Interval:
        """By how many hundredths the AUC of `scores` is below that of `reference`; negative where it is above."""
        return _interval(100 * (self._aucs(reference) - self._aucs(scores)))

    def _aucs(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """Of all images first, then of each resample: Mann and Whitney's count of pairs in order, ties as a half."""
        scores_N = np.asarray(scores, dtype=np.float64)
        above_PM = np.subtract.outer(scores_N[self._truth_N], scores_N[~self._truth_N])
        order_PM = (above_PM > 0) + 0.5 * (above_PM == 0)
        ill_RP, well_RM = self._weights_RN[:, self._truth_N], self._weights_RN[:, ~self._truth_N]
        pairs_R = ((ill_RP @ order_PM) * well_RM).sum(axis=1)
        return np.asarray(pairs_R / (ill_RP.sum(axis=1) * well_RM.sum(axis=1)))


def share_interval(values: Sequence[float], patients: Sequence[str], *, seed: int) -> Interval:
    """The mean of values between 0 and 1 and its interval by resampling patients.

    Where all are 0, or all 1, resamples have nothing to vary: then Clopper and Pearson's exact interval (Biometrika,
    1934) for as many patients.
    """
    if len(set(values)) == 1 and values[0] in (0, 1):
        margin = 1 - ((1 - CONFIDENCE) / 2) ** (1 / len(set(patients)))
        value = float(values[0])
        return Interval(value=value, low=max(value - margin, 0.0), high=min(value + margin, 1.0))
    weights_RN = drawn_weights(patients, seed=seed, resamples=RESAMPLES)
    values_N = np.asarray(values, dtype=np.float64)
    means_R = weights_RN @ values_N / weights_RN.sum(axis=1)
    return _interval(np.concatenate([[values_N.mean()], means_R]))


def drawn_weights(groups: Sequence[str], *, seed: int, resamples: int) -> NDArray[np.float64]:
    """How often each member is in each resample (R, N), when whole groups are drawn with replacement."""
    names, group_of_N = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    counts_RG = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts_RG[:, group_of_N].astype(np.float64)


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values[1:], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(value=float(values[0]), low=float(low), high=float(high))
