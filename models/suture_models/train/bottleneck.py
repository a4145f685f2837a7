"""Training a bottleneck: the float network teaches a small encoder and decoder at one of its cuts, from images alone.

1. The network's activations at the cut, deep behind it and its results are computed once for every image; the part
   before the cut never runs again.
2. Encoder and decoder learn to restore the activations at the cut. That runs without the rest of the network, and
   without it the next step collapses to constant codes: what a deep loss says of a random decoder is noise.
3. They learn that the rest of the network, unchanged, answers as it does without them: mean squared differences of its
   deep activations and of its results, each over their variance (Matsubara et al. 2022, "Supervised compression for
   resource-constrained edge computing systems", arXiv:2108.11898, trains by distillation with a rate as well).

To both comes the rate: bits under a table per channel that is learned alongside (see `train.rate`). Codes are rounded
going forward and not going back (Bengio et al. 2013, arXiv:1308.3432). The activations at the cut get noise of the size
that quantising the network before it adds, so that the encoder does not lean on what INT8 does not keep.

Axes: N image, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from suture_models.program import Program, subgraph
from suture_models.train.progress import OnProgress, Progress
from suture_models.train.rate import Rate
from suture_models.zoo.bottleneck import Decoder, Encoder
from suture_protocol.errors import UsageError

_BATCH = 8
_FORWARD_BATCH = 2
#: Learning rates of steps 2 and 3, and the share of a step in which they rise.
_WARM_PACE, _TUNE_PACE = 2e-3, 5e-4
_RISE = 0.05
#: The tables have a gradient per symbol and no curvature to speak of: they may learn faster than the weights.
_TABLE_SPEED = 10.0
_WEIGHT_DECAY = 1e-4
_CLIP = 1.0
#: What of the first step's loss remains in the second, and the first step's weight of the rate.
_CUT_SHARE = 0.1
_WARM_WEIGHT = 0.1
#: Noise at the cut as a share of each channel's standard deviation. Measured between an INT8 head (OpenVINO,
#: MobileNetV2 for pneumonia) and the float one: 0.04 to 0.16 by channel, 0.09 in the median.
_NOISE = 0.05
_BITS_PER_KB = 8000.0
#: Images that variances are taken from.
_SPREAD_IMAGES = 300
_LEAST_SPREAD = 1e-8
#: A channel that hardly varies counts as one that varies so much of the mean: else it alone would be the loss.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckSettings:
    """What decides the outcome, beside the network and the images.

    `rate_weight` is the loss per kilobyte of codes: more of it gives fewer bytes. `warm_epochs` are passes of step 2,
    `epochs` of step 3. `threads` orders floating-point sums.
    """

    channels: int = 12
    levels: int = 16
    rate_weight: float = 0.3
    warm_epochs: int = 2
    epochs: int = 4
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """Means over images: squared differences over variance at the cut, deep behind it, of the results; and the rate."""

    cut: float
    deep: float
    results: float
    kilobytes: float

    @classmethod
    def mean(cls, parts: Sequence[Tensor]) -> Losses:
        cut, deep, results, kilobytes = torch.stack(tuple(parts)).double().mean(0).tolist()
        return cls(cut=cut, deep=deep, results=results, kilobytes=kilobytes)

    def short(self) -> str:
        return f"cut {self.cut:.2f}, answers {self.results:.3f}, {self.kilobytes:.2f} kB"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """What the network does from the cut on: its activations there, and the targets they lead to, one row an image.

    Targets are the activations deep behind the cut, if there are any before the results, then the results; `deep`
    counts those that are no results. `spreads` are their variances, `mean_C` and `spread_C` each channel's at the cut.
    """

    maps_NCHW: Tensor
    mean_C: Tensor
    spread_C: Tensor
    targets: tuple[Tensor, ...]
    spreads: tuple[float, ...]
    deep: int

    def __len__(self) -> int:
        return len(self.maps_NCHW)


def observe(program: Program, names: tuple[str, ...], images: Sequence[Tensor], on_progress: OnProgress) -> Lesson:
    """Runs the float network over `images`, each (1, C, H, W), and keeps float16 copies of `names`, the cut's first.

    Raises:
        UsageError: some activation is not finite in float16.
    """
    watched = subgraph(program, (program.input,), names)
    kept: list[list[Tensor]] = [[] for _ in names]
    for start in range(0, len(images), _FORWARD_BATCH):
        with torch.no_grad():
            values = watched(torch.cat(tuple(images[start : start + _FORWARD_BATCH])))
        for place, value in enumerate(values):
            kept[place].append(value.half())
        done = min(start + _FORWARD_BATCH, len(images))
        on_progress(Progress(stage="the network, once", done=done, total=len(images)))
    maps, *targets = (torch.cat(parts) for parts in kept)
    for name, tensor in zip(names, (maps, *targets), strict=True):
        if not bool(tensor.isfinite().all()):
            raise UsageError(f"{name} is not finite in float16 on some image; a bottleneck cannot be trained there")
    sample = maps[:_SPREAD_IMAGES].float()
    spread_C = sample.var((0, 2, 3))
    return Lesson(
        maps_NCHW=maps,
        mean_C=sample.mean((0, 2, 3)),
        spread_C=torch.maximum(spread_C, _LEAST_SHARE * spread_C.mean()).clamp_min(_LEAST_SPREAD),
        targets=tuple(targets),
        spreads=tuple(max(float(t[:_SPREAD_IMAGES].float().var()), _LEAST_SPREAD) for t in targets),
        deep=len(targets) - len(program.outputs),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckJob:
    """One training. `suffix` gives a lesson's targets from the activations at the cut."""

    encoder: Encoder
    decoder: Decoder
    rate: Rate
    suffix: torch.nn.Module
    settings: BottleneckSettings
    generator: Generator
    on_progress: OnProgress

    def run(self, lesson: Lesson, held_out: Lesson) -> tuple[tuple[Losses, ...], Losses]:
        """Trains; returns the mean losses of each epoch, then those on held-out images with whole-number codes."""
        for module in (self.encoder, self.decoder):
            module.start_at(lesson.mean_C, lesson.spread_C)
        weight = self.settings.rate_weight
        begun = min(weight, _WARM_WEIGHT)
        epochs = [
            *self._stage("restoring the cut", lesson, self.settings.warm_epochs, _WARM_PACE, (0.0, begun)),
            *self._stage("distilling", lesson, self.settings.epochs, _TUNE_PACE, (begun, weight), deep=True),
        ]
        # What is written has half precision, so that is what is judged.
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            parameter.data = parameter.data.half().float()
        with torch.no_grad():
            batches = torch.split(torch.arange(len(held_out)), _BATCH)
            parts = [self._losses(held_out, index, training=False, deep=True) for index in batches]
        return tuple(epochs), Losses.mean(parts)

    def halves(self) -> dict[str, Tensor]:
        """The weights of encoder and decoder in float16, as they are written."""
        modules = {"encoder": self.encoder, "decoder": self.decoder}
        return {
            f"{m}.{name}": value.half() for m, module in modules.items() for name, value in module.state_dict().items()
        }

    def _stage(
        self, name: str, lesson: Lesson, epochs: int, pace: float, weights: tuple[float, float], *, deep: bool = False
    ) -> Iterator[Losses]:
        """Mean losses of each epoch. The rate's weight grows over half of it: codes first have to mean something."""
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        tables = {"params": list(self.rate.parameters()), "weight_decay": 0.0}
        optimiser = torch.optim.AdamW([{"params": parameters, "weight_decay": _WEIGHT_DECAY}, tables], lr=pace)
        steps = epochs * -(-len(lesson) // _BATCH)
        paces = [pace, pace * _TABLE_SPEED]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, paces, total_steps=steps + 1, pct_start=_RISE)
        step = 0
        for _ in range(epochs):
            parts = []
            for index in torch.split(torch.randperm(len(lesson), generator=self.generator), _BATCH):
                parts.append(self._losses(lesson, index, training=True, deep=deep))
                weight = weights[0] + (weights[1] - weights[0]) * min(1.0, 2 * step / steps)
                optimiser.zero_grad()
                _objective(parts[-1], weight, deep=deep).backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
                optimiser.step()
                schedule.step()
                step += 1
                parts[-1] = parts[-1].detach()
                self.on_progress(Progress(stage=name, done=step, total=steps, note=Losses.mean(parts[-1:]).short()))
            yield Losses.mean(parts)

    def _losses(self, lesson: Lesson, index: Tensor, *, training: bool, deep: bool) -> Tensor:
        """(4,): the fields of `Losses` for the images `index`; in training with noise, and differentiable."""
        maps = lesson.maps_NCHW[index].float()
        spread = lesson.spread_C.view(1, -1, 1, 1)
        seen = maps
        if training:
            seen = maps + torch.randn(maps.shape, generator=self.generator) * (_NOISE * spread.sqrt())
        latent = self.encoder.latent(seen)
        whole = latent + (latent.round() - latent).detach()
        restored = self.decoder(whole)
        cut = ((restored - maps).square() / spread).mean()
        kilobytes = self.rate.bits(latent if training else whole).mean() / _BITS_PER_KB
        none = torch.zeros(())
        if not deep:
            return torch.stack([cut, none, none, kilobytes])
        rows = zip(self.suffix(restored), lesson.targets, lesson.spreads, strict=True)
        found = [(value - target[index].float()).square().mean() / spread for value, target, spread in rows]
        results = torch.stack(found[lesson.deep :]).mean()
        return torch.stack([cut, found[0] if lesson.deep else none, results, kilobytes])


def _objective(losses: Tensor, rate_weight: float, *, deep: bool) -> Tensor:
    weights = (_CUT_SHARE, 1.0, 1.0, rate_weight) if deep else (1.0, 0.0, 0.0, rate_weight)
    return torch.dot(losses, torch.tensor(weights))
