"""The report of a run: the experiment's own sections between what was emulated and under which circumstances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from suture_simulators.experiments import page
from suture_simulators.experiments.store import REPORT
from suture_simulators.experiments.types import Experiment, Results

#: More are counted only; results.json has them all.
_IMAGES_NAMED: Final = 8


def write_report(experiment: Experiment, results: Results, out: Path) -> Path:
    """Writes OUT/report.html and gives its path."""
    path = out / REPORT
    subtitle = ", ".join(results.facts.get("networks", {}))
    page.write(
        path,
        title=experiment.title,
        subtitle=subtitle,
        provenance=_provenance(results),
        sections=experiment.sections(results),
    )
    return path


def _provenance(results: Results) -> page.Provenance:
    facts = results.facts
    done = "" if results.complete else "Some points of the grid are not measured yet; run the same command again."
    said = facts.get("provenance") or _linked(results)
    return page.Provenance(
        emulated=said["emulated"],
        real=[*said["real"], *_weights(results)],
        points=len(results.records),
        invalid=[f"{record.point.title}: {record.why_invalid}" for record in results.records if not record.valid],
        incomplete=done,
        facts=_circumstances(results),
    )


def _linked(results: Results) -> Mapping[str, Sequence[str]]:
    """What holds of every experiment over a link."""
    facts = results.facts
    return {
        "emulated": [_links(results), *(_device(name, raw) for name, raw in facts.get("units", {}).items())],
        "real": [
            "Every sample is one real inference: head, encoding, gRPC transfer, decoding and tail all ran. "
            f"The cloud is a process on this machine ({facts.get('cloud_device', '?')}), its tails are not slowed."
        ],
    }


def _links(results: Results) -> str:
    backend, control = results.facts.get("link_backend", "?"), results.facts.get("congestion_control", "?")
    return (
        f"Links: a relay between network namespaces ({backend}) holds every packet to the rate and delay set; "
        f"TCP's congestion control is {control} at both ends."
    )


def _device(name: str, raw: Mapping[str, Any]) -> str:
    board = f"as slow as a {raw['board']}: " if raw["board"] else ""
    isa = f", instructions limited to {raw['isa']}" if raw["isa"] else ""
    origin = "; ".join(filter(None, (raw["basis"], raw["source"])))
    return (
        f"Device {name}: {board}this machine's core, each operation stretched to {raw['factor']:g} times its processor "
        f"time (heads and reading: to what they usually take), one thread{isa} ({origin})."
    )


def _weights(results: Results) -> list[str]:
    random = [name for name, raw in results.facts.get("networks", {}).items() if raw["weights"] == "random"]
    if not random:
        return []
    return [f"Weights of {', '.join(random)} are random: times and structure are real, answers mean nothing."]


def _circumstances(results: Results) -> dict[str, str]:
    facts = results.facts
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    found = facts.get("images", {})
    images = ", ".join(f"{name} ({raw['bytes'] / 1e3:.0f} kB)" for name, raw in list(found.items())[:_IMAGES_NAMED])
    images += f" and {len(found) - _IMAGES_NAMED} more" if len(found) > _IMAGES_NAMED else ""
    known = {
        "command": str(facts.get("command", "")),
        "measured": str(facts.get("date", "")),
        "took": f"{facts.get('took_s', 0.0) / 60:.1f} minutes",
        "processor": f"{facts.get('machine', {}).get('cpu', '?')}, {facts.get('machine', {}).get('cores', '?')} cores",
        "kernel": str(facts.get("kernel", "")),
        "congestion control": str(facts.get("congestion_control", "")),
        "seed": str(facts.get("seed", "")),
        "turns at each point": str(facts.get("samples_per_point", "")),
        "images": images,
        "versions": versions,
        "commit": str(facts.get("commit", "")),
    }
    return {name: value for name, value in known.items() if value}
