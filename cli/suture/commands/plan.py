"""`suture plan`: the best cut, codec and engine for a link under constraints, and why the others lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suture.console import examples, stderr_console, write_json

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_partitioner.plan import Planner
    from suture_partitioner.types import Choice, Plan

_PROFILES = "--edge-profile edge.json --cloud-profile cloud.json"
_AIM_HELP = (
    "What to make small: latency, latency_quantile (its 95th percentile), throughput (the slowest stage of a series), "
    "energy (the unit's) or cloud (the cloud's seconds)."
)
_BUDGET_HELP = (
    "The largest share of calibration inputs whose answer narrowed codes may change, e.g. 1%. Without: no narrowed "
    "codes. `suture annotate` measures what they change."
)
_POWER_HELP = (
    "The unit's power by published figures: pi-zero-2, pi-3b-plus, pi-4 or rk3588, with /lte (default) or /wifi."
)


def register(app: typer.Typer) -> None:
    """Adds `plan` to the command."""
    app.command(
        "plan",
        epilog=examples(
            f"suture plan bundles/resnet50 {_PROFILES} --bandwidth 20mbit --rtt 40ms --explain",
            f"suture plan bundles/resnet50 {_PROFILES} --bandwidth 20mbit --rtt 40ms --plot plan.svg --pareto",
            f"suture plan bundles/unet {_PROFILES} --bandwidth 2mbit --rtt 40ms --objective energy --power pi-4 "
            "--deadline 2s",
            f"suture plan bundles/unet {_PROFILES} --bandwidth 2mbit --rtt 40ms --privacy-floor relu_3 --memory 200mb "
            "--accuracy-budget 1% --json",
        ),
    )(plan)


def plan(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that was profiled.")],
    edge_profile: Annotated[list[Path], typer.Option(help="Profile of the heads; repeat for several engines.")],
    bandwidth: Annotated[str, typer.Option(help="The uplink's, e.g. 20mbit.")],
    rtt: Annotated[str, typer.Option(help="Round-trip time, e.g. 40ms.")],
    cloud_profile: Annotated[Path | None, typer.Option(help="Profile of the tails. Without: all on the edge.")] = None,
    spread: Annotated[
        str, typer.Option(metavar="SHARE", help="How far the bandwidth scatters: half its interquartile range.")
    ] = "0%",
    objective: Annotated[str, typer.Option(help=_AIM_HELP)] = "latency",
    deadline: Annotated[str | None, typer.Option(help="Time to result at most, e.g. 500ms.")] = None,
    privacy_floor: Annotated[str | None, typer.Option(metavar="CUT", help="No shallower cut than this.")] = None,
    codec: Annotated[
        list[str] | None, typer.Option(help="Allowed codec, e.g. zstd; repeat for several. Default: all lossless ones.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="The head's memory at most, e.g. 200mb.")] = None,
    energy: Annotated[
        str | None, typer.Option(metavar="JOULES", help="The unit's energy for one image at most, e.g. 1.5j.")
    ] = None,
    accuracy_budget: Annotated[str | None, typer.Option(metavar="SHARE", help=_BUDGET_HELP)] = None,
    power: Annotated[str | None, typer.Option(metavar="DEVICE", help=_POWER_HELP)] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say in words why this cut, and why not the others.")
    ] = False,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Show all that nothing beats in every respect; drawn too with --plot.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw time against bandwidth for every cut, as SVG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, on stdout.")] = False,
) -> None:
    """Choose the cut, codec and engine for a link from measured profiles, and say why the others lost.

    `suture profile` makes the profiles: one of the heads on the unit (`--engine openvino`), one of the tails on the
    cloud (`--engine torch`).
    """
    from suture.planning import options
    from suture_models.accuracy import read_accuracy
    from suture_models.bundle import open_bundle
    from suture_partitioner.plan import Planner

    link = options.link(bandwidth, rtt, spread)
    aim, watts = options.objective(objective), options.power(power, objective, energy)
    if plot is not None:
        options.check_drawing(plot)
    opened = open_bundle(bundle)
    constraints = options.constraints(
        opened,
        deadline=deadline,
        privacy_floor=privacy_floor,
        codecs=codec,
        memory=memory,
        energy=energy,
        accuracy_budget=accuracy_budget,
    )
    edges = [options.profile(path, opened) for path in edge_profile]
    cloud = None if cloud_profile is None else options.profile(cloud_profile, opened)
    accuracy = read_accuracy(opened)
    planner = Planner(opened.manifest, edges, cloud, constraints, objective=aim, accuracy=accuracy, power=watts)
    made = planner.plan(link)
    front = planner.pareto(link) if pareto else ()
    if as_json:
        write_json(_as_json(opened, made, front, planner))
    else:
        _show(planner, made, front, explain=explain)
    if plot is not None:
        _draw(planner, made, front, opened, plot)


def _show(planner: Planner, made: Plan, front: tuple[Choice, ...], *, explain: bool) -> None:
    from suture.planning import tables

    if explain:
        tables.show_words(made)
    else:
        tables.show_plan(made)
    if front:
        tables.show_front(front, made.chosen)
    tables.show_notes(planner, made)


def _draw(planner: Planner, made: Plan, front: tuple[Choice, ...], bundle: Bundle, path: Path) -> None:
    from suture.planning.chart import drawing

    weights = ", random weights" if bundle.manifest.network.weights == "random" else ""
    path.write_text(drawing(planner, made, f"{bundle.name}{weights}", front), encoding="utf-8")
    stderr_console().print(f"drawing written to {path}", markup=False, soft_wrap=True)


def _as_json(bundle: Bundle, made: Plan, front: tuple[Choice, ...], planner: Planner) -> dict[str, Any]:
    crossovers = planner.crossovers(rtt_s=made.link.rtt_s)
    return {
        "network": bundle.name,
        "bundle": bundle.digest,
        "weights": bundle.manifest.network.weights,
        "link": dataclasses.asdict(made.link),
        "objective": made.objective,
        "chosen": _choice(made.chosen),
        "rejected": [_choice(choice) for choice in made.rejected],
        "notes": list(made.notes),
        "crossovers": [
            {"bandwidth_bps": c.bandwidth_bps, "below": c.below.cut_id, "above": c.above.cut_id} for c in crossovers
        ],
        **({"pareto": [_choice(choice) for choice in front]} if front else {}),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    made = dataclasses.asdict(choice)
    made["steps"]["total_s"] = choice.steps.total_s
    made["cloud_s"] = choice.cloud_s
    return made
