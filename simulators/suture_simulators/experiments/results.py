"""From a store to results, to `results.json`, and back."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from suture_models.bundle import Bundle
from suture_partitioner.device import device_fingerprint
from suture_simulators.experiments.store import Store
from suture_simulators.experiments.types import (
    Experiment,
    Point,
    Results,
    Sample,
    Settings,
    record_from_json,
    sample_from_json,
)

_VERSIONED: Final = ("suture", "torch", "openvino", "onnxruntime", "grpcio", "numpy", "pillow", "pydicom", "scipy")


def collect(name: str, store: Store, points: Sequence[Point]) -> Results:
    """The results of what a store holds, in the order of the points."""
    records = tuple(store.records[point.key] for point in points if point.key in store.records)
    return Results(
        experiment=name,
        facts=_known(store),
        records=records,
        samples=store.samples(),
        complete=len(records) == len(points),
    )


def to_json(experiment: Experiment, results: Results) -> dict[str, Any]:
    """`results.json` as plain data."""
    figures = dict(experiment.figures(results))
    invalid = [record for record in results.records if not record.valid]
    return {
        "experiment": results.experiment,
        "complete": results.complete,
        "figures": {**figures, "points": len(results.records), "invalid_points": len(invalid)},
        "facts": dict(results.facts),
        "points": [record.to_json() for record in results.records],
        "samples": [sample.to_json() for found in results.samples.values() for sample in found],
        "note": " ".join([*_emulated(results.facts), "Not for diagnosis."]),
    }


def read(path: Path) -> Results:
    """The results that a results.json holds.

    Raises:
        ValueError: it cannot be read, or is none of a run's; the message names it.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        samples: dict[str, list[Sample]] = {}
        for found in raw["samples"]:
            sample = sample_from_json(found)
            samples.setdefault(sample.point, []).append(sample)
        return Results(
            experiment=raw["experiment"],
            facts=raw["facts"],
            records=tuple(record_from_json(found) for found in raw["points"]),
            samples={key: tuple(found) for key, found in samples.items()},
            complete=raw["complete"],
        )
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results of an experiment: {error!r}") from error


def circumstances(settings: Settings, bundles: Mapping[str, Bundle]) -> dict[str, Any]:
    """What is known of a run before anything is measured."""
    return {
        "seed": settings.seed,
        "samples_per_point": settings.samples,
        "quick": settings.quick,
        "devices": {device.name: device.to_json() for device in settings.devices},
        "images": {name: {"file": path.name, "bytes": _size_bytes(path)} for name, path in settings.images.items()},
        "networks": {
            name: {
                "digest": bundle.digest,
                "weights": bundle.manifest.network.weights,
                "input": list(bundle.manifest.network.input.shape),
                "candidate_cuts": [cut.id for cut in bundle.manifest.cuts if cut.candidate],
            }
            for name, bundle in bundles.items()
        },
        "machine": dict(device_fingerprint()),
        "kernel": f"{platform.system()} {platform.release()}",
        "versions": _versions(),
        "command": settings.command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _emulated(facts: Mapping[str, Any]) -> Sequence[str]:
    """What was emulated, in sentences: what the experiment says of it, else links and devices."""
    said: Sequence[str] = facts.get("provenance", {}).get("emulated", ["Links and devices are emulated."])
    return said


def _size_bytes(path: Path) -> int:
    """Of a file, or of all files of a volume's folder."""
    return sum(part.stat().st_size for part in path.iterdir()) if path.is_dir() else path.stat().st_size


def _known(store: Store) -> dict[str, Any]:
    """The facts, with what the points say of the link."""
    reports = [record.link for record in store.records.values() if record.link]
    found = sorted({str(report["congestion_control"]) for report in reports})
    return {
        **store.facts,
        "congestion_control": ", ".join(found) or "none: no link was measured",
        "link_backend": ", ".join(sorted({str(report["backend"]) for report in reports})),
    }


def commit() -> str:
    """What git calls the source that runs, with `-dirty` where tracked files changed; empty where it knows none."""
    here = Path(__file__)
    said = ""
    # Asked of the file first: a package installed into another project's folder is none of that project's source.
    for asked in (("ls-files", "--error-unmatch", here.name), ("describe", "--always", "--dirty", "--abbrev=12")):
        try:
            done = subprocess.run(["git", *asked], cwd=here.parent, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        if done.returncode:
            return ""
        said = done.stdout.strip()
    return said


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
