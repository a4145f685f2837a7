"""`suture verify`: check that every cut of a bundle computes what the whole network does, on every engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, stderr_console, stdout_console, write_json
from suture.units import profiling_bar

if TYPE_CHECKING:
    from suture.verify.checks import Finding

FAILED = 1
_IMAGES = 3


def register(app: typer.Typer) -> None:
    """Adds `verify` to the command."""
    app.command(
        "verify",
        epilog=examples(
            "suture verify bundles/unet",
            "suture verify bundles/mobilenet_v2 --images photographs/ --min-cosine 0.99",
            "suture verify bundles/vit_s16 --sample 5 --json",
        ),
    )(verify)


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory that `suture build` wrote.")],
    images: Annotated[Path | None, typer.Option(help="Inputs to check with. Default: the package's own.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many inputs.")] = _IMAGES,
    every: Annotated[bool, typer.Option("--all", help="Also the cuts that no plan would choose.")] = False,
    sample: Annotated[int, typer.Option(min=0, help="Only so many cuts, spread evenly; 0 for all.")] = 0,
    min_cosine: Annotated[float, typer.Option(help="Least cosine of INT8 head + float tail to float.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per check, on stdout.")] = False,
) -> None:
    """Check that every cut computes what the whole network does, on every engine; exit 1 where one does not."""
    import torch

    from suture.verify.checks import verify as run_checks
    from suture_models.bundle import open_bundle
    from suture_models.calibration import calibration_inputs

    torch.set_num_threads(1)
    opened = open_bundle(bundle)
    found = calibration_inputs(opened.manifest.network, images).inputs
    inputs = list(found[:: max(len(found) // count, 1)][:count])
    cuts = [cut for cut in opened.manifest.cuts if cut.candidate or every]
    if sample and len(cuts) > sample:
        cuts = [cuts[round(i * (len(cuts) - 1) / max(sample - 1, 1))] for i in range(sample)]
    failures = []
    rows: list[Finding] = []
    with profiling_bar() as progress:
        for finding in run_checks(opened, inputs, cuts, progress):
            if finding.what.startswith("cosine"):
                finding = dataclasses.replace(finding, ok=finding.figure >= min_cosine)
            rows.append(finding)
            failures += [] if finding.ok else [finding]
            if as_json:
                write_json(dataclasses.asdict(finding))
    if not as_json:
        stdout_console().print(summary(rows))
    for failure in failures:
        text = f"suture: {opened.name}, cut {failure.cut_id}, {failure.arm}: {failure.what}: {failure.figure:.6g}"
        stderr_console().print(f"{text} ({failure.note})" if failure.note else text, markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(FAILED)


def summary(rows: list[Finding]) -> Any:
    """One line per artefact and check: cuts, those that passed, the worst figure and where."""
    from rich.table import Table

    table = Table()
    for name in ("artefact", "check", "cuts", "passed", "worst", "at"):
        table.add_column(name, justify="right" if name in ("cuts", "passed", "worst") else "left")
    groups: dict[tuple[str, str], list[Finding]] = {}
    for row in rows:
        groups.setdefault((row.arm, row.what), []).append(row)
    for (arm, what), found in groups.items():
        lower_is_worse = not what.startswith(("split", "float"))
        worst = min(found, key=lambda f: f.figure if lower_is_worse else -f.figure)
        passed = sum(f.ok for f in found)
        table.add_row(arm, what, str(len(found)), str(passed), f"{worst.figure:.6g}", worst.cut_id)
    return table
