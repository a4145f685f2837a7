"""`suture profile` and `suture plan` on a real bundle: files that round-trip, plans that say why, one-line mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from suture.app import main
from suture_models.bundle import Bundle
from suture_partitioner.profile_file import load_profile, profile_to_json
from suture_partitioner.types import Profile
from tests.processes import Command, another_build

STEPS = {f"{step}_s" for step in ("preprocess", "head", "encode", "transfer", "queue", "decode", "tail", "total")}
BUDGET_S = "4"
SLOW = "200"


@pytest.fixture(scope="module")
def profiles(command: Command, pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both sides as `suture profile` measures them, and a far slower unit."""
    folder = tmp_path_factory.mktemp("profiles")
    made = {name: folder / f"{name}.json" for name in ("edge", "slow", "cloud")}
    plot = ("--plot", folder / "edge.svg")
    settings = {"edge": plot, "slow": ("--device-factor", SLOW), "cloud": ("--engine", "torch")}
    for name, path in made.items():
        done = command.run("profile", pneumonia_bundle.path, "--budget", BUDGET_S, "--out", path, *settings[name])
        assert done.returncode == 0, done.stderr
        assert "pneumonia_mobilenet_v2" in done.stdout
        assert (f"emulated {SLOW} times slower" in done.stdout) == (name == "slow")
    return made


def options(profiles: dict[str, Path], edge: str = "edge", cloud: str | None = "cloud") -> list[str]:
    found = ["--edge-profile", str(profiles[edge])]
    return found if cloud is None else [*found, "--cloud-profile", str(profiles[cloud])]


def planned(capsys: pytest.CaptureFixture[str], bundle: Bundle, *arguments: str) -> dict[str, Any]:
    assert main(["plan", str(bundle.path), *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("name", ["edge", "slow", "cloud"])
def test_a_profile_reads_back_as_it_was_written(profiles: dict[str, Path], pneumonia_bundle: Bundle, name: str) -> None:
    profile: Profile = load_profile(profiles[name])
    assert profile_to_json(profile) + "\n" == profiles[name].read_text(encoding="utf-8")
    assert profile.bundle_digest == pneumonia_bundle.digest
    assert profile.side == ("cloud" if name == "cloud" else "edge")
    assert profile.device_factor == (float(SLOW) if name == "slow" else 1)
    candidates = {cut.id for cut in pneumonia_bundle.manifest.cuts if cut.candidate}
    assert set(profile.cuts) == candidates
    assert all(profile.cuts[cut].samples > 0 for cut in ("0", "last"))
    assert profile.layers_s
    assert all(timing.payload_quantiles_bytes for cut, timing in profile.cuts.items() if cut != "last")


def test_a_profile_is_drawn_where_asked_for(profiles: dict[str, Path]) -> None:
    drawn = profiles["edge"].with_suffix(".svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg ")
    assert "pneumonia_mobilenet_v2, openvino-int8" in drawn


def test_a_plan_names_the_chosen_cut_its_steps_and_why_each_other_lost(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(capsys, pneumonia_bundle, *options(profiles), "--bandwidth", "20mbit", "--rtt", "40ms")
    assert (plan["network"], plan["bundle"], plan["weights"]) == (
        "pneumonia_mobilenet_v2",
        pneumonia_bundle.digest,
        "trained",
    )
    assert plan["link"]["bandwidth_bps"] == 20e6
    chosen, rejected = plan["chosen"], plan["rejected"]
    assert chosen["cut_id"] == "last", "a fast unit needs no cloud for so small a network"
    assert set(chosen["steps"]) == STEPS
    assert chosen["steps"]["total_s"] == pytest.approx(sum(v for k, v in chosen["steps"].items() if k != "total_s"))
    totals = [choice["steps"]["total_s"] for choice in rejected if "floor" not in choice["reason"]]
    assert chosen["steps"]["total_s"] <= min(totals)
    assert all(choice["reason"] for choice in rejected)
    assert "round trip" in next(c["reason"] for c in rejected if c["cut_id"] == "0")


def test_a_slow_unit_on_a_fast_link_sends_and_keeps_to_the_privacy_floor(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*options(profiles, "slow"), "--bandwidth", "200mbit", "--rtt", "1ms")
    assert planned(capsys, pneumonia_bundle, *given)["chosen"]["cut_id"] == "0"
    floor = next(cut for cut in pneumonia_bundle.manifest.cuts if cut.candidate and cut.index > 30)
    plan = planned(capsys, pneumonia_bundle, *given, "--privacy-floor", floor.id)
    assert pneumonia_bundle.manifest.cut(plan["chosen"]["cut_id"]).index >= floor.index
    shallower = [c for c in plan["rejected"] if pneumonia_bundle.manifest.cut(c["cut_id"]).index < floor.index]
    assert shallower
    assert all(floor.id in choice["reason"] for choice in shallower)


def test_an_allowed_codec_is_the_only_one_used(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*options(profiles, "slow"), "--bandwidth", "200mbit", "--rtt", "1ms", "--codec", "zstd")
    assert planned(capsys, pneumonia_bundle, *given)["chosen"]["codec"] == "zstd"


def test_without_a_cloud_all_runs_on_the_edge(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*options(profiles, cloud=None), "--bandwidth", "20mbit", "--rtt", "40ms")
    assert planned(capsys, pneumonia_bundle, *given)["chosen"]["cut_id"] == "last"


def test_people_get_a_table_with_reasons_and_where_the_choice_changes(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*options(profiles, "slow"), "--bandwidth", "20mbit", "--rtt", "40ms"]
    assert main(["plan", str(pneumonia_bundle.path), *given]) == 0
    shown = capsys.readouterr().out
    assert "chosen" in shown
    assert "slower" in shown or "sends" in shown
    assert "the choice changes at" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--bandwidth", "fast", "--rtt", "40ms"), 2, "--bandwidth: "),
        (("--bandwidth", "0mbit", "--rtt", "40ms"), 2, "--bandwidth"),
        (("--bandwidth", "20mbit", "--rtt", "40"), 2, "--rtt: "),
        (("--bandwidth", "20mbit", "--rtt", "40ms", "--privacy-floor", "nowhere"), 2, "no cut 'nowhere'"),
        (("--bandwidth", "20mbit", "--rtt", "40ms", "--codec", "gif"), 2, "--codec gif"),
        (("--bandwidth", "20mbit", "--rtt", "40ms", "--deadline", "1us"), 3, "relax the deadline"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    profiles: dict[str, Path],
    pneumonia_bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    assert main(["plan", str(pneumonia_bundle.path), *options(profiles), *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_profiles_that_do_not_belong_together_are_named(
    profiles: dict[str, Path], pneumonia_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = ["--bandwidth", "20mbit", "--rtt", "40ms"]
    other = another_build(pneumonia_bundle, tmp_path / "other")
    assert main(["plan", str(other.path), *options(profiles), *link]) == 2
    said = capsys.readouterr().err
    assert pneumonia_bundle.digest[:12] in said
    assert other.digest[:12] in said
    assert main(["plan", str(pneumonia_bundle.path), *options(profiles, "cloud", "edge"), *link]) == 3
    assert "swap the two files" in capsys.readouterr().err
    (tmp_path / "no.json").write_text("{}", encoding="utf-8")
    assert main(["plan", str(other.path), "--edge-profile", str(tmp_path / "no.json"), *link]) == 2
    assert "not a profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--out", "FOLDER"), 2, "is a folder; name a file"),
        (("--out", "FOLDER/p.json", "--plot", "FOLDER/p.png"), 2, "drawings are SVG"),
        (("--out", "/proc/none/edge.json"), 2, "the folder cannot be made"),
        (("--out", "FOLDER/p.json", "--engine", "abacus"), 2, "unknown engine"),
        (("--out", "FOLDER/p.json", "--engine", "torch", "--device-factor", "8"), 2, "the tails (--engine torch)"),
        (("--out", "FOLDER/p.json", "--images", "FOLDER"), 2, "--images FOLDER: no file there"),
        (("--out", "FOLDER/p.json", "--device", "abacus", "--engine", "torch"), 2, "choose auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_profiled_is_told_before_measuring(
    pneumonia_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    given = [part.replace("FOLDER", str(tmp_path)) for part in arguments]
    assert main(["profile", str(pneumonia_bundle.path), *given]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message.replace("FOLDER", str(tmp_path)) in err
    assert err.count("\n") == 1
