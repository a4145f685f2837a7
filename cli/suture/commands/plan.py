"""`suture plan`: the chosen cut for a link, the predicted time of each step, and why the next best lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, size_text, stdout_console, write_json

if TYPE_CHECKING:
    from suture_partitioner.types import Choice, Plan, Profile

_SHOWN = 6


def register(app: typer.Typer) -> None:
    """Adds `plan` to the command."""
    app.command(
        "plan",
        epilog=examples(
            "suture plan bundles/resnet50 --edge-profile edge.json --cloud-profile cloud.json --bandwidth 20mbit "
            "--rtt 40ms",
            "suture plan bundles/unet --edge-profile edge.json --cloud-profile cloud.json --bandwidth 2mbit --rtt 40ms "
            "--json",
        ),
    )(plan)


def plan(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that was profiled.")],
    edge_profile: Annotated[list[Path], typer.Option(help="Profile of the heads; repeat for several engines.")],
    bandwidth: Annotated[str, typer.Option(help="The uplink's, e.g. 20mbit.")],
    rtt: Annotated[str, typer.Option(help="Round-trip time, e.g. 40ms.")],
    cloud_profile: Annotated[Path | None, typer.Option(help="Profile of the tails. Without: all on the edge.")] = None,
    deadline: Annotated[str | None, typer.Option(help="Time to result at most, e.g. 500ms.")] = None,
    privacy_floor: Annotated[str | None, typer.Option(metavar="CUT", help="No shallower cut than this.")] = None,
    codec: Annotated[list[str] | None, typer.Option(help="Allowed codec; repeat for several. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, on stdout.")] = False,
) -> None:
    """Choose the cut, codec and engine for a link from measured profiles, and say why the others lost."""
    from suture_models.bundle import open_bundle
    from suture_partitioner.plan import Planner
    from suture_partitioner.types import Constraints, LinkEstimate
    from suture_protocol.units import parse_rate_bps, parse_time_s

    link = LinkEstimate(
        bandwidth_bps=_parsed(parse_rate_bps, "--bandwidth", bandwidth), rtt_s=_parsed(parse_time_s, "--rtt", rtt)
    )
    constraints = Constraints(
        deadline_s=None if deadline is None else _parsed(parse_time_s, "--deadline", deadline),
        privacy_floor=privacy_floor,
        codecs=None if not codec else tuple(codec),
    )
    opened = open_bundle(bundle)
    edges = [_load(path) for path in edge_profile]
    cloud = None if cloud_profile is None else _load(cloud_profile)
    planner = Planner(opened.manifest, edges, cloud, constraints)
    made = planner.plan(link)
    if as_json:
        write_json(dataclasses.asdict(made) | {"network": opened.name, "weights": opened.manifest.network.weights})
        return
    _show(made)
    crossings = [f"{c.bandwidth_bps / 1e6:.3g} Mbit/s" for c in planner.crossovers(rtt_s=link.rtt_s)]
    text = f"the choice changes at {', '.join(crossings)}" if crossings else "the choice is the same at every bandwidth"
    stdout_console().print(text, markup=False, soft_wrap=True)


def _parsed(parse: Any, option: str, text: str) -> float:
    from suture_protocol.errors import UsageError

    try:
        return float(parse(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _load(path: Path) -> Profile:
    from suture_partitioner.profile_file import load_profile
    from suture_protocol.errors import UsageError

    try:
        return load_profile(path)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _show(made: Plan) -> None:
    from rich.table import Table

    from suture_protocol.units import format_time

    steps = [field.name for field in dataclasses.fields(made.chosen.steps)]
    table = Table(title="chosen first, then what lost, fastest first", title_justify="left")
    for name in ("cut", "codec", "payload", *(s.removesuffix("_s") for s in steps), "total", "why not"):
        table.add_column(name, justify="left" if name in ("cut", "codec", "why not") else "right")

    def row(choice: Choice, reason: str) -> None:
        times = (format_time(getattr(choice.steps, step)) for step in steps)
        total = format_time(choice.steps.total_s)
        table.add_row(choice.cut_id, choice.codec, size_text(choice.payload_bytes), *times, total, reason)

    row(made.chosen, "chosen")
    for choice in made.rejected[:_SHOWN]:
        row(choice, choice.reason)
    stdout_console().print(table)
