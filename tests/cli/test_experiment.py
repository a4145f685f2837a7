"""`suture experiment` as a whole: killed, interrupted, gone on with, done; and how it refuses."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from suture_models.bundle import Bundle
from suture_protocol.errors import CapabilityMissing
from suture_simulators.experiments.results import commit
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile
from tests.processes import CHESTS, Command, until

POINTS = 2
WAYS = {"split", "dicom_upload", "image_upload", "jpegxl_upload", "jpeg_upload", "webp_upload", "edge_only"}


def arguments(bundle: Bundle, out: Path, *more: object) -> list[object]:
    grid = ["--rates", "20mbit,100mbit", "--rtts", "10ms", "--device-factor", "8", "--samples", "2"]
    return ["experiment", "baselines", "--network", bundle.path, "--images", CHESTS[0], *grid, "--out", out, *more]


def lines(out: Path, kind: str) -> list[dict[str, Any]]:
    path = out / "samples.jsonl"
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return [found for found in map(json.loads, whole) if found["kind"] == kind]


def results_of(out: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return results


def stopped(command: Command, bundle: Bundle, out: Path, number: signal.Signals, *, points: int) -> int:
    """Runs until a sample beyond that many points is there, sends the signal, and checks that nobody is left."""
    with command.started(*arguments(bundle, out)) as process:
        parent = psutil.Process(process.pid)
        until(lambda: begun(out, points) or process.poll() is not None, 240)
        family = parent.children(recursive=True)
        process.send_signal(number)
        status = process.wait(60)
    assert not psutil.wait_procs(family, timeout=20)[1]
    return status


def begun(out: Path, points: int) -> bool:
    done = {found["key"] for found in lines(out, "point")}
    return len(done) >= points and any(found["point"] not in done for found in lines(out, "sample"))


@pytest.fixture(scope="module")
def ran(command: Command, pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The folder of a run that was killed in its first point, interrupted in its second, and then finished."""
    pytest.importorskip("matplotlib", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
    pytest.importorskip("imagecodecs", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
    try:
        EmulatedLink(LinkProfile()).__enter__().close()
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")
    out = tmp_path_factory.mktemp("experiment")
    killed = stopped(command, pneumonia_bundle, out, signal.SIGKILL, points=0)
    interrupted = stopped(command, pneumonia_bundle, out, signal.SIGINT, points=1)
    partial = results_of(out)
    done = command.run(*arguments(pneumonia_bundle, out), timeout_s=240)
    assert done.returncode == 0, done.stderr
    stops = {"killed": killed, "interrupted": interrupted, "partial": partial}
    return {"out": out, "bundle": pneumonia_bundle.path.name, "done": done, **stops}


def test_killed_and_interrupted_runs_say_so(ran: dict[str, Any]) -> None:
    assert ran["killed"] == -signal.SIGKILL
    assert ran["interrupted"] == 130


def test_an_interrupted_run_leaves_what_it_has(ran: dict[str, Any]) -> None:
    assert ran["partial"]["complete"] is False
    assert len(ran["partial"]["points"]) == 1


def test_the_same_command_measures_only_what_is_missing(ran: dict[str, Any]) -> None:
    assert "1 of 2 points are measured already" in ran["done"].stderr
    results = results_of(ran["out"])
    assert results["complete"] is True
    assert len(results["points"]) == POINTS
    assert len({point["key"] for point in results["points"]}) == POINTS


def test_results_hold_every_way_at_every_point(ran: dict[str, Any]) -> None:
    results = results_of(ran["out"])
    for point in results["points"]:
        here = [sample for sample in results["samples"] if sample["point"] == point["key"]]
        assert {sample["arm"] for sample in here} == WAYS
        assert all(sample["total_s"] > 0 and not sample["error"] for sample in here)
        assert all((sample["payload_bytes"] > 0) == (sample["where"] == "cloud") for sample in here)
        assert isinstance(point["valid"], bool)
        assert point["link"]["lateness"]["packets"] > 0
        assert point["device"]["measured_factor"] > 1
        assert point["notes"]["local_engines"]


def test_a_way_over_the_link_takes_at_least_its_round_trip_and_its_bits(ran: dict[str, Any]) -> None:
    results = results_of(ran["out"])
    points = {point["key"]: point["point"] for point in results["points"]}
    for sample in results["samples"]:
        point = points[sample["point"]]
        if sample["where"] == "cloud":
            assert sample["total_s"] > point["rtt_s"] + 8 * sample["payload_bytes"] / point["rate_bps"]


def test_results_say_under_which_circumstances(ran: dict[str, Any]) -> None:
    facts = results_of(ran["out"])["facts"]
    for name in ("versions", "kernel", "congestion_control", "machine", "units", "networks", "profiles", "date"):
        assert facts[name], name
    words = shlex.split(facts["command"])
    assert words[:5] == ["suture", "experiment", "baselines", "--network", f".../{ran['bundle']}"]
    assert not any(word.startswith("/") for word in words)
    assert facts["commit"] == commit()
    assert all(isinstance(value, int | float) for value in results_of(ran["out"])["figures"].values())


def test_the_report_needs_nothing_from_outside_and_says_what_is_emulated(ran: dict[str, Any]) -> None:
    page = (ran["out"] / "report.html").read_text(encoding="utf-8")
    assert ("<svg" in page) == any(point["valid"] for point in results_of(ran["out"])["points"])
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", page)
    assert not re.search(r"@import|<link|<script|<iframe", page)
    assert "Emulated" in page


def test_a_finished_run_starts_nothing_again(ran: dict[str, Any], command: Command, pneumonia_bundle: Bundle) -> None:
    before = (ran["out"] / "samples.jsonl").read_text(encoding="utf-8")
    again = command.run(*arguments(pneumonia_bundle, ran["out"]))
    assert again.returncode == 0
    added = (ran["out"] / "samples.jsonl").read_text(encoding="utf-8").removeprefix(before)
    assert [json.loads(line)["kind"] for line in added.splitlines()] == ["facts"]


def test_another_configuration_is_refused_with_what_differs(
    ran: dict[str, Any], command: Command, pneumonia_bundle: Bundle
) -> None:
    refused = command.run(*arguments(pneumonia_bundle, ran["out"], "--seed", "7"))
    assert refused.returncode == 2
    assert "seed was 1, is 7" in refused.stderr


def test_a_run_compared_with_itself_shows_no_change(ran: dict[str, Any], command: Command) -> None:
    (compared,) = command.rows("experiment", "compare", ran["out"], ran["out"])
    assert all(change["ratio"]["value"] == 1 for change in compared["changes"])
    assert not compared["differences"]


@pytest.mark.usefixtures("ran")
def test_the_oracle_measures_every_candidate_cut_and_what_each_rule_chose(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    grid = ["--rates", "50mbit", "--rtts", "10ms", "--device-factor", "8", "--samples", "2", "--quick"]
    given = ["experiment", "oracle", "--network", pneumonia_bundle.path, "--images", CHESTS[0], *grid]
    done = command.run(*given, "--out", tmp_path, timeout_s=240)
    assert done.returncode == 0, done.stderr
    results = results_of(tmp_path)
    (point,) = results["points"]
    assert point["notes"]["exhaustive"] is True
    measured = {sample["cut"] for sample in results["samples"]}
    assert measured == {cut.id for cut in pneumonia_bundle.manifest.cuts if cut.candidate}
    assert set(point["notes"]["chosen"]) == {"plan", "neurosurgeon", "dads"}
    arms = {sample["arm"] for sample in results["samples"]}
    assert {"0 jpegls", "0 zstd", "last"} <= arms
    assert set(point["notes"]["chosen"].values()) <= arms
    assert all(point["notes"]["predicted"][arm]["total_s"] > 0 for arm in arms)
    if point["valid"]:
        named = {"regret_median", "regret_noise_median", "prediction_mape_median", "prediction_ape_p90"}
        assert named <= results["figures"].keys()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--rates", "fast"], "fast"),
        (["--rtts", "40"], "40"),
        (["--device-factor", "0.5"], "0.5"),
        (["--images", "no-such-folder"], "no-such-folder"),
        (["--images", __file__], "no image that can be read"),
        (["--budget", "soon"], "--budget"),
        (["--accuracy-budget", "half"], "--accuracy-budget"),
    ],
)
def test_wrong_settings_are_told_before_anything_starts(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path, more: list[str], named: str
) -> None:
    given = ["experiment", "baselines", "--network", pneumonia_bundle.path, "--out", tmp_path / "out", *more]
    done = command.run(*given)
    assert done.returncode == 2
    assert named in done.stderr


def test_an_unknown_experiment_is_wrong_usage(command: Command, tmp_path: Path) -> None:
    done = command.run("experiment", "nonsense", "--out", tmp_path)
    assert done.returncode == 2
    assert "baselines" in done.stderr


def test_where_namespaces_are_forbidden_it_says_how_to_allow_them(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    done = command.run_without_namespaces(*arguments(pneumonia_bundle, tmp_path), timeout_s=240)
    assert done.returncode == 3
    assert "namespaces" in done.stderr
    assert "Traceback" not in done.stderr
