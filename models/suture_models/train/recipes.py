"""Recipes by name: training, then the one look at the test split, then the model card that reports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from suture_models.train.card import Card, write_card
from suture_models.train.evaluate import evaluate
from suture_models.train.metrics import Evaluation
from suture_models.train.pneumonia import NOTES, train_pneumonia
from suture_models.train.progress import OnProgress, silent
from suture_models.train.transfer import Settings, Trained
from suture_protocol.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to make the weights of `network`. `source_name` is the file that it starts from, by its usual name."""

    network: str
    source_name: str
    run: Callable[[Path, Path, Path, Settings, OnProgress], Trained]
    notes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a recipe made: the weights, their card, and their figures on the untouched test split."""

    weights: Path
    card: Path
    trained: Trained
    test: Evaluation


RECIPES = {
    "pneumonia": Recipe(
        network="pneumonia_mobilenet_v2",
        source_name="mobilenet_v2_qat_dequant_fp16.pt",
        run=train_pneumonia,
        notes=NOTES,
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: there is none; the message names those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}") from None


def train(
    name: str,
    *,
    data: Path,
    out: Path,
    source: Path | None = None,
    settings: Settings | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Trains, evaluates and writes `out` (safetensors) and the card beside it (`.md`).

    Args:
        name: A key of `RECIPES`.
        data: Folder with `{train,val,test}/LABEL/` images.
        out: File to write, `.safetensors`.
        source: Weights to start from; by default the recipe's usual file in a folder `weights` beside `data`.
        settings: Epochs, seed and the like; the recipe's own by default.
        on_progress: Called often, on this thread.

    Raises:
        UsageError: no such recipe, or data or source weights are missing or of another kind.
    """
    chosen = recipe(name)
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: has to end in .safetensors")
    used = settings or Settings()
    start = source or _usual_source(chosen, data)
    trained = chosen.run(data, start, out, used, on_progress)
    val, test = (
        evaluate(chosen.network, data, weights=out, split=split, threads=used.threads, on_progress=on_progress)
        for split in ("val", "test")
    )
    card = Card(
        recipe=name,
        network=chosen.network,
        source=start,
        settings=used,
        trained=trained,
        val=val,
        test=test,
        notes=chosen.notes,
    )
    return Outcome(weights=out, card=write_card(out, card), trained=trained, test=test)


def _usual_source(chosen: Recipe, data: Path) -> Path:
    path = data.resolve().parent / "weights" / chosen.source_name
    if not path.is_file():
        raise UsageError(f"no weights to start from at {path}; name them with --weights FILE ({chosen.source_name})")
    return path
