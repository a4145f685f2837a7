"""The model card: what weights are, how they were made, what they were measured to do, what they are not for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suture_models.bundle import sha256_file
from suture_models.train.metrics import RESAMPLES, Evaluation
from suture_models.train.transfer import Settings, Trained


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """All that a card says. `notes` is the recipe's own Markdown: sources, use, limitations."""

    recipe: str
    network: str
    source: Path
    settings: Settings
    trained: Trained
    val: Evaluation
    test: Evaluation
    notes: str


def write_card(weights: Path, card: Card) -> Path:
    """Writes the card of `weights` beside them, with the suffix `.md`, and returns its path."""
    path = weights.with_suffix(".md")
    path.write_text(_text(weights, card), encoding="utf-8")
    return path


def _text(weights: Path, card: Card) -> str:
    settings, trained = card.settings, card.trained
    threshold = f"{card.test.threshold:.4f}"
    size_mb = weights.stat().st_size / 1e6
    return f"""# {card.network}

Written by `suture train`; do not edit. **Not for diagnosis.**

`{weights.name}`: {size_mb:.1f} MB, float16, SHA-256 `{sha256_file(weights)}`.

## Measured

Figure (95 % interval: percentile bootstrap, {RESAMPLES} resamples of whole patients). Positive means a pneumonia
probability of at least {threshold}, which was chosen on the validation split (the middle of the thresholds
with the best mean of sensitivity and specificity) and travels in the weights file. This run chose weights and
threshold without the test split; what the recipe itself owes to earlier looks at it, Limitations say.

{_table(card.val, card.test)}

{card.notes.strip()}

## Recipe

```
suture train {card.recipe} --data DATA --weights {card.source.name} --out {weights.name} \\
  --epochs {settings.epochs} --seed {settings.seed} --threads {settings.threads}
suture train {card.recipe} --data DATA --evaluate {weights.name}
```

DATA holds `{{train,val,test}}/{{NORMAL,PNEUMONIA}}/`. Source weights: SHA-256 `{sha256_file(card.source)}`.
Augmented copies of each training image: {settings.copies}. Kept: epoch {trained.best_epoch} of {settings.epochs}, where
the validation loss was lowest.

Epoch 0 is the linear head alone. From epoch 1 on, the training loss is that of the fine-tuned weights on augmented
images with dropout and smoothed labels, the validation loss that of the averaged weights that may be kept.

| epoch | training loss | validation loss |
|---|---|---|
{_epochs(trained)}
"""


def _table(*evaluations: Evaluation) -> str:
    rows = [
        "| split | images (patients) | AUC | accuracy | sensitivity | specificity |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {e.split} | {e.images}, {e.positives} with pneumonia ({e.patients}) "
        f"| {e.auc} | {e.accuracy} | {e.sensitivity} | {e.specificity} |"
        for e in evaluations
    ]
    return "\n".join(rows)


def _epochs(trained: Trained) -> str:
    losses = zip(trained.train_losses, trained.val_losses, strict=True)
    return "\n".join(f"| {epoch} | {train:.4f} | {val:.4f} |" for epoch, (train, val) in enumerate(losses))
