"""Runs the points of an experiment that needs neither link nor emulated device, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from suture_models.bundle import Bundle
from suture_simulators.experiments.clock import Clock, Progress, duration
from suture_simulators.experiments.kinds import LocalExperiment
from suture_simulators.experiments.results import collect
from suture_simulators.experiments.store import Store
from suture_simulators.experiments.types import Point, PointRecord, Sample, Settings


def measure_alone(
    experiment: LocalExperiment,
    settings: Settings,
    bundles: Mapping[str, Bundle],
    store: Store,
    points: Sequence[Point],
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Measures the points that the store has no record of; whatever a point raises ends the run.

    Args:
        experiment: What to run.
        settings: How.
        bundles: Network's name → its bundle, opened.
        store: Open; has what was measured earlier.
        points: All of the run's.
        progress: Told how it goes.
        say: Told what a person has to know.
    """
    store.note({"provenance": {name: list(text) for name, text in experiment.provenance.items()}})
    todo = [point for point in points if point.key not in store.records]
    clock = Clock({point.key: experiment.expect_s(point, settings) for point in todo})
    say(f"{len(todo)} points, about {duration(clock.total_s)}")
    begun_s = time.monotonic()
    for point in todo:
        start_s = time.monotonic()
        if settings.budget_s is not None and start_s - begun_s > settings.budget_s:
            say(f"the budget of {duration(settings.budget_s)} is spent; the same command goes on")
            break
        progress(len(store.records), len(points), clock.total_s, point.title)
        sitting = store.begin(point)

        def record(sample: Sample, point: Point = point, sitting: int = sitting) -> None:
            store.add(sample, sitting)
            text = f"{point.title}: turn {sample.turn + 1}, {sample.arm}"
            progress(len(store.records), len(points), clock.total_s, text)

        earlier = collect(experiment.name, store, points)
        notes = experiment.measure(point, bundles[point.network], record, earlier, settings)
        took_s = time.monotonic() - start_s
        store.finish(PointRecord(point=point, sitting=sitting, valid=True, notes=notes, took_s=took_s))
        clock.done(point.key, took_s)
