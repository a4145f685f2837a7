"""`suture infer`: read files or directories, infer on each, split across the link as planned or as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, stderr_console, stdout_console, write_json
from suture.units import (
    BUDGET_HELP,
    CODEC_HELP,
    ENGINES_HELP,
    FACTOR_HELP,
    MEMORY_HELP,
    OBJECTIVE_HELP,
    POWER_HELP,
    PRECISIONS_HELP,
    aims,
    emulated,
    in_force,
    open_client,
    open_variants,
    profiling_bar,
    slowed,
)

if TYPE_CHECKING:
    from suture_edge.record import Inference
    from suture_edge.studies import Finding, StudyResult
    from suture_edge.unit import Unit
    from suture_models.picture import Picture
    from suture_protocol.errors import InputRefused

SOME_REFUSED = 1
#: Numbers of a study that a person is told.
_FINDINGS = 2


def register(app: typer.Typer) -> None:
    """Adds `infer` to the command."""
    app.command(
        "infer",
        epilog=examples(
            "suture infer study/ --bundle bundles/pneumonia_mobilenet_v2 --cloud 127.0.0.1:7000 --insecure",
            "suture infer chest.dcm --bundle bundles/pneumonia_mobilenet_v2 --cut last",
            "suture infer chest.dcm --bundle bundles/pneumonia_mobilenet_v2 --cloud 127.0.0.1:7000 --insecure --cut 0",
            "suture infer series/ --bundle bundles/unet --cloud 127.0.0.1:7000 --insecure --in-flight 8",
            "suture infer *.dcm --bundle bundles/unet --cloud 127.0.0.1:7000 --insecure --out masks/ --json",
        ),
    )(infer)


def infer(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or directories.")],
    bundle: Annotated[Path, typer.Option(help="The bundle; the cloud must hold the same.")],
    cloud: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="The cloud. Without: all on the edge.")] = None,
    engine: Annotated[str, typer.Option(help=ENGINES_HELP)] = "openvino",
    precision: Annotated[str, typer.Option(help=PRECISIONS_HELP)] = "int8",
    cut: Annotated[
        str, typer.Option(metavar="auto|0|last|ID", help="Where to cut; `suture inspect` lists the ids.")
    ] = ("auto"),
    codec: Annotated[str | None, typer.Option(help=CODEC_HELP)] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    device_factor: Annotated[str | None, typer.Option(metavar="FACTOR|BOARD", help=FACTOR_HELP)] = None,
    privacy_floor: Annotated[str | None, typer.Option(metavar="CUT", help="No shallower cut than this.")] = None,
    objective: Annotated[str, typer.Option(help=OBJECTIVE_HELP)] = "latency",
    accuracy_budget: Annotated[str | None, typer.Option(metavar="SHARE", help=BUDGET_HELP)] = None,
    memory: Annotated[str | None, typer.Option(help=MEMORY_HELP)] = None,
    power: Annotated[str | None, typer.Option(metavar="DEVICE", help=POWER_HELP)] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, max=64, help="Images under way at once: 8 makes a series a pipeline.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Directory for masks.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS; loopback and 198.18.0.0/15 only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per instance and study, on stdout.")] = False,
) -> None:
    """Infer on files or directories; the cut is planned from measured figures unless it is forced.

    Directories are walked; what cannot be read is refused with a reason, the others go on, and the exit status is 1.
    A study of several images is told of as a whole, too, when all are done.
    Where the cloud cannot be reached or declines, this machine finishes alone and says so.
    """
    import logging

    from suture_edge.series import infer_series
    from suture_edge.studies import Studies
    from suture_edge.unit import Unit, UnitSettings

    # What the link does is told with the instance that it concerns.
    logging.getLogger("suture_edge").addHandler(logging.NullHandler())
    device = emulated(device_factor)
    slow = slowed(device)
    client = open_client(cloud, insecure=insecure)
    constraints, aim, watts = aims(
        objective=objective,
        accuracy_budget=accuracy_budget,
        memory=memory,
        power=power,
        privacy_floor=privacy_floor,
        codec=codec,
    )
    heads = open_variants(bundle, engine, precision, threads, slow)
    refused, studies = 0, Studies()
    with in_force(device, heads[0]) as said, profiling_bar() as progress:
        factor = 1.0 if device is None else device.factor
        settings = UnitSettings(
            codec=codec,
            constraints=constraints,
            objective=aim,
            power=watts,
            device_factor=factor,
            emulated=said,
            out=out,
        )
        unit = Unit(heads, client, settings, slow=slow, progress=progress)
        try:
            unit.check(cut)
            for found in infer_series(unit, _inputs(unit, paths), cut, in_flight=in_flight):
                refused += bool(found.error)
                studies.add(found)
                write_json(found.to_json()) if as_json else show(found)
            for study in studies.results():
                write_json(study.to_json()) if as_json else show_study(study)
        finally:
            unit.close()
            if client is not None:
                client.close()
    if refused:
        raise typer.Exit(SOME_REFUSED)


def show(found: Inference) -> None:
    """One instance for a person: a line on stdout, or its refusal on stderr."""
    if found.error:
        stderr_console().print(f"suture: {found.path}: {found.error}", markup=False, soft_wrap=True)
        return
    line = (
        f"{found.path}  {summary(found.outputs)}  cut {found.cut}  {found.payload_bytes} B  "
        f"{found.total_s * 1000:.1f} ms  finished on the {found.where}"
    )
    if found.weights == "random":
        line += "  [random weights: no finding]"
    stdout_console().print(line, markup=False, soft_wrap=True)
    if found.note:
        stderr_console().print(
            f"suture: {found.path}: finished on the edge: {found.note}", markup=False, soft_wrap=True
        )


def show_study(study: StudyResult) -> None:
    """A study for a person: a line on stdout with its highest numbers and where they are."""
    told = [f"{name} {f.highest:.3f} at most, in {f.path}, {f.mean:.3f} on average" for name, f in _likeliest(study)]
    line = f"study {study.study}: {study.instances} images"
    line += f", {study.failed} without a finding" if study.failed else ""
    if study.weights == "random":
        told.append("[random weights: no finding]")
    stdout_console().print("; ".join([line, *told]), markup=False, soft_wrap=True)


def _likeliest(study: StudyResult) -> list[tuple[str, Finding]]:
    return sorted(study.outputs.items(), key=lambda one: -one[1].highest)[:_FINDINGS]


def summary(outputs: dict[str, Any]) -> str:
    """The likeliest label with its probability, or what else there is."""
    numbers = {name: value for name, value in outputs.items() if isinstance(value, float)}
    if "area_fraction" in outputs:
        return f"mask covers {outputs['area_fraction']:.1%}"
    if not numbers:
        return ", ".join(outputs)
    best = max(numbers, key=numbers.__getitem__)
    return f"{best} {numbers[best]:.3f}"


def _inputs(unit: Unit, paths: Iterable[Path]) -> Iterator[tuple[str, Callable[[], Picture]]]:
    """Name and reader of each image; what cannot be read has a reader that says why."""
    from suture_models.walk import find_inputs, read_file
    from suture_protocol.errors import InputRefused

    slices: list[Path] = []
    volumes = unit.bundle.manifest.network.kind == "volume"
    for root in paths:
        empty = True
        for path in find_inputs([root]):
            empty = False
            if volumes and not _is_array(path):
                slices.append(path)
            else:
                yield str(path), partial(read_file, path)
        if empty:
            yield str(root), _refusal(InputRefused(str(root), "holds no file to read"))
    yield from _volumes(slices)


def _refusal(refused: InputRefused) -> Callable[[], Picture]:
    def read() -> Picture:
        raise refused

    return read


def _is_array(path: Path) -> bool:
    from suture_models.intake import sniff

    try:
        with path.open("rb") as stream:
            return sniff(stream.read(512)) == "npy"
    except OSError:
        return False


def _volumes(slices: list[Path]) -> Iterator[tuple[str, Callable[[], Picture]]]:
    from suture_models.walk import group_series, read_series
    from suture_protocol.errors import InputRefused

    for series in group_series(slices):
        if isinstance(series, InputRefused):
            yield series.name, _refusal(series)
        else:
            yield series.name, partial(read_series, series)
