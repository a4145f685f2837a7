"""`suture train`: makes the weights of a network by a recipe, or measures weights on a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from suture.console import examples, stdout_console, write_json
from suture.subcommands import CommandWithSubcommands, Subcommand
from suture.training_bars import training_bars
from suture_protocol.errors import UsageError

if TYPE_CHECKING:
    from suture_models.train.metrics import Evaluation


def _bottleneck() -> Callable[..., None]:
    from suture.commands.train_bottleneck import train_bottleneck

    return train_bottleneck


class TrainCommand(CommandWithSubcommands):
    """`train` takes a recipe; the recipe `bottleneck` has options of its own."""

    subcommands: ClassVar[Mapping[str, Subcommand]] = {
        "bottleneck": Subcommand(
            load=_bottleneck,
            epilog=examples(
                "suture train bottleneck --network pneumonia_mobilenet_v2 --cut getitem_33 --images radiographs/ "
                "--out b.safetensors",
                "suture build pneumonia_mobilenet_v2 --bottleneck b.safetensors",
            ),
        )
    }


def register(app: typer.Typer) -> None:
    """Adds `train` to the command."""
    app.command(
        "train",
        cls=TrainCommand,
        epilog=examples(
            "suture train pneumonia --data data/cxr_pneumonia_224 --out pneumonia.safetensors",
            "suture train pneumonia --data data/cxr_pneumonia_224 --evaluate pneumonia.safetensors",
            "suture train bottleneck --help",
        ),
    )(train)


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="What to train: pneumonia, or bottleneck.")],
    data: Annotated[Path, typer.Option(help="Folder with {train,val,test}/LABEL/ images.")],
    out: Annotated[
        Path | None, typer.Option(help="Weights to write (.safetensors); the model card goes beside them.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights to start from; by default the recipe's file in a folder `weights` beside DATA."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the images after the head is trained.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Processor threads. Another number gives slightly other weights.")
    ] = 1,
    evaluate: Annotated[
        Path | None, typer.Option(help="Train nothing; measure these weights on the test split.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object on stdout.")] = False,
) -> None:
    """Train a network by a recipe, measure it once on the untouched test split, and write its model card."""
    if (out is None) == (evaluate is None):
        raise UsageError("give --out FILE to train, or --evaluate FILE to measure weights; one of the two")
    # Torch takes a second to import; --help and wrong usage should not.
    from suture_models.train import recipes
    from suture_models.train.transfer import Settings

    chosen = recipes.recipe(recipe)
    written: tuple[Path, ...] = ()
    with training_bars() as on_progress:
        if out is not None:
            settings = Settings(epochs=epochs, seed=seed, threads=threads)
            outcome = recipes.train(
                recipe, data=data, out=out, source=weights, settings=settings, on_progress=on_progress
            )
            measured, written = outcome.test, (outcome.weights, outcome.card)
        else:
            from suture_models.train.evaluate import evaluate as measure

            measured = measure(chosen.network, data, weights=evaluate, threads=threads, on_progress=on_progress)
    _show(measured, written, as_json=as_json)


def _show(measured: Evaluation, written: tuple[Path, ...], *, as_json: bool) -> None:
    if as_json:
        write_json({**dataclasses.asdict(measured), "written": [str(path) for path in written]})
        return
    console = stdout_console()
    console.print(
        f"{measured.split}: {measured.images} images of {measured.patients} patients, "
        f"{measured.positives} positive; threshold {measured.threshold:.4f}"
    )
    for name in ("auc", "accuracy", "sensitivity", "specificity"):
        console.print(f"  {name:12} {getattr(measured, name)}")
    for path in written:
        console.print(f"wrote {path}")
