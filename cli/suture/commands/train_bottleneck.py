"""`suture train bottleneck`: a small learned encoder and decoder at a cut, taught by the float network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suture.console import stderr_console, stdout_console, write_json
from suture.training_bars import training_bars

if TYPE_CHECKING:
    from suture_models.train.bottleneck_card import TrainedBottleneck
    from suture_protocol.errors import InputRefused


def train_bottleneck(
    network: Annotated[str, typer.Option(help="A zoo network, or your own `module:function`.")],
    cut: Annotated[str, typer.Option(help="Where: a cut of one tensor, as `suture inspect` lists them.")],
    images: Annotated[Path, typer.Option(help="Folder of images to learn from; no labels are needed.")],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors); its card goes beside it.")],
    weights: Annotated[Path | None, typer.Option(help="The network's weights, as for `suture build`.")] = None,
    channels: Annotated[int, typer.Option(min=1, max=256, help="Channels of the codes.")] = 12,
    levels: Annotated[int, typer.Option(min=2, max=256, help="Levels of a code.")] = 16,
    rate_weight: Annotated[
        float, typer.Option(min=0.0, help="Loss per kilobyte of codes; more of it gives fewer bytes.")
    ] = 0.3,
    warm_epochs: Annotated[
        int, typer.Option(min=0, help="Passes in which only the cut is restored; few images take more of them.")
    ] = 2,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the images in which the answers are learned.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Processor threads. Another number gives slightly other weights.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Files and figures as one JSON object on stdout.")] = False,
) -> None:
    """Train a bottleneck at a cut, so that few bytes an image cross it; `suture build --bottleneck` uses it."""
    # Torch takes a second to import; --help and wrong usage should not.
    from suture_models.train.bottleneck import BottleneckSettings
    from suture_models.train.bottleneck_recipe import train_bottleneck as run
    from suture_models.zoo.registry import load_network

    settings = BottleneckSettings(
        channels=channels,
        levels=levels,
        rate_weight=rate_weight,
        warm_epochs=warm_epochs,
        epochs=epochs,
        seed=seed,
        threads=threads,
    )

    def refused(error: InputRefused) -> None:
        stderr_console().print(f"left out: {error}", markup=False, soft_wrap=True)

    loaded = load_network(network, weights=weights, seed=seed)
    with training_bars() as on_progress:
        trained = run(loaded, network, cut, images, out, settings, on_progress=on_progress, refused=refused)
    _show(trained, as_json=as_json)


def _show(trained: TrainedBottleneck, *, as_json: bool) -> None:
    held_out = dataclasses.asdict(trained.held_out)
    written = [str(trained.weights), str(trained.card)]
    if as_json:
        write_json({"written": written, "sha256": trained.sha256, "images": trained.images, "held_out": held_out})
        return
    console = stdout_console()
    console.print(
        f"held-out images: {trained.held_out.kilobytes * 1000:.0f} bytes an image; "
        f"results off by {trained.held_out.results:.1%} of their variance",
        soft_wrap=True,
    )
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
