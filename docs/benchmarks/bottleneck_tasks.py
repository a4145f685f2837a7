"""The tasks that `bench_bottleneck.py` measures: test images, what an answer is worth, and a figure over all of them.

Axes: N image, R members of a resample.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_pneumonia import load_split
from lungs_data import dice, read_lungs
from numpy.typing import NDArray
from scipy.stats import rankdata

from suture_models.bundle import Bundle
from suture_models.manifest import MASK_THRESHOLD

_RESAMPLES = 2000
_ALL = slice(None)

#: Value, and the ends of its 95 % interval.
Interval = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What every arm is judged by. The resamples are the same for all, so that differences are paired.

    Attributes:
        name: As `--task` names it.
        figure_name: What `figure` gives, larger is better.
        about: Images and resamples, in words.
        images: (1, C, H, W) each, as the network takes them.
        value: An image's place and the network's output for it → a number.
        figure: Values (R,) and the images (R,) that they belong to → the figure.
        resamples: Images drawn with replacement.
        loss_at_most: What of the figure the first bundle may lose.
    """

    name: str
    figure_name: str
    about: str
    images: tuple[NDArray[Any], ...]
    value: Callable[[int, NDArray[Any]], float]
    figure: Callable[[NDArray[np.float64], NDArray[np.int64]], float]
    resamples: tuple[NDArray[np.int64], ...]
    loss_at_most: float = 0.01

    def of(self, values_N: NDArray[np.float64]) -> float:
        """The figure over all images."""
        return self.figure(values_N, np.arange(len(values_N)))

    def difference(self, first_N: NDArray[np.float64], second_N: NDArray[np.float64]) -> Interval:
        """The figure of the first values less that of the second, with its paired 95 % interval."""
        drawn = [self.figure(first_N[i], i) - self.figure(second_N[i], i) for i in self.resamples]
        low, high = np.percentile(drawn, (2.5, 97.5))
        return self.of(first_N) - self.of(second_N), float(low), float(high)


def pneumonia(data: Path, base: Bundle, limit: int) -> Task:
    """AUC of the logit margin on the pneumonia test split; patients are resampled."""
    images, labels = load_split(data, base, limit)
    ill_N = labels == 1

    def auc(margins_R: NDArray[np.float64], index_R: NDArray[np.int64]) -> float:
        """Area under the ROC curve, by ranks (ties count half)."""
        ill_R, ranks = ill_N[index_R], rankdata(margins_R)
        count = int(ill_R.sum())
        return float((ranks[ill_R].sum() - count * (count + 1) / 2) / (count * (len(ill_R) - count)))

    return Task(
        name="pneumonia",
        figure_name="AUC",
        about=f"{len(images)} images of the test split, {_RESAMPLES} paired resamples of patients",
        images=tuple(images),
        value=lambda _place, logits_NK: float(logits_NK[0, 1] - logits_NK[0, 0]),
        figure=auc,
        resamples=_patients(data, ill_N, limit),
    )


def _patients(data: Path, ill_N: NDArray[np.bool_], limit: int) -> tuple[NDArray[np.int64], ...]:
    """Whole patients drawn with replacement; a draw of one label only is drawn again."""
    with (data / "cxr_pneumonia_224" / "MANIFEST.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    rows = rows[:: max(len(rows) // limit, 1)] if limit else rows
    members: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        members.setdefault(row["patient"], []).append(place)
    groups, generator = list(members.values()), np.random.default_rng(0)
    drawn: list[NDArray[np.int64]] = []
    while len(drawn) < _RESAMPLES:
        chosen = np.array([i for g in generator.integers(0, len(groups), len(groups)) for i in groups[g]])
        if 0 < ill_N[chosen].sum() < len(chosen):
            drawn.append(chosen)
    return tuple(drawn)


def lungs(data: Path, base: Bundle, limit: int) -> Task:
    """Mean Dice of the lung mask on the test split; every image is of another patient."""
    read = read_lungs(data, "test", base.manifest.network, limit)
    count, generator = len(read.images), np.random.default_rng(0)

    def value(place: int, found_NKHW: NDArray[Any]) -> float:
        return dice(found_NKHW[0, 0] >= MASK_THRESHOLD, read.masks_NHW[place])

    return Task(
        name="lungs",
        figure_name="mean Dice",
        about=f"{count} images of the test split, {_RESAMPLES} paired resamples of images (each another patient's)",
        images=read.images,
        value=value,
        figure=lambda dice_R, _index_R: float(dice_R.mean()),
        resamples=tuple(generator.integers(0, count, count) for _ in range(_RESAMPLES)),
    )


#: The folder of data, the plain bundle and how many images (0: all) → the task.
TASKS: Mapping[str, Callable[[Path, Bundle, int], Task]] = {"pneumonia": pneumonia, "lungs": lungs}
