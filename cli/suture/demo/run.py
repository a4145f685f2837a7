"""The demonstration from end to end: cloud, preparation, one unit's process per link, results."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suture.demo.processes import run_unit
from suture.demo.results import Run, compose
from suture.demo.settings import HEAVY_FILE_BYTES, DemoSettings
from suture.demo.studies import Study
from suture_models.bundle import Bundle
from suture_protocol.errors import CapabilityMissing
from suture_simulators.experiments.processes import CloudProcess
from suture_simulators.experiments.types import Report
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile


def run_demo(
    settings: DemoSettings,
    read: Sequence[Study],
    bundles: Sequence[Bundle],
    report: Report,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Runs all of it and gives back what goes into `results.json`.

    Args:
        settings: What to run.
        read: The studies.
        bundles: The networks' bundles, the one that the device factor is derived with first.
        report: Told how far it is: done, in all, what it does now.
        say: Told what a person has to know, e.g. that links are not emulated.

    Raises:
        ExperimentFailed: one of the processes failed.
    """
    stages = len(settings.rates_bps) + 1
    with tempfile.TemporaryDirectory(prefix="suture-demo-") as folder:
        scratch = Path(folder)
        with CloudProcess([bundle.path for bundle in bundles], scratch) as cloud:
            report(0, 100 * stages, "starting the cloud")
            cloud.wait_ready()
            prepared = run_unit(
                _prepare_config(settings, bundles, read, cloud), scratch, _part(report, 0, stages), None, cloud
            )
            say(prepared["calibration_text"])
            runs = []
            emulated = True
            for place, rate_bps in enumerate(settings.rates_bps, start=1):
                with _link(settings, rate_bps, cloud.port, emulated=emulated) as (link, missing):
                    if missing:
                        emulated = False
                        say(f"LINKS ARE NOT EMULATED: {missing}. All links below are this machine's loopback.")
                    told = _part(report, place, stages, f"{rate_bps / 1e6:g} Mbit/s: ")
                    config = _measure_config(settings, bundles, read, prepared, rate_bps, cloud)
                    measured = run_unit(
                        config if link is None else {**config, "cloud": None}, scratch, told, link, cloud
                    )
                    said = None if link is None else link.report().to_json()
                runs.append(Run(rate_bps=rate_bps, rtt_s=settings.rtt_s, measured=measured, link_report=said))
    return compose(settings, bundles, read, prepared, runs)


@contextmanager
def _link(
    settings: DemoSettings, rate_bps: float, port: int, *, emulated: bool
) -> Iterator[tuple[EmulatedLink | None, str]]:
    """The link to the cloud's port, or None and why this machine cannot emulate one."""
    if not emulated:
        yield None, ""
        return
    profile = LinkProfile.symmetric(rate_bps=rate_bps, delay_s=settings.rtt_s / 2, seed=settings.seed)
    link = EmulatedLink(profile, forward=("127.0.0.1", port))
    try:
        link.__enter__()
    except CapabilityMissing as error:
        yield None, str(error)
        return
    try:
        yield link, ""
    finally:
        link.close()


def _part(report: Report, stage: int, stages: int, prefix: str = "") -> Report:
    """`report` for one of the stages: its own steps become hundredths of the stage."""

    def told(done: int, total: int, text: str) -> None:
        report(100 * stage + 100 * done // max(total, 1), 100 * stages, prefix + text)

    return told


def _prepare_config(
    settings: DemoSettings, bundles: Sequence[Bundle], read: Sequence[Study], cloud: CloudProcess
) -> dict[str, Any]:
    return {
        "job": "prepare",
        "cloud": f"127.0.0.1:{cloud.port}",
        "bundles": [str(bundle.path) for bundle in bundles],
        "studies": [str(study.path) for study in read],
        "board": settings.board,
        "device_factor": settings.device_factor,
    }


def _measure_config(
    settings: DemoSettings,
    bundles: Sequence[Bundle],
    read: Sequence[Study],
    prepared: dict[str, Any],
    rate_bps: float,
    cloud: CloudProcess,
) -> dict[str, Any]:
    pairs = []
    for bundle in bundles:
        for study in read:
            times = prepared["studies"][str(study.path)]
            random = bundle.manifest.network.weights == "random"
            if random and not settings.thorough and study.path.stat().st_size > HEAVY_FILE_BYTES and len(read) > 1:
                continue
            pairs.append(
                {
                    "bundle": str(bundle.path),
                    "study": str(study.path),
                    "name": study.name,
                    "read_s": statistics.median(times["read_s"]),
                    "preprocess_s": statistics.median(times["preprocess_s"][bundle.name]),
                }
            )
    return {
        "job": "measure",
        "cloud": f"127.0.0.1:{cloud.port}",
        "pairs": pairs,
        "device_factor": prepared["device"]["factor"],
        "isa": prepared["device"]["isa"],
        "repeats": settings.repeats,
        "rate_bps": rate_bps,
        "seed": settings.seed,
    }
