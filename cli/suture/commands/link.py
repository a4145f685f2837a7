"""`suture link`: runs a command behind an emulated link; `suture link check` measures what such a link does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from suture.console import examples, stderr_console, stdout_console
from suture_protocol.address import parse_address
from suture_protocol.errors import UsageError
from suture_protocol.units import (
    format_rate,
    format_share,
    format_time,
    parse_rate_bps,
    parse_share,
    parse_size_bytes,
    parse_time_s,
)

if TYPE_CHECKING:
    from suture_simulators.check import LinkCheck, Quantity
    from suture_simulators.link_profile import LinkProfile

_T = TypeVar("_T")
_CHECK_FAILED = 1

_Rate = Annotated[str | None, typer.Option("--rate", metavar="RATE", help="Line rate each way, e.g. 20mbit.")]
_Delay = Annotated[str, typer.Option("--delay", metavar="TIME", help="Delay one way, e.g. 20ms: half the round trip.")]
_Jitter = Annotated[str, typer.Option("--jitter", metavar="TIME", help="The delay wanders slowly by this much.")]
_Loss = Annotated[str, typer.Option("--loss", metavar="SHARE", help="Packets lost each way, independently, e.g. 1%.")]
_Queue = Annotated[
    str | None, typer.Option("--queue", metavar="SIZE", help="Room before the line; default: one round trip, ≥ 100 ms.")
]
_Trace = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="A recorded rate in place of --rate: CSV with t_s,mbps.")
]
_Seed = Annotated[int, typer.Option("--seed", help="Draws losses and jitter.")]
_Congestion = Annotated[
    str | None, typer.Option("--congestion-control", metavar="NAME", help="TCP's; default: the system's.")
]


class LinkCommand(TyperCommand):
    """`link` itself takes a command after `--`; a first word out of `subcommands` is a command of its own."""

    subcommands: dict[str, Callable[..., None]]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As its parent does, or as the sub-command does."""
        if args and args[0] in self.subcommands:
            app = typer.Typer(rich_markup_mode="rich")
            app.command(args[0], epilog=_CHECK_EXAMPLES)(self.subcommands[args[0]])
            return typer.main.get_command(app).make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


_EXAMPLES = examples(
    "suture link --rate 20mbit --delay 20ms --forward 127.0.0.1:7443 -- suture infer x.dcm --cloud 198.18.0.2:7443 …",
    "suture link --trace drive.csv --delay 30ms -- iperf3 -c 198.18.0.2",
    "suture link check --rate 20mbit --delay 20ms --loss 1% --out out/check",
)
_CHECK_EXAMPLES = examples("suture link check --rate 20mbit --delay 20ms --jitter 5ms --loss 1% --out out/check")


def register(app: typer.Typer) -> None:
    """Adds `link` to the command."""
    app.command(
        "link",
        cls=LinkCommand,
        no_args_is_help=True,
        context_settings={"allow_interspersed_args": False},
        epilog=_EXAMPLES,
    )(run)


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What runs at the near end.")],
    rate: _Rate = None,
    delay: _Delay = "0",
    jitter: _Jitter = "0",
    loss: _Loss = "0",
    queue: _Queue = None,
    trace: _Trace = None,
    forward: Annotated[
        str | None,
        typer.Option(
            "--forward", metavar="HOST:PORT", help="What the far end relays to: this machine's, past the bottleneck."
        ),
    ] = None,
    seed: _Seed = 1,
    congestion_control: _Congestion = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write what the link did, as JSON.")
    ] = None,
) -> None:
    """Run a command behind an emulated link, with its own input, output and exit status; `link check` measures one.

    The command finds the far end's address in SUTURE_PEER (198.18.0.2, with the port of --forward). It sees that and
    nothing else of the network. Needs no root where user namespaces are allowed.
    """
    from suture_simulators.link import EmulatedLink

    profile = _profile(rate, delay, jitter, loss, queue, trace, seed)
    target = None
    if forward is not None:
        address = parse_address(forward)
        if address.port == 0:
            raise UsageError(f"--forward {forward}: port 0 cannot be relayed to; name the port of a running server")
        target = (address.host, address.port)
    with EmulatedLink(profile, forward=target, congestion_control=congestion_control) as link:
        status = link.run(command)
    done = link.report()
    if report is not None:
        _write_json(report, done.to_json())
    if not done.valid:
        stderr_console().print(f"suture link: do not quote times from this run: {done.invalid_reason}", style="yellow")
    raise typer.Exit(status)


def check(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results.json goes.")],
    rate: _Rate = None,
    delay: _Delay = "0",
    jitter: _Jitter = "0",
    loss: _Loss = "0",
    queue: _Queue = None,
    trace: _Trace = None,
    seed: _Seed = 1,
    congestion_control: _Congestion = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, max=600.0, help="How long each goodput lasts.")] = 5.0,
) -> None:
    """Measure an emulated link and print what was set against what came out; exit status 1 where they differ."""
    from suture_simulators.check import check as measure

    profile = _profile(rate, delay, jitter, loss, queue, trace, seed)
    console = stderr_console()
    with console.status("starting the link") as status:
        result = measure(
            profile,
            seconds=seconds,
            congestion_control=congestion_control,
            progress=lambda stage: status.update(f"measuring {stage}"),
        )
    settings = {"profile": profile.to_json(), "seconds": seconds, "congestion_control": congestion_control}
    _write_json(out / "results.json", {"experiment": "link check", "configuration": settings} | result.to_json())
    _show(result)
    if not result.passed:
        raise typer.Exit(_CHECK_FAILED)


LinkCommand.subcommands = {"check": check}


def _profile(
    rate: str | None, delay: str, jitter: str, loss: str, queue: str | None, trace: Path | None, seed: int
) -> LinkProfile:
    from suture_simulators.link_profile import LinkProfile, load_trace

    try:
        return LinkProfile.symmetric(
            seed=seed,
            rate_bps=None if rate is None else _read("--rate", parse_rate_bps, rate),
            trace=None if trace is None else load_trace(trace),
            delay_s=_read("--delay", parse_time_s, delay),
            jitter_s=_read("--jitter", parse_time_s, jitter),
            loss=_read("--loss", parse_share, loss),
            queue_bytes=None if queue is None else _read("--queue", parse_size_bytes, queue),
        )
    except ValueError as error:
        raise UsageError(f"this link cannot be: {error}") from error


def _read(option: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def _write_json(path: Path, value: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot write the results there: {error.strerror}") from error


def _show(result: LinkCheck) -> None:
    from rich.table import Table

    report = result.report
    table = Table("", "set", "measured", "accepted", "", title="Emulated link, set against measured")
    for quantity in result.quantities:
        table.add_row(*_row(quantity))
    console = stdout_console()
    console.print(table)
    late = report.lateness
    console.print(
        f"goodput by {result.goodput_method}; {report.backend} relay ({report.scheduler}): "
        f"{report.cpu_s / report.duration_s:.0%} of a core, 99 % of packets at most {late['p99_s'] * 1e3:.2f} ms late"
    )
    if not report.valid:
        console.print(f"This run does not count: {report.invalid_reason}.", style="yellow")


def _row(quantity: Quantity) -> tuple[str, str, str, str, str]:
    write = {"bit/s": format_rate, "s": _milliseconds, "": format_share}[quantity.unit]
    known = quantity.low is not None and quantity.high is not None and quantity.set_value is not None
    return (
        quantity.name,
        write(quantity.set_value) if quantity.set_value is not None else "unlimited",
        write(quantity.measured),
        f"{write(max(quantity.low or 0.0, 0.0))} … {write(quantity.high or 0.0)}" if known else "",
        ("ok" if quantity.within else "off") if known else "",
    )


def _milliseconds(time_s: float) -> str:
    return format_time(time_s) if time_s >= 1 else f"{time_s * 1e3:.2f} ms"
