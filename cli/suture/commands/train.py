"""`suture train`: makes the weights of a network by a recipe, or measures weights on a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suture.console import examples, stderr_console, stdout_console, write_json
from suture_protocol.errors import UsageError

if TYPE_CHECKING:
    from suture_models.train.metrics import Evaluation
    from suture_models.train.progress import OnProgress, Progress


def register(app: typer.Typer) -> None:
    """Adds `train` to the command."""
    app.command(
        "train",
        epilog=examples(
            "suture train pneumonia --data data/cxr_pneumonia_224 --out pneumonia.safetensors",
            "suture train pneumonia --data data/cxr_pneumonia_224 --evaluate pneumonia.safetensors",
        ),
    )(train)


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="What to train: pneumonia.")],
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
    with _progress_bars() as on_progress:
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


@contextmanager
def _progress_bars() -> Iterator[OnProgress]:
    """One bar a stage on stderr, with the time that remains."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=stderr_console()) as bars:
        tasks: dict[str, int] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total, note="")
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total, note=progress.note)  # type: ignore[arg-type]

        yield show


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
