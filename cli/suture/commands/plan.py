"""`suture plan`: the chosen cut for a link, the predicted time of each step, and why the next best lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, size_text, stdout_console, write_json

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_partitioner.types import Choice, Constraints, Plan, Profile

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
    """Choose the cut, codec and engine for a link from measured profiles, and say why the others lost.

    `suture profile` makes the profiles: one of the heads on the unit (`--engine openvino`), one of the tails on the
    cloud (`--engine torch`).
    """
    from suture_models.bundle import open_bundle
    from suture_partitioner.plan import Planner
    from suture_partitioner.types import LinkEstimate
    from suture_protocol.errors import UsageError
    from suture_protocol.units import parse_rate_bps, parse_time_s

    link = LinkEstimate(
        bandwidth_bps=_parsed(parse_rate_bps, "--bandwidth", bandwidth), rtt_s=_parsed(parse_time_s, "--rtt", rtt)
    )
    if link.bandwidth_bps <= 0:
        raise UsageError(f"--bandwidth {bandwidth}: a link carries something; without one leave --cloud-profile out")
    deadline_s = None if deadline is None else _parsed(parse_time_s, "--deadline", deadline)
    opened = open_bundle(bundle)
    constraints = _constraints(opened, deadline_s, privacy_floor, codec)
    edges = [_load(path, opened) for path in edge_profile]
    cloud = None if cloud_profile is None else _load(cloud_profile, opened)
    planner = Planner(opened.manifest, edges, cloud, constraints)
    made = planner.plan(link)
    if as_json:
        about = {"network": opened.name, "bundle": opened.digest, "weights": opened.manifest.network.weights}
        rejected = [_as_json(choice) for choice in made.rejected]
        write_json(
            {**about, "link": dataclasses.asdict(made.link), "chosen": _as_json(made.chosen), "rejected": rejected}
        )
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


def _constraints(
    bundle: Bundle, deadline_s: float | None, privacy_floor: str | None, codecs: list[str] | None
) -> Constraints:
    from suture_partitioner.types import Constraints
    from suture_protocol.codecs.registry import codec_ids
    from suture_protocol.errors import BundleError, UsageError

    for codec in codecs or ():
        if codec not in codec_ids():
            raise UsageError(f"--codec {codec}: no such codec; there are: {', '.join(codec_ids())}")
    if privacy_floor is not None:
        try:
            bundle.cut(privacy_floor)
        except BundleError as error:
            raise UsageError(f"--privacy-floor: {error}") from error
    return Constraints(deadline_s=deadline_s, privacy_floor=privacy_floor, codecs=tuple(codecs) if codecs else None)


def _load(path: Path, bundle: Bundle) -> Profile:
    from suture_partitioner.profile_file import load_profile
    from suture_protocol.errors import UsageError

    try:
        profile = load_profile(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if profile.bundle_digest != bundle.digest:
        raise UsageError(
            f"{path} was measured for {profile.network} {profile.bundle_digest[:12]}, {bundle.path} holds "
            f"{bundle.name} {bundle.digest[:12]}; measure again with `suture profile {bundle.path}`"
        )
    return profile


def _as_json(choice: Choice) -> dict[str, Any]:
    made = dataclasses.asdict(choice)
    made["steps"]["total_s"] = choice.steps.total_s
    return made


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
