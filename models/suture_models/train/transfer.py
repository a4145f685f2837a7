"""Transfer learning of MobileNetV2: frozen blocks once, a new head, then the last blocks.

1. The blocks up to `_FROZEN` never change: their activations are computed once for the training images, for
   `copies` augmented copies of each, and for the validation images.
2. A new head is trained on the pooled features of the unchanged network.
3. Head and last blocks are fine-tuned; the epoch with the lowest validation loss is kept.
4. The decision threshold is the best on the validation split.

Batch norms stay in eval mode throughout: the source weights have theirs folded to identity, and statistics of
small batches would destroy them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from suture_models.train.augment import augment
from suture_models.train.images import LabelledImages
from suture_models.train.metrics import balanced_threshold
from suture_models.train.progress import OnProgress, Progress
from suture_models.zoo.base import GREY_MEAN, GREY_STD
from suture_models.zoo.mobilenet_v2 import MobileNetV2

#: `features[:_FROZEN]` ends at 96 × 14 × 14, the last place before the network narrows its maps to 7 × 7.
_FROZEN = 14
_BATCH = 32
#: Images that cross the frozen blocks at once; larger ones fall out of the processor's cache and take thrice as long.
_FORWARD_BATCH = 2
_POOL_BATCH = 64
_HEAD_EPOCHS = 30
_HEAD_RATE = 1e-3
_TUNE_RATE = 1e-4
_WEIGHT_DECAY = 1e-2
_LABEL_SMOOTHING = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides the outcome, beside data and source weights.

    `threads` is among them because it orders floating-point sums; one gives the same result on any number of cores.
    """

    epochs: int = 10
    copies: int = 3
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What training gave. Losses are mean cross-entropies on the validation split, by epoch, the head alone first."""

    threshold: float
    best_epoch: int
    val_losses: tuple[float, ...]
    train_losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferJob:
    network: MobileNetV2
    settings: Settings
    generator: Generator
    on_progress: OnProgress

    def run(self, train: LabelledImages, val: LabelledImages) -> Trained:
        views = self._frozen_activations(train, copies=self.settings.copies, stage="frozen blocks, train")
        val_maps = self._frozen_activations(val, copies=0, stage="frozen blocks, val")[0]
        head_loss = self._train_head(views, train.labels_N)
        val_losses = [_mean_loss(self._logits(val_maps), val.labels_N)]
        train_losses = [head_loss]
        best_epoch, best = 0, copy.deepcopy(self.network.state_dict())
        optimiser, schedule = self._optimiser(len(train))
        for epoch in range(1, self.settings.epochs + 1):
            train_losses.append(self._epoch(epoch, views, train.labels_N, optimiser, schedule, val_losses[-1]))
            val_losses.append(_mean_loss(self._logits(val_maps), val.labels_N))
            if val_losses[-1] == min(val_losses):
                best_epoch, best = epoch, copy.deepcopy(self.network.state_dict())
        # What is written has half precision, so that is what the threshold has to fit.
        self.network.load_state_dict({k: v.half().to(v.dtype) for k, v in best.items()})
        scores = torch.softmax(self._logits(val_maps), 1)[:, 1].double().numpy()
        threshold = balanced_threshold(val.labels_N.numpy(), scores.astype(np.float64))
        return Trained(
            threshold=threshold,
            best_epoch=best_epoch,
            val_losses=tuple(val_losses),
            train_losses=tuple(train_losses),
        )

    def _frozen_activations(self, images: LabelledImages, *, copies: int, stage: str) -> list[Tensor]:
        """float16 maps (N, 96, 14, 14) of the images as they are, then of each augmented copy."""
        frozen = copy.deepcopy(self.network.features[:_FROZEN])
        frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in torch's stubs
        views: list[Tensor] = []
        total = len(images) * (1 + copies)
        for copy_index in range(1 + copies):
            maps = []
            for start in range(0, len(images), _FORWARD_BATCH):
                batch = images.images_NCHW[start : start + _FORWARD_BATCH]
                if copy_index:
                    batch = augment(batch, self.generator)
                with torch.no_grad():
                    x = ((batch.to(torch.float32) - GREY_MEAN) / GREY_STD).to(memory_format=torch.channels_last)
                    maps.append(frozen(x).half().contiguous())
                done = copy_index * len(images) + min(start + _FORWARD_BATCH, len(images))
                self.on_progress(Progress(stage=stage, done=done, total=total))
            views.append(torch.cat(maps))
        return views

    def _train_head(self, views: list[Tensor], labels_N: Tensor) -> float:
        """Fits the linear head to the pooled features of all views; returns the last epoch's mean loss."""
        pooled = torch.cat([self._pooled(view) for view in views])
        labels = labels_N.repeat(len(views))
        head = self.network.classifier
        optimiser = torch.optim.AdamW(head.parameters(), lr=_HEAD_RATE, weight_decay=_WEIGHT_DECAY)
        losses = [0.0]
        for epoch in range(_HEAD_EPOCHS):
            losses = []
            for index in self._batches(len(labels)):
                loss = F.cross_entropy(head(pooled[index]), labels[index], label_smoothing=_LABEL_SMOOTHING)
                _step(optimiser, loss)
                losses.append(loss.item())
            note = f"loss {np.mean(losses):.3f}"
            self.on_progress(Progress(stage="head", done=epoch + 1, total=_HEAD_EPOCHS, note=note))
        return float(np.mean(losses))

    def _optimiser(self, images: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        parameters = [*self.network.features[_FROZEN:].parameters(), *self.network.classifier.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=_TUNE_RATE, weight_decay=_WEIGHT_DECAY)
        steps = max(self.settings.epochs * -(-images // _BATCH), 1)
        return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def _epoch(
        self,
        epoch: int,
        views: list[Tensor],
        labels_N: Tensor,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        val_loss: float,
    ) -> float:
        """One pass over the images, each in a view drawn at random; returns the mean training loss."""
        losses = []
        batches = self._batches(len(labels_N))
        for step, index in enumerate(batches):
            drawn = torch.randint(0, len(views), (len(index),), generator=self.generator)
            maps = torch.stack([views[v][i] for v, i in zip(drawn.tolist(), index.tolist(), strict=True)])
            features = self.network.features[_FROZEN:](maps.float()).mean((2, 3))
            dropped = F.dropout(features, 0.2, training=True)
            logits = self.network.classifier[1](dropped)
            loss = F.cross_entropy(logits, labels_N[index], label_smoothing=_LABEL_SMOOTHING)
            _step(optimiser, loss)
            schedule.step()
            losses.append(loss.item())
            done = (epoch - 1) * len(batches) + step + 1
            note = f"epoch {epoch}, validation loss {val_loss:.3f}"
            total = self.settings.epochs * len(batches)
            self.on_progress(Progress(stage="fine-tuning", done=done, total=total, note=note))
        return float(np.mean(losses))

    def _batches(self, count: int) -> tuple[Tensor, ...]:
        return torch.split(torch.randperm(count, generator=self.generator), _BATCH)

    def _pooled(self, maps: Tensor) -> Tensor:
        with torch.no_grad():
            tail = self.network.features[_FROZEN:]
            parts = [tail(part.float()).mean((2, 3)) for part in torch.split(maps, _POOL_BATCH)]
        return torch.cat(parts)

    def _logits(self, maps: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.network.classifier(self._pooled(maps))
        return logits


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _mean_loss(logits: Tensor, labels_N: Tensor) -> float:
    return F.cross_entropy(logits, labels_N).item()
