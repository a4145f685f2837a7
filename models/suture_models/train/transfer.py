"""Transfer learning of MobileNetV2 that keeps what ImageNet taught it: a linear head, then a little fine-tuning.

0. Convolutions are rounded to what INT8 represents exactly (see `train.grid`), and so are the weights kept at the end,
   so that quantising the network for the edge changes its answers little.
1. The blocks up to `_FROZEN` never change: their activations are computed once for the training images, for
   `copies` augmented copies of each, and for the validation images.
2. The head is the regularised logistic regression on the pooled features of the unchanged network.
3. Head and last blocks are fine-tuned; after each epoch, the weights a quarter of the way from step 2's to the epoch's
   are judged, and those with the lowest validation loss are kept. Not all the way, because fine-tuned features follow
   the training images' peculiarities: averaging keeps most of the gain and loses less elsewhere (Wortsman et al. 2022,
   WiSE-FT, arXiv:2109.01903). In a trial inside the training split (trained on bacterial cases and the first series of
   normals, measured on viral ones and the second), a quarter kept 60 % of fine-tuning's gain in AUC.
4. The decision threshold is chosen on the validation split.

Batch norms stay in eval mode throughout: the source weights have theirs folded to identity, and statistics of
small batches would destroy them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from suture_models.train.augment import augment
from suture_models.train.grid import round_to_int8
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
_POOL_BATCH = 16
#: Inverse strength of the head's L2 penalty, as scikit-learn's `C`.
_HEAD_C = 0.01
_HEAD_STEPS = 20
_HEAD_EVALUATIONS = 15
_TUNE_RATE = 1e-4
_WEIGHT_DECAY = 1e-2
_LABEL_SMOOTHING = 0.05
_DROPOUT = 0.2
#: How far the kept weights go from the linear head's towards the fine-tuned ones.
_FINE_TUNED_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides the outcome, beside data and source weights.

    `threads` is among them because it orders floating-point sums; one gives the same result on any number of cores.
    """

    epochs: int = 4
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
        round_to_int8(self.network)
        views = self._frozen_activations(train, copies=self.settings.copies, stage="frozen blocks, train")
        val_maps = self._frozen_activations(val, copies=0, stage="frozen blocks, val")[0]
        train_losses = [self._fit_head(views, train.labels_N)]
        val_losses = [_mean_loss(_logits(self.network, val_maps), val.labels_N)]
        start = copy.deepcopy(self.network.state_dict())
        best_epoch, best = 0, start
        optimiser, schedule = self._optimiser(len(train))
        kept = copy.deepcopy(self.network)
        for epoch in range(1, self.settings.epochs + 1):
            train_losses.append(self._epoch(epoch, views, train.labels_N, optimiser, schedule, val_losses[-1]))
            kept.load_state_dict(_between(start, self.network.state_dict(), _FINE_TUNED_SHARE))
            round_to_int8(kept)
            val_losses.append(_mean_loss(_logits(kept, val_maps), val.labels_N))
            if val_losses[-1] == min(val_losses):
                best_epoch, best = epoch, copy.deepcopy(kept.state_dict())
        # What is written has half precision, so that is what the threshold has to fit.
        self.network.load_state_dict({key: value.half().to(value.dtype) for key, value in best.items()})
        scores = torch.softmax(_logits(self.network, val_maps).double(), 1)[:, 1].numpy()
        return Trained(
            threshold=balanced_threshold(val.labels_N.numpy(), scores),
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

    def _fit_head(self, views: list[Tensor], labels_N: Tensor) -> float:
        """Sets the head to the logistic regression on all views' pooled features; returns its mean loss there."""
        pooled = torch.cat([_pooled(self.network, view) for view in views])
        labels = labels_N.repeat(len(views))
        head = self.network.classifier
        weight = head.get_parameter("1.weight")
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        optimiser = torch.optim.LBFGS(
            head.parameters(), max_iter=_HEAD_EVALUATIONS, history_size=20, line_search_fn="strong_wolfe"
        )

        def objective() -> Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(head(pooled), labels)
            # Two logits with opposite weights w/2 make the penalty |w|² / 2 of one logit with weights w.
            penalised = loss + weight.square().sum() / (_HEAD_C * len(labels))
            penalised.backward()  # type: ignore[no-untyped-call]
            return penalised

        for step in range(_HEAD_STEPS):
            value = float(optimiser.step(objective).detach())  # type: ignore[no-untyped-call]
            self.on_progress(Progress(stage="head", done=step + 1, total=_HEAD_STEPS, note=f"loss {value:.3f}"))
        return _mean_loss(_logits(self.network, views[0]), labels_N)

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
            dropped = F.dropout(features, _DROPOUT, training=True)
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


def _logits(network: MobileNetV2, maps: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network.classifier(_pooled(network, maps))
    return logits


def _pooled(network: MobileNetV2, maps: Tensor) -> Tensor:
    """Features (N, 1280) behind the blocks that follow the frozen ones."""
    tail = network.features[_FROZEN:]
    with torch.no_grad():
        return torch.cat([tail(part.float()).mean((2, 3)) for part in torch.split(maps, _POOL_BATCH)])


def _between(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights `share` of the way from `start` to `end`; counters as in `start`."""
    return {
        key: torch.lerp(value, end[key], share) if value.is_floating_point() else value for key, value in start.items()
    }


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _mean_loss(logits: Tensor, labels_N: Tensor) -> float:
    return F.cross_entropy(logits, labels_N).item()
