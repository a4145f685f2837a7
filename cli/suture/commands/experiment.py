"""`suture experiment`: runs one of the experiments over emulated links and devices, and writes results and a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from suture.console import examples, stderr_console, stdout_console
from suture.long_run import make_folder, staged_bar, terminated_like_interrupted
from suture.subcommands import CommandWithSubcommands, Subcommand
from suture_protocol.errors import UsageError
from suture_protocol.units import parse_rate_bps, parse_share, parse_time_s

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_simulators.experiments.clock import Progress
    from suture_simulators.experiments.types import Experiment, Grid, Results, Settings

_NAME_HELP = "baselines, oracle, adapt, trace, fleet, overhead or codec; `compare A B` compares two runs."
_NETWORKS = ("pneumonia_mobilenet_v2", "resnet50")
_IMAGES_MAX = 3
_NETWORK_HELP = "A bundle's directory, or a network whose bundle is in --bundles and else built there; repeat."
_IMAGES_HELP = (
    "A file or a directory of images (DICOM, JPEG, PNG; to a 3D network a directory with one series is a volume); each "
    "network is given those that it takes, three at most (overhead: 40, of which its series is made; codec: 400; "
    "folders named after the labels give the truth). Default: a bundled radiograph."
)
_FACTOR_HELP = "The emulated unit: a factor (12) or a board (pi-4); repeat for several."
_RATE_HELP = "Rates of the link, e.g. 1mbit,20mbit; repeat, or separate by commas."
_RTT_HELP = "Round trips of the link, e.g. 40ms; repeat, or separate by commas."
_TRACE_HELP = (
    "A recorded link: a name that `suture link traces` lists, or a file; repeat. adapt and trace replay it, baselines "
    "and oracle take the rates that it had."
)
_ACCURACY_HELP = "Admits narrowed codes that change at most this share of calibration answers, e.g. 1%."
_BUDGET_HELP = "Begin no point after this time, e.g. 30min; the same command goes on."
_QUICK_HELP = "A small grid that ends within two minutes, for tests."
_CONGESTION_HELP = "TCP's at both ends; default: cubic, or the system's where namespaces may not use that."


def _compare() -> Callable[..., None]:
    from suture.commands.compare import compare

    return compare


class ExperimentCommand(CommandWithSubcommands):
    """`experiment` itself takes an experiment's name."""

    subcommands: ClassVar = {
        "compare": Subcommand(load=_compare, epilog=examples("suture experiment compare out/before out/after")),
    }


def register(app: typer.Typer) -> None:
    """Adds `experiment` to the command."""
    app.command(
        "experiment",
        cls=ExperimentCommand,
        no_args_is_help=True,
        epilog=examples(
            "suture experiment baselines --out out/baselines --network resnet50 --device-factor 8",
            "suture experiment oracle --out out/oracle --rates 1mbit,20mbit --rtts 40ms --samples 8",
            "suture experiment oracle --out out/oracle    (goes on where an interrupted run stopped)",
            "suture experiment compare out/before out/after",
        ),
    )(experiment)


def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAME_HELP)],
    out: Annotated[Path, typer.Option(help="Directory for samples, results.json and report.html.")],
    network: Annotated[list[str] | None, typer.Option(help=_NETWORK_HELP)] = None,
    bundles: Annotated[Path, typer.Option(help="Where bundles are found, and built.")] = Path("bundles"),
    device_factor: Annotated[list[str] | None, typer.Option(metavar="FACTOR|BOARD", help=_FACTOR_HELP)] = None,
    rates: Annotated[list[str] | None, typer.Option(help=_RATE_HELP)] = None,
    rtts: Annotated[list[str] | None, typer.Option(help=_RTT_HELP)] = None,
    images: Annotated[Path | None, typer.Option(help=_IMAGES_HELP)] = None,
    trace: Annotated[list[str] | None, typer.Option(metavar="NAME|FILE", help=_TRACE_HELP)] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="Turns at each point; every way has one in each.")] = None,
    seed: Annotated[int, typer.Option(help="Draws orders and what is random.")] = 1,
    congestion_control: Annotated[str | None, typer.Option(metavar="NAME", help=_CONGESTION_HELP)] = None,
    accuracy_budget: Annotated[str | None, typer.Option(metavar="SHARE", help=_ACCURACY_HELP)] = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help=_BUDGET_HELP)] = None,
    quick: Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)] = False,
) -> None:
    """Run an experiment on this machine: real inference, emulated links and devices, every sample kept.

    The same command goes on where an interrupted one stopped. Links and devices are emulated, and the report says so.
    """
    from suture_simulators.experiments.canvas import matplotlib
    from suture_simulators.experiments.registry import get_experiment
    from suture_simulators.experiments.report import write_report
    from suture_simulators.experiments.runner import run_experiment
    from suture_simulators.experiments.statistics import scipy_stats

    chosen = get_experiment(name)
    matplotlib()
    scipy_stats()
    make_folder(out)
    grid = chosen.grid(quick=quick)
    ready = _bundles(network or _NETWORKS, bundles, tables=grid.tables)
    for bundle in ready.values():
        if bundle.manifest.network.kind == "signal":
            raise UsageError(f"{bundle.name} takes signals; experiments compare ways to send an image or a volume")
    settings = _settings(
        chosen,
        grid,
        ready,
        out=out,
        factors=device_factor,
        rates=rates,
        rtts=rtts,
        images=images,
        traces=trace,
        samples=samples,
        seed=seed,
        congestion_control=congestion_control,
        accuracy_budget=_parsed("--accuracy-budget", accuracy_budget, parse_share),
        budget_s=_parsed("--budget", budget, parse_time_s),
        command=typed(sys.argv[1:]),
        quick=quick,
    )
    with terminated_like_interrupted(), _bar() as (progress, say):
        results = run_experiment(chosen, settings, ready, progress, say)
    write_report(chosen, results, out)
    _show(chosen, results, out)


def _settings(
    chosen: Experiment,
    grid: Grid,
    ready: dict[str, Bundle],
    *,
    factors: Sequence[str] | None,
    rates: Sequence[str] | None,
    rtts: Sequence[str] | None,
    images: Path | None,
    traces: Sequence[str] | None,
    samples: int | None,
    quick: bool,
    **rest: Any,
) -> Settings:
    from suture_simulators.experiments.scenarios import rates_of, trace_path
    from suture_simulators.experiments.scenarios import traces as read_traces
    from suture_simulators.experiments.types import Settings, device_of

    devices = tuple(device_of(text) for text in factors or grid.devices)
    limit = grid.images or (1 if quick else _IMAGES_MAX)
    pictures, suited = _images(images, ready, limit)
    paths = tuple(trace_path(word) for word in traces or ())
    usual = grid.rates_bps
    if paths and not grid.replays:
        usual = rates_of(read_traces(paths), len(usual))
    return Settings(
        experiment=chosen.name,
        bundles={name: bundle.path.resolve() for name, bundle in ready.items()},
        devices=tuple(dict.fromkeys(devices)),
        rates_bps=_numbers("--rates", rates, parse_rate_bps) or usual,
        rtts_s=_numbers("--rtts", rtts, parse_time_s) or grid.rtts_s,
        images=pictures,
        suited=suited,
        traces=paths,
        samples=samples or grid.samples,
        quick=quick,
        **rest,
    )


def _numbers(option: str, words: Sequence[str] | None, parse: Callable[[str], float]) -> tuple[float, ...]:
    """The numbers of a repeatable option whose values may hold commas, each once, ascending."""
    try:
        return tuple(sorted({parse(part.strip()) for word in words or () for part in word.split(",")}))
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def _bundles(words: Sequence[str], folder: Path, *, tables: bool) -> dict[str, Bundle]:
    """The bundles by network; where two are of one network, the later ones by their directories' names too."""
    from suture_models.tables import TABLES_ROLE

    found: dict[str, Bundle] = {}
    for word in words:
        opened = _bundle(word, folder, tables=tables)
        if tables and not any(TABLES_ROLE in variant.files for variant in opened.manifest.variants):
            text = (
                f"{opened.path} has no codec tables: narrow and trained codes are left out; `suture build` makes them"
            )
            stderr_console().print(text, markup=False, soft_wrap=True)
        taken = opened.name in found and found[opened.name].digest != opened.digest
        found[f"{opened.name} ({opened.path.name})" if taken else opened.name] = opened
    return found


def _bundle(word: str, folder: Path, *, tables: bool) -> Bundle:
    """A network's bundle: the directory of that name, or one in `folder`, built where there is none that fits."""
    from suture.demo.bundles import fitting_bundle
    from suture_models.bundle import open_bundle

    if (Path(word) / "manifest.json").is_file():
        return open_bundle(Path(word))
    return fitting_bundle(word, folder, tables=tables)


def typed(words: Sequence[str]) -> str:
    """The command with these arguments, for a report, which travels further than a machine's folders.

    Of paths that lead out of where it was typed the last name stays.
    """
    return shlex.join(["suture", *map(_without_folders, words)]).encode("utf-8", "backslashreplace").decode("utf-8")


def _without_folders(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if value.startswith(("/", "~", "..")):
        value = f".../{Path(value).name}"
    return f"{option}{equals}{value}"


def _parsed(option: str, word: str | None, parse: Callable[[str], float]) -> float | None:
    try:
        return None if word is None else parse(word)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def _images(
    chosen: Path | None, bundles: dict[str, Bundle], limit: int
) -> tuple[dict[str, Path], dict[str, tuple[str, ...]]]:
    """Image's name → its file, and network's name → the images it is given; what cannot serve is refused here."""
    from suture.demo.studies import studies
    from suture_simulators.experiments.pictures import find_images, suited

    console = stderr_console()
    path = studies(())[0].path if chosen is None else chosen
    found = find_images(
        path,
        lambda refusal: console.print(f"left out: {refusal}", markup=False, soft_wrap=True),
        limit,
        volumes=any(bundle.manifest.network.kind == "volume" for bundle in bundles.values()),
    )
    taken = {name: suited(found, bundle.manifest.network, limit) for name, bundle in bundles.items()}
    wanted = {one.name: one.path for images in taken.values() for one in images}
    return wanted, {name: tuple(one.name for one in images) for name, images in taken.items()}


def _show(chosen: Experiment, results: Results, out: Path) -> None:
    from rich.table import Table

    console = stdout_console()
    header, rows = chosen.table(results)
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(header):
        table.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for name, value in chosen.figures(results).items():
        console.print(f"{name} = {value:.4g}", markup=False)
    invalid = [record for record in results.records if not record.valid]
    if invalid:
        console.print(f"{len(invalid)} of {len(results.records)} points are INVALID and in no figure:", markup=False)
        for record in invalid:
            console.print(f"  {record.point.title}: {record.why_invalid}", markup=False, soft_wrap=True)
    console.print(f"{out / 'report.html'}, {out / 'results.json'}", markup=False, soft_wrap=True)


@contextmanager
def _bar() -> Iterator[tuple[Progress, Callable[[str], None]]]:
    """A progress bar on stderr with the remaining time, and a way to say something above it."""
    from rich.progress import MofNCompleteColumn

    with staged_bar("starting", MofNCompleteColumn()) as bar:

        def progress(done: int, total: int, left_s: float | None, text: str) -> None:
            left = "" if left_s is None else f"{_left(left_s)} left, "
            stage = text.partition(": turn")[0]
            bar.show(done, total or None, left + text, stage=stage, line=f"{done}/{total} {left}{stage}")

        yield progress, bar.say


def _left(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
