"""Runs an experiment from end to end: the bench, its points one after the other, the figures, the report."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from suture_models.bundle import Bundle
from suture_partitioner.profile_file import profile_to_json
from suture_protocol.errors import LinkError, Refused
from suture_simulators.experiments.alone import measure_alone
from suture_simulators.experiments.bench import Bench
from suture_simulators.experiments.clock import Clock, Progress, duration
from suture_simulators.experiments.kinds import LinkedExperiment, LocalExperiment
from suture_simulators.experiments.results import circumstances, collect, commit, to_json
from suture_simulators.experiments.store import Store
from suture_simulators.experiments.types import (
    Experiment,
    Point,
    PointRecord,
    Report,
    Results,
    Sample,
    Settings,
)
from suture_simulators.report import LinkReport

_log = logging.getLogger(__name__)

#: An invalid point is repeated once, unless it has to be quick: a machine that was busy for a moment is not one that
#: cannot emulate.
_SITTINGS: Final = 2
#: A calibration of the device holds for so long: points follow each other faster than a machine changes.
CALIBRATION_AGE_S: Final = 15.0


def run_experiment(
    experiment: Experiment,
    settings: Settings,
    bundles: Mapping[str, Bundle],
    progress: Progress,
    say: Callable[[str], None],
) -> Results:
    """Measures what is not measured yet and writes results.json, also when it is interrupted.

    Args:
        experiment: What to run.
        settings: How.
        bundles: Network's name → its bundle, opened.
        progress: Told how it goes.
        say: Told what a person has to know, e.g. about how long it will take.

    Raises:
        UsageError: the folder holds another configuration's run.
        CapabilityMissing: this machine cannot emulate links.
        ExperimentFailed: one of the processes failed.
        KeyboardInterrupt: passed on after everything was stopped and what is there was written.
    """
    points = list(experiment.points(settings))
    began = time.monotonic()
    with Store(settings.out, configuration(settings, bundles, points)) as store:
        todo = [point for point in points if point.key not in store.records]
        if len(todo) < len(points):
            say(f"{len(points) - len(todo)} of {len(points)} points are measured already; going on with the others")
        try:
            if todo:
                store.note(circumstances(settings, bundles) | {"commit": _commits(store)})
                if isinstance(experiment, LocalExperiment):
                    measure_alone(experiment, settings, bundles, store, points, progress, say)
                elif isinstance(experiment, LinkedExperiment):
                    _measure(experiment, settings, bundles, store, points, todo, progress, say)
                else:
                    raise TypeError(f"experiment {experiment.name} measures neither alone nor over a link")
        finally:
            store.note({"took_s": store.facts.get("took_s", 0.0) + time.monotonic() - began})
            results = collect(experiment.name, store, points)
            store.write_results(to_json(experiment, results))
    return results


def _commits(store: Store) -> str:
    """Of all sittings, as far as they are known: points of an interrupted run stay."""
    before = (store.facts.get("commit") or "unknown").split(", ") if store.records else []
    now = commit()
    return ", ".join(dict.fromkeys([*before, now or "unknown"])) if before or now else ""


def configuration(settings: Settings, bundles: Mapping[str, Bundle], points: Sequence[Point]) -> dict[str, Any]:
    """What the samples depend on, as plain data: its digest decides whether a run may be gone on with."""
    return {
        "experiment": settings.experiment,
        "bundles": {name: bundle.digest for name, bundle in bundles.items()},
        "devices": {device.name: device.to_json() for device in settings.devices},
        "images": {name: _digest(path) for name, path in settings.images.items()},
        "accuracy_budget": settings.accuracy_budget,
        "suited": {name: list(names) for name, names in settings.suited.items()},
        "traces": {path.name: _digest(path) for path in settings.traces},
        "rates_bps": list(settings.rates_bps),
        "rtts_s": list(settings.rtts_s),
        "samples": settings.samples,
        "seed": settings.seed,
        "quick": settings.quick,
        "congestion_control": settings.congestion_control,
        "points": [point.key for point in points],
        "suture": version("suture"),
    }


def _measure(
    experiment: LinkedExperiment,
    settings: Settings,
    bundles: Mapping[str, Bundle],
    store: Store,
    points: Sequence[Point],
    todo: Sequence[Point],
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    clock: Clock | None = None
    begun_s = time.monotonic()

    def told(_done: int, _total: int, text: str) -> None:
        left_s = None if clock is None else clock.total_s
        progress(len(store.records), len(points), left_s, text)

    with (
        tempfile.TemporaryDirectory(prefix="suture-experiment-") as scratch,
        Bench(
            bundles=bundles,
            images=settings.images,
            suited=settings.suited,
            scratch=Path(scratch),
            congestion_control=settings.congestion_control,
            accuracy_budget=settings.accuracy_budget,
            report=told,
        ) as bench,
    ):
        try:
            _profile_all(settings, bench, points)
            clock = Clock({point.key: experiment.estimate_s(point, bench, settings) for point in todo})
            say(f"{len(todo)} points, about {duration(clock.total_s)}")
            for point in todo:
                start_s = time.monotonic()
                if settings.budget_s is not None and start_s - begun_s > settings.budget_s:
                    say(f"the budget of {duration(settings.budget_s)} is spent; the same command goes on")
                    break
                told(0, 0, point.title)
                _sit(experiment, settings, bench, store, point, told)
                clock.done(point.key, time.monotonic() - start_s)
        finally:
            store.note(_bench_facts(bench))


def _profile_all(settings: Settings, bench: Bench, points: Sequence[Point]) -> None:
    """Profiles each network on each device before the first sample: so that the time needed is known, and choices too
    that depend on all devices are the same when a run is gone on with.
    """
    wanted = dict.fromkeys((point.device, point.network) for point in points)
    bench.hold(rate_bps=points[0].rate_bps, rtt_s=points[0].rtt_s, seed=settings.seed)
    for device, network in wanted:
        bench.set_device(settings.device(device))
        bench.open(network)


def _sit(
    experiment: LinkedExperiment, settings: Settings, bench: Bench, store: Store, point: Point, told: Report
) -> None:
    """Measures one point, and once more where the emulation did not keep its promises or the link broke."""
    sittings = 1 if settings.quick else _SITTINGS
    for attempt in range(sittings):
        start_s = time.monotonic()
        sitting = store.begin(point)
        notes: Mapping[str, Any] = {}
        why = ""
        try:
            link, before_s = bench.begin(point, settings.device(point.device), seed=settings.seed)
            begun_s = time.monotonic()

            def record(sample: Sample, sitting: int = sitting) -> None:
                store.add(sample, sitting)
                told(0, 0, f"{point.title}: turn {sample.turn + 1}, {sample.arm}")

            notes = experiment.run(point, bench, record, settings)
            notes = {"link_at_start": asdict(link), "before_s": before_s, **notes}
            notes["sampling_s"] = time.monotonic() - begun_s
            why = bench.recalibrate(max_age_s=CALIBRATION_AGE_S)
        except (LinkError, Refused) as error:
            why = str(error)
        report = bench.link_report()
        since = report.since_change
        reasons = [reason for reason in (why, since["invalid_reason"], notes.get("invalid_reason")) if reason]
        done = PointRecord(
            point=point,
            sitting=sitting,
            valid=not reasons,
            why_invalid="; ".join(reasons),
            link=_kept(report),
            device=bench.calibration(),
            notes=notes,
            took_s=time.monotonic() - start_s,
        )
        if done.valid or attempt == sittings - 1:
            store.finish(done)
            return
        told(0, 0, f"{point.title}: once more, {done.why_invalid}")


def _kept(report: LinkReport) -> dict[str, Any]:
    """What a point's record keeps of the link's report: the point's own verdict, no history of the points before."""
    raw = report.to_json()
    names = ("profile", "backend", "congestion_control", "scheduler", "kernel", "up", "down", "cpu_s", "duration_s")
    return {**{name: raw[name] for name in names}, **raw["since_change"]}


def _bench_facts(bench: Bench) -> dict[str, Any]:
    return {
        "cloud_device": bench.cloud_device,
        "device_calibrations": dict(bench.calibrations),
        "units": dict(bench.device_facts),
        "profiles": {
            name: {side: json.loads(profile_to_json(profile)) for side, profile in both.items()}
            for name, both in bench.all_profiles().items()
        },
    }


def _digest(path: Path) -> str:
    """Of a file's content, or of a folder's files in order."""
    files = sorted(part for part in path.iterdir() if part.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for part in files:
        digest.update(part.read_bytes())
    return digest.hexdigest()
