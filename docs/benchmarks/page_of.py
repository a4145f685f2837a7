"""The page of an experiment's run: its figures, its table and its circumstances, from results.json alone.

suture experiment oracle --out out/oracle && python docs/benchmarks/page_of.py out/oracle
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from common import write_report

from suture.console import stderr_console
from suture_simulators.experiments.registry import get_experiment
from suture_simulators.experiments.results import read, to_json
from suture_simulators.experiments.store import RESULTS
from suture_simulators.experiments.types import Experiment, Results


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `suture experiment` wrote.")],
    suffix: Annotated[str, typer.Option(help="Ends the page's subject, where there are several runs of a kind.")] = "",
) -> None:
    """Writes docs/benchmarks/experiment-<name>_<machine>_<date>.md for each run."""
    for run in runs:
        try:
            results = read(run / RESULTS)
        except ValueError as error:
            stderr_console().print(f"page_of: {error}", markup=False)
            raise typer.Exit(3) from error
        experiment = get_experiment(results.experiment)
        name = "-".join(filter(None, ("experiment", experiment.name, suffix)))
        write_report(name, _lines(experiment, results), _circumstances(results.facts))


def _lines(experiment: Experiment, results: Results) -> list[str]:
    header, rows = experiment.table(results)
    figures = to_json(experiment, results)["figures"]
    invalid = [record for record in results.records if not record.valid]
    return [
        f"{experiment.title}.",
        "",
        *_origin(results.facts.get("provenance")),
        "Networks with random weights are marked; their times and structure are real, their answers mean nothing.",
        "" if results.complete else "\nNot all points of the grid are measured.\n",
        "| figure | |",
        "|---|---|",
        *(f"| `{name}` | {value:.4g} |" for name, value in figures.items()),
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows),
        "",
        *(f"Left out as invalid: {record.point.title}: {record.why_invalid}." for record in invalid),
    ]


def _origin(said: Mapping[str, Sequence[str]] | None) -> list[str]:
    """What was emulated and what was real, in an experiment's own words where it has some."""
    if said is None:
        return ["Links and devices are emulated; every image is really inferred on, through both processes."]
    return [sentence for sentences in said.values() for sentence in sentences]


def _circumstances(facts: Any) -> dict[str, Any]:
    networks = facts.get("networks", {})
    devices = facts.get("units", {})
    return {
        **{name: facts[name] for name in ("command", "commit") if facts.get(name)},
        "networks": {name: f"{raw['digest'][:12]} ({raw['weights']} weights)" for name, raw in networks.items()},
        "devices, emulated": {
            name: f"{raw['factor']:g} times slower {raw['isa'] or 'with all instructions'} ({raw['basis']})"
            for name, raw in devices.items()
        },
        "images": {name: f"{raw['bytes']} bytes" for name, raw in facts.get("images", {}).items()},
        "link": f"{facts.get('link_backend')}, congestion control {facts.get('congestion_control')}",
        "turns": facts.get("samples_per_point"),
        "seed": facts.get("seed"),
        "minutes": round(facts.get("took_s", 0.0) / 60, 1),
        "measured": facts["date"],
        "device": facts["machine"],
        "versions": {**facts["versions"], "kernel": facts["kernel"]},
    }


if __name__ == "__main__":
    typer.run(main)
