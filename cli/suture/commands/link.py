"""`suture link`: runs a command behind an emulated link; `link check` measures one, `link traces` lists recordings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from suture.console import examples, stderr_console, stdout_console, write_json
from suture.link_options import trace_remarks, with_link_options
from suture.subcommands import CommandWithSubcommands, Subcommand
from suture_protocol.address import parse_address
from suture_protocol.errors import UsageError
from suture_protocol.units import format_rate, format_share, format_time

if TYPE_CHECKING:
    from suture_simulators.check import LinkCheck
    from suture_simulators.link_profile import LinkProfile
    from suture_simulators.quantities import Quantity
    from suture_simulators.traces.library import TraceRecord

_CHECK_FAILED = 1

_Congestion = Annotated[
    str | None, typer.Option("--congestion-control", metavar="NAME", help="TCP's; default: the system's.")
]

_Backend = Annotated[
    Literal["auto", "tun", "netem", "uml"],
    typer.Option("--backend", help="Who moves the packets: our relay, the kernel's netem, or that in User-Mode Linux."),
]


class LinkCommand(CommandWithSubcommands):
    """`link` itself takes a command after `--`."""


_EXAMPLES = examples(
    "suture link --rate 20mbit --delay 20ms --forward 127.0.0.1:7443 -- suture infer x.dcm --cloud 198.18.0.2:7443 …",
    "suture link --up-trace starlink_autobahn_up_0 --down-rate 100mbit --delay 30ms -- iperf3 -c 198.18.0.2",
    "suture link --rate 5mbit --delay 30ms --outage 10s+3s,40s+5s --loss gemodel:0.5%,20% -- …",
    "suture link traces",
    "suture link check --rate 20mbit --delay 20ms --loss 1% --out out/check",
)
_SUB_EXAMPLES = {
    "check": examples(
        "suture link check --rate 20mbit --delay 20ms --jitter 5ms --loss 1% --out out/check",
        "suture link check --up-rate 2mbit --down-rate 20mbit --delay 30ms --loss gemodel:1%,25% --out out/check",
        "suture link check --trace starlink_autobahn_up_0 --delay 30ms --seconds 60 --out out/check",
    ),
    "traces": examples("suture link traces", "suture link traces --out out/traces", "suture link traces drive.csv"),
}


def register(app: typer.Typer) -> None:
    """Adds `link` to the command."""
    app.command(
        "link",
        cls=LinkCommand,
        no_args_is_help=True,
        context_settings={"allow_interspersed_args": False},
        epilog=_EXAMPLES,
    )(run)


@with_link_options
def run(
    profile: LinkProfile,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What runs at the near end.")],
    forward: Annotated[
        str | None,
        typer.Option(
            "--forward", metavar="HOST:PORT", help="What the far end relays to: this machine's, past the bottleneck."
        ),
    ] = None,
    congestion_control: _Congestion = None,
    backend: _Backend = "auto",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write what the link did, as JSON.")
    ] = None,
) -> None:
    """Run a command behind an emulated link, with its own input, output and exit status; `link check` measures one.

    The command finds the far end's address in SUTURE_PEER (198.18.0.2, with the port of --forward). It sees that and
    nothing else of the network. Needs no root where user namespaces are allowed.
    """
    from suture_simulators.link import EmulatedLink

    _remark_on_traces(profile)
    target = None
    if forward is not None:
        address = parse_address(forward)
        if address.port == 0:
            raise UsageError(f"--forward {forward}: port 0 cannot be relayed to; name the port of a running server")
        target = (address.host, address.port)
    with EmulatedLink(profile, forward=target, congestion_control=congestion_control, backend=backend) as link:
        status = link.run(command)
    done = link.report()
    if report is not None:
        _write_json(report, done.to_json())
    if not done.valid:
        stderr_console().print(f"suture link: do not quote times from this run: {done.invalid_reason}", style="yellow")
    raise typer.Exit(status)


@with_link_options
def check(
    profile: LinkProfile,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results.json goes.")],
    congestion_control: _Congestion = None,
    backend: _Backend = "auto",
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, max=600.0, help="How long each goodput lasts.")] = 5.0,
) -> None:
    """Measure an emulated link and print what was set against what came out; exit status 1 where they differ."""
    from suture_simulators.check import check as measure

    _remark_on_traces(profile)
    console = stderr_console()
    with console.status("starting the link") as status:
        result = measure(
            profile,
            seconds=seconds,
            congestion_control=congestion_control,
            backend=backend,
            progress=lambda stage: status.update(f"measuring {stage}"),
        )
    settings = {"profile": profile.to_json(), "seconds": seconds, "congestion_control": congestion_control}
    _write_json(out / "results.json", {"experiment": "link check", "configuration": settings} | result.to_json())
    _show(result)
    if not result.passed:
        raise typer.Exit(_CHECK_FAILED)


def traces(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TRACE]…", help="Names or files; default: all that come along.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Plot them to DIR/traces.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")] = False,
) -> None:
    """List recorded links: how long, how fast, how often gone, from where and under which licence; and plot them."""
    from suture_simulators.traces.library import bundled_traces, trace_facts, trace_record

    records = [trace_record(name) for name in names or [bundled.name for bundled in bundled_traces()]]
    for record in records:
        if as_json:
            said = {"name": record.trace.name, "read_as": record.trace.read_as} | record.terms
            write_json(said | dataclasses.asdict(trace_facts(record.trace)))
    if not as_json:
        _show_traces(records)
    if out is not None:
        from suture_simulators.traces.page import write_page

        stderr_console().print(f"plotted: {write_page(records, out)}")


LinkCommand.subcommands = {
    "check": Subcommand(load=lambda: check, epilog=_SUB_EXAMPLES["check"]),
    "traces": Subcommand(load=lambda: traces, epilog=_SUB_EXAMPLES["traces"]),
}


def _remark_on_traces(profile: LinkProfile) -> None:
    for remark in trace_remarks(profile):
        stderr_console().print(f"suture link: {remark}", markup=False)


def _show_traces(records: Sequence[TraceRecord]) -> None:
    from rich.table import Table

    from suture_simulators.traces.library import trace_facts
    from suture_simulators.traces.page import sparkline

    table = Table(title="Recorded links (gone: share of the time without any rate)")
    for name in ("trace", "rate over time", "length", "mean", "min", "max", "gone"):
        table.add_column(name, no_wrap=True)
    table.add_column("what")
    table.add_column("licence")
    for record in records:
        facts = trace_facts(record.trace)
        rates = [format_rate(rate) if rate else "0" for rate in (facts.mean_bps, facts.min_bps, facts.max_bps)]
        what = record.terms.get("what", record.trace.read_as)
        cells = [record.trace.name, sparkline(record.trace), f"{facts.duration_s:.0f} s", *rates]
        table.add_row(*cells, format_share(facts.outage_share), what, record.terms.get("licence", ""))
    stdout_console().print(table)


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
    for done in filter(None, (report, result.follow_report)):
        if not done.valid:
            console.print(f"This run does not count: {done.invalid_reason}.", style="yellow")


def _row(quantity: Quantity) -> tuple[str, str, str, str, str]:
    write = {"bit/s": format_rate, "s": _milliseconds, "": format_share, "packets": _plain, "r": _plain}[quantity.unit]
    known = quantity.low is not None and quantity.high is not None and quantity.set_value is not None
    return (
        quantity.name,
        write(quantity.set_value) if quantity.set_value is not None else "unlimited" if write is format_rate else "",
        write(quantity.measured),
        f"{write(max(quantity.low or 0.0, 0.0))} … {write(quantity.high or 0.0)}" if known else "",
        ("ok" if quantity.within else "off") if known else "",
    )


def _milliseconds(time_s: float) -> str:
    return format_time(time_s) if time_s >= 1 else f"{time_s * 1e3:.2f} ms"


def _plain(value: float) -> str:
    return f"{value:.3f}"
