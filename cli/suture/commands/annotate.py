"""`suture annotate`: measure what narrower codes cost a bundle's answers, and write it beside the bundle's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, size_text, stderr_console, stdout_console, write_json
from suture.units import profiling_bar
from suture_protocol.errors import InputRefused

if TYPE_CHECKING:
    from suture_models.accuracy import Accuracy, WidthLoss
    from suture_models.bundle import Bundle
    from suture_models.calibration import Calibration


def register(app: typer.Typer) -> None:
    """Adds `annotate` to the command."""
    app.command(
        "annotate",
        epilog=examples(
            "suture annotate bundles/mobilenet_v2 --images photographs/",
            "suture annotate bundles/pneumonia_mobilenet_v2 --images radiographs/ --inputs 64 --json",
        ),
    )(annotate)


def annotate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory that `suture build` wrote.")],
    images: Annotated[Path | None, typer.Option(help="Inputs to measure with. Default: the package's own.")] = None,
    inputs: Annotated[int | None, typer.Option(min=1, help="How many of them. Default: a minute's worth.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, on stdout.")] = False,
) -> None:
    """Measure what codes of 6 to 2 bits cost the answers at each cut, so that plans may use them within a budget.

    Every candidate cut is run with the INT8 head, the codec and the float tail. The result lies beside the manifest in
    `annotations.json`, is shown by `suture inspect`, and replaces what was there; the bundle's digest stays.
    """
    from suture.losses import described, in_words
    from suture_models.bundle import open_bundle
    from suture_models.calibration import quantising_inputs

    opened = open_bundle(bundle)

    def refused(error: InputRefused) -> None:
        stderr_console().print(f"--images: {error}", markup=False)

    chosen = quantising_inputs(opened.manifest.network, images, refused)
    found = annotated(opened, chosen, inputs=inputs)
    if as_json:
        write_json(described(found))
        return
    stdout_console().print(table(found))
    stdout_console().print(in_words(found, opened.manifest.network), markup=False, soft_wrap=True)


def annotated(bundle: Bundle, inputs_of: Calibration, *, inputs: int | None = None) -> Accuracy:
    """Measures with a progress bar on stderr, and writes the annotations."""
    from suture.annotating import annotate as measure
    from suture_models.accuracy import write_accuracy

    with profiling_bar() as progress:
        found = measure(bundle, inputs_of, inputs=inputs, progress=progress)
    write_accuracy(bundle, found)
    return found


def table(found: Accuracy) -> Any:
    """Cut by width: the share of changed answers, with the payload."""
    from rich.table import Table

    from suture_models.accuracy import WIDTHS

    made = Table(title="changed answers, output error and payload by width", title_justify="left")
    # Figures may go on in the next line, an id that is cut short means nothing.
    made.add_column("cut", no_wrap=True)
    points = sorted({point for losses in found.points.values() for point in losses})
    for name in (*(f"{bits} bit" for bits in WIDTHS), *(f"narrow@{point}" for point in points)):
        made.add_column(name, justify="right")
    for cut_id, losses in found.cuts.items():
        allotted = found.points.get(cut_id, {})
        cells = [_cell(losses.get(bits)) for bits in WIDTHS] + [_cell(allotted.get(point)) for point in points]
        made.add_row(cut_id, *cells)
    return made


def _cell(loss: WidthLoss | None) -> str:
    if loss is None:
        return "too many"
    share = "-" if loss.changed_share is None else f"{loss.changed_share:.1%}"
    return f"{share}  {loss.output_error:.2g}  {size_text(loss.payload_bytes)}"
