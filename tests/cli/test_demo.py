"""`suture demo` as a whole: real processes, an emulated link, what it writes, and how it ends when something fails."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from suture.demo.advice import advise
from suture.demo.words import winner_of
from suture_models.bundle import Bundle
from suture_models.manifest import Manifest
from suture_partitioner.plan import Planner
from suture_partitioner.types import CutTiming, LinkEstimate, Profile, Side
from tests.cli.conftest import manifest
from tests.processes import DEMO, Command, until

CHILD = DEMO / "CR_chest_child_pneumonia_2.dcm"
WAYS = {"split", "dicom_upload", "image_upload", "jpeg_upload", "edge_only"}


@pytest.fixture(scope="session")
def bundles(pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the demonstration keeps it, with the session's bundle in it."""
    folder = tmp_path_factory.mktemp("demo-bundles")
    (folder / pneumonia_bundle.name).symlink_to(pneumonia_bundle.path)
    return folder


@pytest.fixture(scope="session")
def quick(command: Command, bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a quick run wrote."""
    out = tmp_path_factory.mktemp("demo")
    done = command.run(*arguments(bundles, out), timeout_s=300)
    assert done.returncode == 0, done.stderr
    (out / "stdout.txt").write_text(done.stdout, encoding="utf-8")
    return out


def arguments(bundles: Path, out: Path, study: Path = CHILD) -> list[object]:
    return ["demo", "--quick", "--study", study, "--bundles", bundles, "--out", out]


def results_of(out: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return results


def test_results_hold_every_way_with_its_samples(quick: Path) -> None:
    results = results_of(quick)
    assert len(results["links"]) == 1
    for entry in results["links"]:
        assert entry["rate_bps"] == 20e6
        assert entry["rtt_s"] == 0.04
        assert isinstance(entry["link_emulated"], bool)
        assert isinstance(entry["payload_bytes"], int)
        assert entry["times_s"].keys() == WAYS
        assert all(time_s > 0 for time_s in entry["times_s"].values())
        assert all(len(entry["samples"][way]) == 2 for way in WAYS)
        assert entry["plan"]["rejected"]
        assert entry["predicted_s"] > 0
    assert all(isinstance(number, int | float) for number in results["figures"].values())
    for name in ("configuration", "versions", "device", "calibration", "link_reports", "seed", "date", "kernel"):
        assert results[name], name
    assert results["congestion_control"]


def test_the_finding_is_given_with_its_probability_and_held_against_the_record(quick: Path) -> None:
    (entry,) = results_of(quick)["links"]
    assert entry["outputs"]["pneumonia"] > 0.9
    assert entry["finding"]["right"] is True
    assert "pneumonia" in (quick / "stdout.txt").read_text(encoding="utf-8")


def test_all_ways_agree_on_the_finding(quick: Path) -> None:
    (entry,) = results_of(quick)["links"]
    assert all(outputs["pneumonia"] > 0.9 for outputs in entry["outputs_by_way"].values())


def test_a_way_over_the_link_takes_at_least_its_round_trip_and_its_bits(quick: Path) -> None:
    (entry,) = results_of(quick)["links"]
    if not entry["link_emulated"]:
        pytest.skip("this machine cannot emulate links")
    for way in ("dicom_upload", "image_upload", "jpeg_upload"):
        assert min(entry["samples"][way]) > entry["rtt_s"] + 8 * entry["payloads_bytes"][way] / entry["rate_bps"]


def test_the_report_needs_nothing_from_outside(quick: Path) -> None:
    page = (quick / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert 'src="data:image/png;base64,' in page
    named = re.findall(r"""(?:src|href|srcset|action|poster)\s*=\s*["']?([^"'>]*)""", page)
    assert named
    assert all(address.startswith("data:") for address in named)
    assert not re.search(r"url\(|@import|<link|<script|<iframe|<object", page)


def test_the_report_says_what_is_emulated_and_that_it_is_not_for_diagnosis(quick: Path) -> None:
    page = (quick / "report.html").read_text(encoding="utf-8")
    assert "Not for diagnosis" in page
    assert "emulated Raspberry Pi 4" in page
    assert "best middle cut" in page


def test_without_namespaces_it_runs_on_loopback_and_says_so(command: Command, bundles: Path, tmp_path: Path) -> None:
    done = command.run_without_namespaces(*arguments(bundles, tmp_path), timeout_s=300)
    assert done.returncode == 0, done.stderr
    assert "NOT EMULATED" in done.stderr
    assert "NOT EMULATED" in done.stdout
    results = results_of(tmp_path)
    assert [entry["link_emulated"] for entry in results["links"]] == [False]
    assert "not emulated" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process(
    command: Command, bundles: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with command.started(*arguments(bundles, tmp_path)) as process:
        parent = psutil.Process(process.pid)
        until(lambda: running(parent, "suture.demo.unit"), 120)
        family = parent.children(recursive=True)
        process.send_signal(number)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_a_cloud_that_dies_is_an_error_in_one_line(command: Command, bundles: Path, tmp_path: Path) -> None:
    with command.started(*arguments(bundles, tmp_path)) as process:
        parent = psutil.Process(process.pid)
        until(lambda: running(parent, "suture.demo.unit"), 120)
        running(parent, "suture_simulators.experiments.child")[0].kill()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "the cloud process ended with status -9" in said
    assert "Traceback" not in said


def running(parent: psutil.Process, module: str) -> list[psutil.Process]:
    found = []
    for child in parent.children(recursive=True):
        try:
            if module in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_missing_study_is_wrong_usage(command: Command, bundles: Path, tmp_path: Path) -> None:
    done = command.run(*arguments(bundles, tmp_path, tmp_path / "none.dcm"))
    assert done.returncode == 2
    assert "none.dcm" in done.stderr


def test_an_unreadable_study_is_refused_before_anything_starts(command: Command, bundles: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(CHILD.read_bytes()[:4000])
    done = command.run(*arguments(bundles, tmp_path, broken))
    assert done.returncode == 1
    assert "broken.dcm" in done.stderr


@pytest.mark.parametrize(
    ("times_s", "cut", "winner"),
    [
        ({"split": 1.0, "edge_only": 2.0}, "conv", "split"),
        ({"split": 1.0, "edge_only": 1.1, "image_upload": 3.0}, "last", "edge_only"),
        ({"split": 1.0, "edge_only": 1.1, "image_upload": 3.0}, "0", "image_upload"),
        ({"split": 2.0, "jpeg_upload": 1.0}, "conv", "jpeg_upload"),
    ],
)
def test_a_split_that_is_no_split_does_not_win_as_one(times_s: dict[str, float], cut: str, winner: str) -> None:
    assert winner_of(times_s, cut) == winner


def profile(side: Side, times_s: dict[str, float], sizes: dict[str, int], factor: float = 1.0) -> Profile:
    """Times in seconds at factor 1 by cut; on the edge they are scaled, as an emulated device would."""
    cuts = {
        cut: CutTiming(
            compute_s=time_s * factor,
            compute_min_s=time_s * factor,
            samples=9,
            codec_s={"zstd": 0.0} if cut in sizes else {},
            payload_bytes={"zstd": sizes[cut]} if cut in sizes and side == "edge" else {},
        )
        for cut, time_s in times_s.items()
    }
    return Profile(
        side=side,
        bundle_digest="d" * 64,
        network="tiny",
        engine="any",
        variant_id="openvino-int8-vnni",
        device={},
        versions={},
        threads=1,
        device_factor=factor,
        measured_at="",
        preprocess_s=0.0,
        cuts=cuts,
    )


SIZES = {"0": 20_000, "mean": 2_000}
HEADS_S = {"0": 0.0, "mean": 0.001, "last": 0.02}
TAILS_S = {"0": 0.02, "mean": 0.001, "last": 0.0}


def middle_wins(described: Manifest, factor: float, rate_bps: float) -> bool:
    planner = Planner(described, [profile("edge", HEADS_S, SIZES, factor)], profile("cloud", TAILS_S, SIZES))
    return planner.choose(LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.04)).cut_id == "mean"


def test_the_device_factor_from_which_a_middle_cut_wins_is_where_the_planner_changes_its_mind() -> None:
    described = manifest("random")
    edge, cloud = profile("edge", HEADS_S, SIZES, 16.0), profile("cloud", TAILS_S, SIZES)
    found = advise(described, edge, cloud, factor=16.0, rtt_s=0.04, rates_bps=(2e6,), jpeg_bytes=20_000)
    ((rate_bps, first),) = found[0].factor_by_rate
    assert first is not None
    assert middle_wins(described, first * 1.01, rate_bps)
    assert not middle_wins(described, first / 1.05, rate_bps)


def test_a_middle_cut_that_never_pays_is_said_to_win_nowhere() -> None:
    heads_s = {"0": 0.0, "mean": 0.02, "last": 0.02}
    edge, cloud = profile("edge", heads_s, SIZES), profile("cloud", TAILS_S, SIZES)
    found = advise(manifest("random"), edge, cloud, factor=1.0, rtt_s=0.04, rates_bps=(2e6,), jpeg_bytes=1_000)
    assert found[0].least is None
    assert found[0].rates_bps is None
    assert found[0].factor_by_rate == ((2e6, None),)
