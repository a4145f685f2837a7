"""`suture infer` as a process, against a cloud as a process: findings, JSON contract, refusals, bad links, usage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pydicom
import pytest

from suture.app import main
from suture_models.bundle import Bundle
from suture_protocol.version import VERSION_MAX
from tests.cloud.harness import RunningCloud
from tests.processes import CHESTS, CloudProcess, Command, another_build, middle_cut, running_cloud

FIELDS = {"path", "sop_instance_uid", "bundle", "cut", "engine", "codec", "payload_bytes", "outputs", "timings_s"}
FIELDS |= {"where", "error", "weights", "note"}
STEPS = ("preprocess", "head", "encode", "transfer", "queue", "decode", "tail")
UIDS = ("2.25.147035973766911001383346356495023638376", "2.25.198792196464753136246008820306631628674")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def by_cut(command: Command, pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess) -> dict[str, Rows]:
    """Three radiographs at four ways to cut."""
    given = ("--bundle", pneumonia_bundle.path, "--cloud", pneumonia_cloud.address, "--insecure")
    cuts = ("0", middle_cut(pneumonia_bundle), "last", "auto")
    return {cut: command.rows("infer", *CHESTS, *given, "--cut", cut) for cut in cuts}


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_every_cut_gives_the_same_finding(by_cut: dict[str, Rows]) -> None:
    for image, ill in enumerate((True, True, False)):
        found = [rows[image]["outputs"]["pneumonia"] for rows in by_cut.values()]
        assert {p > 0.5 for p in found} == {ill}
        assert max(found) - min(found) < 0.15, found


def test_a_forced_cut_is_where_it_was_cut(by_cut: dict[str, Rows], pneumonia_bundle: Bundle) -> None:
    for cut in ("0", middle_cut(pneumonia_bundle)):
        assert {(row["cut"], row["where"]) for row in by_cut[cut]} == {(cut, "cloud")}
        assert all(row["payload_bytes"] > 0 and row["codec"] for row in by_cut[cut])
    assert {(r["cut"], r["where"], r["payload_bytes"], r["codec"]) for r in by_cut["last"]} == {("last", "edge", 0, "")}


def test_each_row_keeps_the_json_contract(by_cut: dict[str, Rows], pneumonia_bundle: Bundle) -> None:
    for rows in by_cut.values():
        assert [row["path"] for row in rows] == [str(path) for path in CHESTS]
        assert tuple(row["sop_instance_uid"] for row in rows[:2]) == UIDS
        for row in rows:
            assert set(row) == FIELDS
            assert (row["bundle"], row["engine"], row["weights"]) == (pneumonia_bundle.digest, "openvino", "trained")
            assert (row["error"], row["note"]) == ("", "")
            assert set(row["outputs"]) == {"normal", "pneumonia"}
            assert sum(row["outputs"].values()) == pytest.approx(1)
            took = row["timings_s"]
            assert set(took) == {*STEPS, "total"}
            assert took["total"] == pytest.approx(sum(took[step] for step in STEPS))
            assert took["preprocess"] > 0


def test_where_the_time_went_fits_the_cut(by_cut: dict[str, Rows], pneumonia_bundle: Bundle) -> None:
    middle = by_cut[middle_cut(pneumonia_bundle)][-1]["timings_s"]
    assert min(middle[step] for step in ("head", "encode", "transfer", "decode", "tail")) > 0
    last = by_cut["last"][-1]["timings_s"]
    assert last["head"] > 0
    assert last["transfer"] == last["tail"] == 0


def test_a_study_of_slices_has_a_result_for_each_and_one_for_all(
    command: Command, pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess, tmp_path: Path
) -> None:
    for number, chest in enumerate(CHESTS):
        instance = pydicom.dcmread(chest)
        instance.StudyInstanceUID = "2.25.77"
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = f"2.25.77.{number}"
        instance.save_as(tmp_path / f"{number}.dcm")
    shutil.copy(CHESTS[0], tmp_path / "z_of_another_study.dcm")
    given = ("--bundle", pneumonia_bundle.path, "--cloud", pneumonia_cloud.address, "--insecure", "--in-flight", "8")
    *rows, study = command.rows("infer", tmp_path, *given, "--cut", middle_cut(pneumonia_bundle))
    assert [Path(row["path"]).name for row in rows] == [path.name for path in sorted(tmp_path.iterdir())]
    assert all(set(row) == FIELDS and row["where"] == "cloud" for row in rows)
    slices = rows[:3]
    worst = max(slices, key=lambda row: row["outputs"]["pneumonia"])
    assert (study["study"], study["instances"], study["failed"]) == ("2.25.77", 3, 0)
    assert study["bundle"] == pneumonia_bundle.digest
    assert study["outputs"]["pneumonia"] == {
        "highest": worst["outputs"]["pneumonia"],
        "mean": pytest.approx(sum(row["outputs"]["pneumonia"] for row in slices) / 3),
        "path": worst["path"],
        "sop_instance_uid": worst["sop_instance_uid"],
    }
    said = command.run("infer", tmp_path, "--bundle", pneumonia_bundle.path, "--cut", "last").stdout.splitlines()
    assert said[-1].startswith("study 2.25.77: 3 images; ")


def test_a_directory_with_bad_files_names_each_with_its_reason_and_does_the_others(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copy(CHESTS[0], tmp_path / "a_good.dcm")
    (tmp_path / "b_text.dcm").write_text("not an image", encoding="utf-8")
    (tmp_path / "c_empty.png").touch()
    (tmp_path / "d_cut_short.dcm").write_bytes(CHESTS[1].read_bytes()[:3000])
    shutil.copy(CHESTS[2], tmp_path / "e_good_without_ending")
    given = ("infer", tmp_path, tmp_path / "absent.dcm", "--bundle", pneumonia_bundle.path, "--cut", "last")
    rows = {Path(row["path"]).name: row for row in command.rows(*given, status=1)}
    assert list(rows) == [*sorted(path.name for path in tmp_path.iterdir()), "absent.dcm"]
    assert {name for name, row in rows.items() if not row["error"]} == {"a_good.dcm", "e_good_without_ending"}
    assert "text" in rows["b_text.dcm"]["error"]
    assert "empty" in rows["c_empty.png"]["error"]
    assert "No such file" in rows["absent.dcm"]["error"]
    assert all(row["error"] or row["outputs"] for row in rows.values())


def test_people_get_findings_on_stdout_and_refusals_on_stderr(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "bad.dcm").write_text("not an image", encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = command.run("infer", CHESTS[0], tmp_path / "bad.dcm", empty, "--bundle", pneumonia_bundle.path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{CHESTS[0]}  pneumonia ")
    assert done.stdout.count("\n") == 1
    bad, holds_nothing = done.stderr.splitlines()
    assert bad.startswith(f"suture: {tmp_path / 'bad.dcm'}: is neither DICOM")
    assert holds_nothing == f"suture: {empty}: holds no file to read"


def test_without_a_cloud_in_reach_the_unit_finishes_alone_says_so_and_waits_once(
    command: Command, pneumonia_bundle: Bundle, nobody: str
) -> None:
    given = ("--bundle", pneumonia_bundle.path, "--cloud", nobody, "--insecure")
    rows = command.rows("infer", *CHESTS, *given)
    assert {(row["where"], row["cut"], row["error"]) for row in rows} == {("edge", "last", "")}
    assert all(nobody in row["note"] and "suture cloud" in row["note"] for row in rows)
    assert rows[0]["timings_s"]["transfer"] > 1, "the time lost on the link is part of the time to result"
    assert all(row["timings_s"]["transfer"] < 0.1 for row in rows[1:])


@pytest.mark.parametrize("cut", ["auto", "0"])
def test_a_bundle_that_the_cloud_lacks_is_named_with_what_each_side_has(
    command: Command, pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess, tmp_path: Path, cut: str
) -> None:
    ours = another_build(pneumonia_bundle, tmp_path / "other")
    given = ("--bundle", ours.path, "--cloud", pneumonia_cloud.address, "--insecure", "--cut", cut)
    (row,) = command.rows("infer", CHESTS[0], *given)
    assert row["where"] == "edge"
    assert f"the edge has bundle {ours.digest[:12]}" in row["note"]
    assert f"the cloud has pneumonia_mobilenet_v2 {pneumonia_bundle.digest[:12]}" in row["note"]


def test_a_cloud_of_another_protocol_version_is_named_with_what_each_side_speaks(
    command: Command, pneumonia_bundle: Bundle
) -> None:
    theirs = VERSION_MAX + 7
    with RunningCloud(pneumonia_bundle, versions=(theirs, theirs)) as cloud:
        given = ("--bundle", pneumonia_bundle.path, "--cloud", cloud.address, "--insecure", "--cut", "0")
        done = command.run("infer", CHESTS[0], *given)
    assert done.returncode == 0
    assert "finished on the edge" in done.stdout
    assert str(theirs) in done.stderr
    assert str(VERSION_MAX) in done.stderr.replace(str(theirs), "")


def test_ctrl_c_ends_at_once_without_a_traceback(
    command: Command, pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess, tmp_path: Path
) -> None:
    for number in range(3000):
        os.link(shutil.copy(CHESTS[0], tmp_path / "0000") if not number else tmp_path / "0000", tmp_path / f"n{number}")
    given = ("--bundle", pneumonia_bundle.path, "--cloud", pneumonia_cloud.address, "--insecure", "--cut", "0")
    with command.started("infer", tmp_path, *given, "--json") as process:
        assert json.loads(process.stdout.readline())["where"] == "cloud"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "suture: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--cut", "nowhere"), 2, "no cut 'nowhere'; `suture inspect"),
        (("--cut", "0"), 2, "cut 0 needs a cloud"),
        (("--engine", "abacus"), 2, "unknown engine 'abacus'; there are: openvino"),
        (("--engine", "litert"), 3, "no int8 artefact for litert"),
        (("--precision", "int4"), 2, "choose int8 or f32"),
        (("--codec", "gif"), 2, "unknown codec 'gif'; there are: raw"),
        (("--privacy-floor", "nowhere"), 2, "no cut 'nowhere'"),
        (("--cloud", "127.0.0.1:7000"), 2, "add --insecure"),
        (("--cloud", "10.0.0.1:7000", "--insecure"), 2, "patient data"),
        (("--cloud", "seven", "--insecure"), 2, "write HOST:PORT"),
        (("--cloud", "127.0.0.1:1", "--insecure", "--cut", "0", "--privacy-floor", "last"), 2, "shallower than"),
        (("--cloud", "127.0.0.1:1", "--insecure", "--cut", "MIDDLE", "--codec", "jpegls"), 2, "zstd and raw carry any"),
        (("--cloud", "127.0.0.1:1", "--insecure", "--codec", "raw"), 2, "force a cut as well"),
        (("--device-factor", "0.5"), 2, "1 to 10000"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_first_image(
    pneumonia_bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    given = [middle_cut(pneumonia_bundle) if part == "MIDDLE" else part for part in arguments]
    assert main(["infer", str(CHESTS[0]), "--bundle", str(pneumonia_bundle.path), *given]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_that_is_no_bundle_could_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", str(CHESTS[0]), "--bundle", str(tmp_path)]) == 3
    assert "is not a bundle" in capsys.readouterr().err


def test_a_cloud_with_two_bundles_serves_the_second_as_well(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    other = another_build(pneumonia_bundle, tmp_path / "other")
    with running_cloud(command, tmp_path, pneumonia_bundle, other) as cloud:
        given = ("--bundle", other.path, "--cloud", cloud.address, "--insecure", "--cut", middle_cut(other))
        (row,) = command.rows("infer", CHESTS[0], *given)
    assert (row["where"], row["bundle"], row["note"]) == ("cloud", other.digest, "")
