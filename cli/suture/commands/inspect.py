"""`suture inspect`: what a bundle holds, as tables for people or one JSON object for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, size_text, stdout_console, write_json
from suture.losses import cell, described, in_words
from suture_models.accuracy import Accuracy, read_accuracy
from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import Cut, Manifest, TensorSpec, Variant
from suture_models.tables import TABLES_ROLE

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    """Adds `inspect` to the command."""
    app.command(
        "inspect",
        epilog=examples(
            "suture inspect bundles/mobilenet_v2",
            "suture inspect bundles/vit_s16 --all",
            "suture inspect bundles/unet --json | jq '.cuts[].id'",
        ),
    )(inspect)


def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The directory that `suture build` wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every cut, on stdout.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also list the cuts that no plan would choose.")] = False,
) -> None:
    """List a bundle's cuts, what crosses each of them, and its artefacts by engine and processor class."""
    opened = open_bundle(bundle)
    if as_json:
        write_json(describe(opened))
    else:
        _show(opened, every)


def describe(bundle: Bundle) -> dict[str, Any]:
    """What `inspect --json` prints: all cuts, candidates or not, and all artefacts."""
    manifest, accuracy = bundle.manifest, read_accuracy(bundle)
    return {
        "network": manifest.network.name,
        "digest": bundle.digest,
        "weights": manifest.network.weights,
        "cuts": [_cut(manifest, cut) for cut in manifest.cuts],
        "artefacts": [_artefact(manifest, variant) for variant in manifest.variants],
        "accuracy": None if accuracy is None else described(accuracy),
    }


def _cut(manifest: Manifest, cut: Cut) -> dict[str, Any]:
    return {
        "id": cut.id,
        "index": cut.index,
        "boundary": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "quantised": _quantised(manifest, tensor),
            }
            for tensor in cut.boundary
        ],
        "bytes_float32": cut.bytes_float32,
        "bytes_codes": cut.bytes_codes,
        "candidate": cut.candidate,
    }


def _quantised(manifest: Manifest, tensor: TensorSpec) -> bool:
    return any(tensor.name in variant.quant for variant in manifest.variants)


def _artefact(manifest: Manifest, variant: Variant) -> dict[str, Any]:
    return {
        "id": variant.id,
        "engine": variant.engine,
        "precision": variant.precision,
        "processor": variant.processor,
        "files": [
            {"role": role, "path": file.path, "bytes": file.size_bytes, "sha256": file.sha256}
            for role, file in sorted(variant.files.items())
        ],
        "bytes": sum(file.size_bytes for file in variant.files.values()),
        "cuts": [cut.id for cut in manifest.cuts if variant.has_cut(cut)],
    }


def _show(bundle: Bundle, every: bool) -> None:
    manifest, network = bundle.manifest, bundle.manifest.network
    accuracy = read_accuracy(bundle)
    shown = [cut for cut in manifest.cuts if every or cut.candidate]
    weights = "trained" if network.weights == "trained" else "[bold red]random: its findings mean nothing[/bold red]"
    console = stdout_console()
    console.print(f"[bold]{network.name}[/bold]  {network.kind} {_shape(network.input)}, weights {weights}")
    console.print(f"digest {bundle.digest}")
    if network.attribution:
        console.print(network.attribution, markup=False)
    console.print(_cut_table(manifest, shown, accuracy))
    hidden = len(manifest.cuts) - len(shown)
    if hidden:
        console.print(f"{hidden} more cuts can be forced but would never be chosen; --all lists them")
    console.print(_artefact_table(manifest))
    if accuracy is None:
        console.print("narrower codes: not measured, so none are used; suture annotate BUNDLE does it")
    else:
        console.print(in_words(accuracy, network), markup=False, soft_wrap=True)


def _cut_table(manifest: Manifest, cuts: list[Cut], accuracy: Accuracy | None) -> Table:
    from rich.table import Table

    table = Table(title=f"Cuts ({len(cuts)} of {len(manifest.cuts)})", title_justify="left")
    table.add_column("cut", overflow="fold")
    table.add_column("what crosses", overflow="fold")
    for name in ("index", "float32", "codes", "head MMAC", "tail MMAC"):
        table.add_column(name, justify="right", no_wrap=True)
    if accuracy is not None:
        table.add_column("<= 1 % changed", justify="right", no_wrap=True)
    for cut in cuts:
        table.add_row(
            cut.id if cut.candidate else f"[dim]{cut.id}[/dim]",
            "\n".join(f"{_shape(t)}{' as codes' if _quantised(manifest, t) else ''}" for t in cut.boundary),
            str(cut.index),
            size_text(cut.bytes_float32),
            size_text(cut.bytes_codes),
            f"{cut.head_macs / 1e6:,.1f}",
            f"{cut.tail_macs / 1e6:,.1f}",
            *([] if accuracy is None else [cell(accuracy, cut.id)]),
        )
    return table


def _artefact_table(manifest: Manifest) -> Table:
    from rich.table import Table

    table = Table(title="Artefacts", title_justify="left")
    for name in ("artefact", "engine", "precision", "processors"):
        table.add_column(name, no_wrap=True)
    for name in ("size", "tables", "cuts"):
        table.add_column(name, justify="right", no_wrap=True)
    for variant in manifest.variants:
        row = _artefact(manifest, variant)
        whole = len(row["cuts"]) == len(manifest.cuts)
        table.add_row(
            variant.id,
            variant.engine,
            variant.precision,
            variant.processor,
            size_text(row["bytes"]),
            size_text(tables.size_bytes) if (tables := variant.files.get(TABLES_ROLE)) else "none",
            "all" if whole else f"{len(row['cuts'])} of {len(manifest.cuts)}",
        )
    return table


def _shape(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} {'×'.join(map(str, tensor.shape))}"
