"""`suture demo`: the main job on this machine, against its rivals, over emulated links, with a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples
from suture.long_run import make_folder, staged_bar, terminated_like_interrupted

if TYPE_CHECKING:
    from suture_simulators.experiments.types import Report

_DEVICE_HELP = "Emulate this board (its published speed and its processor class), or one slower by this factor."
_THOROUGH_HELP = "Every network on every study, nine repeats (some minutes)."


def register(app: typer.Typer) -> None:
    """Adds `demo` to the command."""
    app.command(
        "demo",
        epilog=examples("suture demo", "suture demo --out out/mine --study chest.dcm", "suture demo --board rk3588"),
    )(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Directory for report.html and results.json.")] = Path("out/demo"),
    study: Annotated[list[Path] | None, typer.Option(help="Your own DICOM or image; repeat for several.")] = None,
    device_factor: Annotated[
        str, typer.Option("--device-factor", "--board", metavar="FACTOR|BOARD", help=_DEVICE_HELP)
    ] = "pi-4",
    bundles: Annotated[Path, typer.Option(help="Where its bundles are built and kept.")] = Path("bundles/demo"),
    thorough: Annotated[bool, typer.Option("--thorough", help=_THOROUGH_HELP)] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One link, one network, two repeats; for tests.")] = False,
) -> None:
    """Run cloud, edge and emulated links on this machine: real DICOM, every way to a result, a report."""
    from suture.demo.bundles import demo_bundle
    from suture.demo.report import page, picture_uri
    from suture.demo.run import run_demo
    from suture.demo.screen import show
    from suture.demo.settings import TRAINED, DemoSettings
    from suture.demo.studies import check_readable, studies
    from suture_protocol.errors import UsageError
    from suture_simulators.device import parse_device

    asked = parse_device(device_factor)
    if asked.means != "dilation":
        raise UsageError(f"--device-factor {device_factor}: the demonstration slows its unit by dilation only")
    less: dict[str, Any] = {"rates_bps": (20e6,), "networks": (TRAINED,), "repeats": 2} if quick else {}
    if thorough and not quick:
        less["repeats"] = 9
    settings = DemoSettings(
        out=out,
        bundles=bundles,
        studies=tuple(study or ()),
        board="" if asked.preset is None else asked.preset.name,
        device_factor=asked.factor if asked.preset is None else None,
        thorough=thorough,
        **less,
    )
    make_folder(out)
    with terminated_like_interrupted():
        read = studies(settings.studies)
        check_readable(read)
        ready = [demo_bundle(network, bundles) for network in settings.networks]
        with _bar() as (report, say):
            results = run_demo(settings, read, ready, report, say)
            pictures = {s.name: picture_uri(s) for s in read}
    (out / "results.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "report.html").write_text(page(results, pictures), encoding="utf-8")
    show(results, out)


@contextmanager
def _bar() -> Iterator[tuple[Report, Callable[[str], None]]]:
    """A progress bar on stderr, and a way to say something above it."""
    from rich.progress import TimeElapsedColumn

    with staged_bar("reading the studies", TimeElapsedColumn()) as bar:

        def report(done: int, total: int, text: str) -> None:
            stage = text.rpartition(":")[0] or text
            bar.show(done, total, text, stage=stage, line=stage)

        yield report, bar.say
