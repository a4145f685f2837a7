"""The card of a trained bottleneck: what it belongs to, how it was made, what training itself measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suture_models.bundle import sha256_file
from suture_models.train.bottleneck import BottleneckSettings, Losses
from suture_models.zoo.bottleneck_file import Bottleneck


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedBottleneck:
    """What training gave: the file, the mean losses of each epoch, and those on images it never learned from."""

    weights: Path
    bottleneck: Bottleneck
    settings: BottleneckSettings
    epochs: tuple[Losses, ...]
    held_out: Losses
    images: int
    images_held_out: int

    @property
    def card(self) -> Path:
        return self.weights.with_suffix(".md")

    @property
    def sha256(self) -> str:
        return sha256_file(self.weights)


def write_bottleneck_card(trained: TrainedBottleneck) -> None:
    """Writes `trained.card` beside the weights."""
    trained.card.write_text(_text(trained), encoding="utf-8")


def _text(trained: TrainedBottleneck) -> str:
    made, settings, shape = trained.bottleneck, trained.settings, trained.bottleneck.shape
    epochs = "\n".join(_row(str(place), losses) for place, losses in enumerate(trained.epochs, start=1))
    attribution = f"\n## Attribution\n\n{made.card['attribution']}\n" if made.card.get("attribution") else ""
    return f"""# A bottleneck for {made.base} at {made.cut}

Written by `suture train bottleneck`; do not edit. What holds for {made.base} holds for it: **not for diagnosis.**

`{trained.weights.name}`: {trained.weights.stat().st_size / 1e3:.0f} kB, float16, SHA-256
`{trained.sha256}`. It fits {made.base} with weights of SHA-256 (over the state dict)
`{made.base_sha256}` and no others.

The encoder turns {shape.inputs} channels at `{made.cut}` into codes of {shape.channels} channels with
{shape.levels} levels, height and width halved {shape.halvings} times; the decoder (residual blocks: {shape.blocks},
channels: {shape.width}) restores them. Trained by distillation from the float network on {trained.images} images,
without labels; {trained.images_held_out} others, every tenth file, were held out.

## Recipe

```
suture train bottleneck --network {made.base} --cut {made.cut} --images IMAGES --out {trained.weights.name} \\
  --channels {settings.channels} --levels {settings.levels} --rate-weight {settings.rate_weight} \\
  --warm-epochs {settings.warm_epochs} --epochs {settings.epochs} --seed {settings.seed} --threads {settings.threads}
suture build {made.base} --bottleneck {trained.weights.name}
```

## Losses

Squared differences over variance: at the cut, deep behind it, of the results; and kilobytes (1,000 bytes) an image
by the learned tables, each symbol on its own. The first {settings.warm_epochs} epochs learn to restore the cut only.
Held out: every tenth image, codes rounded. What it costs the answers on a labelled test set is not measured here.

| epoch | cut | deep | results | kB |
|---|---|---|---|---|
{epochs}
{_row("held out", trained.held_out)}
{attribution}"""


def _row(name: str, losses: Losses) -> str:
    return f"| {name} | {losses.cut:.4f} | {losses.deep:.4f} | {losses.results:.4f} | {losses.kilobytes:.4f} |"
