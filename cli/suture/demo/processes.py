"""The demonstration's unit: a process at the near end of a link, or on loopback, that runs one job to its end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from suture_simulators.experiments.processes import CloudProcess, last_words, start_module, stop
from suture_simulators.experiments.types import ExperimentFailed, Report
from suture_simulators.link import EmulatedLink


def run_unit(
    config: Mapping[str, Any], scratch: Path, report: Report, link: EmulatedLink | None, cloud: CloudProcess
) -> dict[str, Any]:
    """Runs a unit's process to its end and gives back what it measured.

    Args:
        config: See `suture.demo.unit`.
        scratch: Folder for its files.
        report: Told how it goes.
        link: The link at whose near end it runs; None for this machine's own network.
        cloud: What it talks to; where it has ended, that is the error.

    Raises:
        ExperimentFailed: it, or the cloud, failed.
    """
    config_path, result_path, log_path = (scratch / f"unit.{kind}" for kind in ("config", "result", "log"))
    result_path.unlink(missing_ok=True)
    config_path.write_text(json.dumps({**config, "result": str(result_path)}), encoding="utf-8")
    with log_path.open("wb") as log:
        process = start_module(["suture.demo.unit", str(config_path)], stderr=log, stdout=subprocess.PIPE, link=link)
    try:
        _follow(process, report)
    finally:
        stop(process)
    if process.returncode or not result_path.is_file():
        cloud.check()
        raise ExperimentFailed(f"the unit's process ended with status {process.returncode}{last_words(log_path)}")
    result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    return result


def _follow(process: subprocess.Popen[bytes], report: Report) -> None:
    if process.stdout is None:
        raise ValueError("the process has no pipe to follow")
    with process.stdout as lines:
        for line in lines:
            with suppress(ValueError, KeyError):
                told = json.loads(line)
                report(told["done"], told["total"], told["text"])
    process.wait()
