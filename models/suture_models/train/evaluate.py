"""Measuring trained weights on a split; the test split is read nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from suture_models.train.images import LabelledImages, Split, read_split
from suture_models.train.metrics import Evaluation, evaluate_scores
from suture_models.train.progress import OnProgress, Progress, silent
from suture_models.zoo.registry import LoadedNetwork, load_network
from suture_models.zoo.threads import torch_threads

#: As in training: small batches stay in the processor's cache.
_BATCH = 2


def evaluate(
    network: str,
    data: Path,
    *,
    weights: Path | None = None,
    split: Split = "test",
    threads: int = 1,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Figures of a two-label network on `data/split`, at the threshold that its weights carry.

    Raises:
        UsageError: data or weights are missing or do not fit.
    """
    loaded = load_network(network, weights=weights)
    images = read_split(data, split, loaded.spec)
    with torch_threads(threads):
        scores = positive_scores(loaded, images, on_progress)
    threshold = loaded.spec.threshold
    return evaluate_scores(images.labels_N.numpy(), scores, images.patients, split=split, threshold=threshold)


def positive_scores(
    network: LoadedNetwork, images: LabelledImages, on_progress: OnProgress = silent
) -> NDArray[np.float64]:
    """Probability (N,) of the network's second label for each image."""
    parts = []
    for start in range(0, len(images), _BATCH):
        with torch.no_grad():
            logits = network.module(images.images_NCHW[start : start + _BATCH])
        parts.append(torch.softmax(logits.double(), 1)[:, 1].numpy())
        done = min(start + _BATCH, len(images))
        on_progress(Progress(stage="evaluating", done=done, total=len(images)))
    return np.concatenate(parts)
