"""`suture plan` under constraints and objectives: what it says in words, draws, lists and refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from suture.app import main
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.profile_file import save_profile
from suture_partitioner.types import CutTiming, Profile

SVG = "{http://www.w3.org/2000/svg}"
LINK = ("--bandwidth", "2mbit", "--rtt", "40ms")


def made_profile(bundle: Bundle, side: Any, variant_id: str, slow: float = 1.0) -> Profile:
    """Heads of a slow unit, or tails, by the cuts' arithmetic; codes at two widths."""
    cuts = [cut for cut in bundle.manifest.cuts if cut.candidate]
    work = max(cut.head_macs for cut in cuts)
    timings = {}
    for cut in cuts:
        specs = () if cut.id == LAST_CUT else ("zstd", "jpegls") if cut.id == INPUT_CUT else ("zstd", "zstd@6")
        sizes = {spec: max(cut.bytes_codes // (3 if spec == "zstd" else 4), 1) for spec in specs}
        macs = cut.head_macs if side == "edge" else cut.tail_macs
        timings[cut.id] = CutTiming(
            compute_s=slow * 0.6 * macs / work if side == "edge" else 0.02 * macs / work,
            compute_min_s=0.0,
            samples=9,
            codec_s=dict.fromkeys(specs, 0.002 if side == "edge" else 0.0005),
            payload_bytes=sizes if side == "edge" else {},
            memory_bytes=20_000_000 + 10 * cut.head_macs // 1000 if side == "edge" else 0,
        )
    return Profile(
        side=side,
        bundle_digest=bundle.digest,
        network=bundle.name,
        engine=variant_id.split("-")[0],
        variant_id=variant_id,
        device={},
        versions={},
        threads=1,
        device_factor=1.0,
        measured_at="",
        preprocess_s=0.005 if side == "edge" else 0.0,
        cuts=timings,
    )


@pytest.fixture(scope="module")
def given(pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command's first arguments: two engines and a cloud."""
    folder = tmp_path_factory.mktemp("profiles")
    profiles = {
        "fast.json": made_profile(pneumonia_bundle, "edge", "openvino-int8-vnni"),
        "slow.json": made_profile(pneumonia_bundle, "edge", "onnxruntime-int8-vnni", slow=1.5),
        "cloud.json": made_profile(pneumonia_bundle, "cloud", "torch"),
    }
    for name, profile in profiles.items():
        save_profile(profile, folder / name)
    edges = [part for name in ("fast.json", "slow.json") for part in ("--edge-profile", str(folder / name))]
    return ["plan", str(pneumonia_bundle.path), *edges, "--cloud-profile", str(folder / "cloud.json")]


def as_json(capsys: pytest.CaptureFixture[str], arguments: list[str], *more: str) -> dict[str, Any]:
    assert main([*arguments, *LINK, *more, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_explaining_groups_a_hundred_alternatives_into_a_few_lines(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rejected = as_json(capsys, given)["rejected"]
    assert len(rejected) > 40
    assert main([*given, *LINK, "--explain"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert 4 <= len(lines) <= 14
    assert "the fastest of" in lines[0]
    assert any("longer" in line for line in lines[1:])
    assert any("never measured" in line for line in lines), "the narrowed codes are told apart"
    assert any("engine" in line or "head takes longer" in line for line in lines)


def test_the_objective_changes_what_is_chosen_and_said(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    spared = as_json(capsys, given, "--objective", "cloud")
    assert (spared["objective"], spared["chosen"]["cut_id"], spared["chosen"]["cloud_s"]) == ("cloud", LAST_CUT, 0)
    thrifty = as_json(capsys, given, "--objective", "energy", "--power", "pi-4/wifi")
    joules = [choice["energy_j"] for choice in thrifty["rejected"] if not choice["broken"]]
    assert thrifty["chosen"]["energy_j"] <= min(joules)
    assert any("Pi Dramble" in note for note in thrifty["notes"])
    late = as_json(capsys, given, "--objective", "latency_quantile", "--spread", "30%")["chosen"]
    assert late["late_s"] >= late["steps"]["total_s"] or late["cut_id"] == LAST_CUT


def test_limits_are_kept_and_those_that_break_them_say_so(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    free = as_json(capsys, given, "--power", "pi-4")
    least = min(c["energy_j"] for c in (free["chosen"], *free["rejected"]) if not c["broken"])
    tight = as_json(capsys, given, "--power", "pi-4", "--energy", f"{least * 1.001}j", "--memory", "1gb")
    assert tight["chosen"]["energy_j"] <= least * 1.001
    over = [choice for choice in tight["rejected"] if "energy_j" in choice["broken"]]
    assert over
    assert all("J allowed" in choice["reason"] for choice in over)
    assert main([*given, *LINK, "--memory", "1kb", "--privacy-floor", LAST_CUT]) == 3
    said = capsys.readouterr().err
    assert "relax the privacy floor last to cut 0" in said
    assert "the memory of 1 KB to" in said


def test_the_front_is_listed_and_drawn(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], pneumonia_bundle: Bundle
) -> None:
    front = as_json(capsys, given, "--pareto", "--power", "pi-4")["pareto"]
    assert len(front) > 1
    assert front == sorted(front, key=lambda choice: choice["steps"]["total_s"])
    drawing = tmp_path / "plan.svg"
    assert main([*given, *LINK, "--pareto", "--power", "pi-4", "--plot", str(drawing)]) == 0
    out, err = capsys.readouterr()
    assert "Pareto front" in out
    assert str(drawing) in err
    root = ElementTree.parse(drawing).getroot()
    assert root.tag == f"{SVG}svg"
    words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert pneumonia_bundle.name in words
    assert "Pareto front" in words
    assert "energy of the unit" in words
    assert len(list(root.iter(f"{SVG}circle"))) >= len(front)


def test_the_drawing_shows_every_cut_the_best_and_where_it_changes(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], pneumonia_bundle: Bundle
) -> None:
    drawing = tmp_path / "plan.svg"
    assert main([*given, *LINK, "--plot", str(drawing)]) == 0
    changes = [c["bandwidth_bps"] for c in as_json(capsys_cleared(capsys), given)["crossovers"]]
    shown = [bps for bps in changes if 0.1e6 < bps < 1000e6]
    assert shown
    root = ElementTree.parse(drawing).getroot()
    assert len(list(root.iter(f"{SVG}circle"))) == len(shown)
    curves = [path for path in root.iter(f"{SVG}path") if path.get("stroke-opacity")]
    candidates = [cut for cut in pneumonia_bundle.manifest.cuts if cut.candidate]
    assert 3 <= len(curves) <= len(candidates) + 1


def capsys_cleared(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    capsys.readouterr()
    return capsys


def test_help_shows_examples_of_every_new_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--objective", "--memory", "--energy", "--accuracy-budget", "--power", "--pareto", "--plot"):
        assert option in text
    assert "Examples" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--objective", "speed"), "--objective speed: no such objective; there are: latency"),
        (("--objective", "energy"), "--objective energy takes the unit's power: add --power DEVICE"),
        (("--energy", "2j"), "--energy takes the unit's power: add --power DEVICE"),
        (("--energy", "lots", "--power", "pi-4"), "--energy: 'lots': an energy is written in joules"),
        (("--power", "toaster"), "--power toaster: no published power figures of a board 'toaster'; there are: "),
        (("--memory", "much"), "--memory: 'much': a size is written in bytes"),
        (("--accuracy-budget", "1"), "--accuracy-budget: '1': a share is written in percent"),
        (("--spread", "wide"), "--spread: 'wide': a share is written in percent"),
        (("--plot", "plan.png"), "--plot plan.png: drawings are SVG"),
        (("--plot", "/nowhere/plan.svg"), "--plot /nowhere/plan.svg: no file can be written there"),
        (("--codec", "zstd@9"), "--codec zstd@9: no such codec"),
    ],
)
def test_wrong_options_are_one_line_that_names_them(
    given: list[str], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert main([*given, *LINK, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_profile_without_memory_is_allowed_and_said(
    given: list[str], pneumonia_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = made_profile(pneumonia_bundle, "edge", "openvino-int8-vnni")
    cuts = {cut_id: dataclasses.replace(timing, memory_bytes=0) for cut_id, timing in unknown.cuts.items()}
    save_profile(dataclasses.replace(unknown, cuts=cuts), tmp_path / "unknown.json")
    arguments = ["plan", str(pneumonia_bundle.path), "--edge-profile", str(tmp_path / "unknown.json")]
    found = as_json(capsys, arguments, "--memory", "1kb")
    assert found["chosen"]["cut_id"] == LAST_CUT
    assert any("was not measured" in note for note in found["notes"])
