"""The `suture` command: imports only the sub-command that was asked for and turns errors into exit statuses."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from suture.console import examples
from suture_protocol.errors import CapabilityMissing, InputRefused, SutureError, UsageError

SOME_REFUSED = 1
WRONG_USAGE = 2
COULD_NOT_RUN = 3
INTERRUPTED = 130
#: What a shell reports for a program that died of SIGPIPE.
READER_LEFT = 141


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row of the command table: the module with `register(app)`, and the line that `suture --help` shows."""

    module: str
    help: str


#: Adding a command is one file in `commands/` and one row here. The order is that of `suture --help`.
COMMANDS: Mapping[str, Entry] = {
    "demo": Entry(
        module="suture.commands.demo", help="The main job on this machine: cloud, edge and link, with a report."
    ),
    "train": Entry(module="suture.commands.train", help="Train a network by a recipe, e.g. transfer learning."),
    "build": Entry(module="suture.commands.build", help="Export, calibrate and quantise a network into a bundle."),
    "inspect": Entry(module="suture.commands.inspect", help="List a bundle's cuts, boundaries, bytes and artefacts."),
    "verify": Entry(module="suture.commands.verify", help="Check that every cut computes what the whole network does."),
    "annotate": Entry(
        module="suture.commands.annotate", help="Measure what narrower codes cost a bundle's answers, cut by cut."
    ),
    "profile": Entry(module="suture.commands.profile", help="Measure each layer and cut of a bundle on this device."),
    "plan": Entry(module="suture.commands.plan", help="Choose the cut for a link, and say why the others lost."),
    "cloud": Entry(module="suture.commands.cloud", help="Serve the tails of one or more bundles."),
    "edge": Entry(module="suture.commands.edge", help="Run the unit's agent: watch a folder, infer, write results."),
    "infer": Entry(module="suture.commands.infer", help="Infer on files or directories, split across the link."),
    "link": Entry(module="suture.commands.link", help="Run a command behind an emulated link."),
    "experiment": Entry(
        module="suture.commands.experiment", help="Measure over emulated links: against rivals, against an oracle."
    ),
}

#: Import name of a library that not every installation has -> the extra that brings it.
EXTRAS: Mapping[str, str] = {
    "openvino": "edge",
    "onnxruntime": "onnxruntime",
    "ai_edge_litert": "litert",
    "torch": "cloud",
    "safetensors": "cloud",
    "nncf": "build",
    "onnx": "build",
    "onnxscript": "build",
    "monai": "build",
    "einops": "build",
    "sklearn": "build",
    "matplotlib": "experiment",
    "networkx": "experiment",
    "scipy": "experiment",
    "imagecodecs": "experiment",
    "litert_torch": "build-litert",
    "ai_edge_quantizer": "build-litert",
}


class LazyGroup(TyperGroup):
    """Shows every row of `COMMANDS`, but imports a command's module only when that command is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As its parent does, with the table's row replaced by the real command."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = _load(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """As its parent does; a reader that left early (`suture inspect … | head`) is no failure of ours."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more at exit; give it somewhere to flush to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(READER_LEFT) from None
        return result


def _load(name: str) -> Any:
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    importlib.import_module(COMMANDS[name].module).register(app)
    return typer.main.get_group(app).commands[name]


def build_app() -> typer.Typer:
    """The whole command with every sub-command in its table, none of them imported."""
    app = typer.Typer(
        name="suture",
        cls=LazyGroup,
        rich_markup_mode="rich",
        no_args_is_help=True,
        add_completion=False,
        help="Split inference for medical images between a mobile unit and the cloud.",
        epilog=examples(
            "suture demo --out out/demo",
            "suture build pneumonia_mobilenet_v2",
            "suture cloud --bundle bundles/pneumonia_mobilenet_v2 --listen 127.0.0.1:7443 --insecure",
            "suture infer study.dcm --bundle bundles/pneumonia_mobilenet_v2 --cloud 127.0.0.1:7443 --insecure",
        ),
    )
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.help)(_not_loaded)
    return app


def _not_loaded() -> None:
    """Stands in the table until `LazyGroup` puts the real command there."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"suture {version('suture')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status; never raises.

    0 all done, 1 some inputs refused, 2 wrong usage, 3 could not run at all, 130 interrupted.
    """
    try:
        command = typer.main.get_command(build_app())
        command.main(args=None if arguments is None else list(arguments), prog_name="suture")
    except SystemExit as stop:
        return _status(stop.code)
    except KeyboardInterrupt:
        return _status(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the process boundary
        return _report(error)
    return 0


def _status(code: Any) -> int:
    if code == INTERRUPTED:
        _say("interrupted")
    return code if isinstance(code, int) else int(code is not None)


def _report(error: Exception) -> int:
    """One line for a person on stderr, and the exit status that the error stands for."""
    if isinstance(error, ModuleNotFoundError):
        error = _missing_library(error) or error
    if isinstance(error, SutureError):
        _say(" ".join(str(error).split()))
        return _status_of(error)
    if os.environ.get("SUTURE_DEBUG") == "1":
        traceback.print_exception(error)
        return COULD_NOT_RUN
    what = " ".join(f"{type(error).__name__}: {error}".split())
    _say(f"unexpected {what} (please report it with what SUTURE_DEBUG=1 prints; CONTRIBUTING.md says how)")
    return COULD_NOT_RUN


def _status_of(error: SutureError) -> int:
    if isinstance(error, InputRefused):
        return SOME_REFUSED
    return WRONG_USAGE if isinstance(error, UsageError) else COULD_NOT_RUN


def _missing_library(error: ModuleNotFoundError) -> CapabilityMissing | None:
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    return CapabilityMissing(f"this needs {name}, which is not installed here; install suture[{EXTRAS[name]}]")


def _say(text: str) -> None:
    sys.stderr.write(f"suture: {text}\n")
