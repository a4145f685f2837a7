"""`suture inspect` on a real manifest: the JSON contract and the tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from suture.app import main


def described(bundle: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["inspect", str(bundle), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    return json.loads(out)


def test_json_names_the_network_its_digest_and_where_its_weights_come_from(bundle_with, capsys) -> None:
    bundle = bundle_with("random")
    shown = described(bundle, capsys)
    assert (shown["network"], shown["weights"]) == ("tiny", "random")
    assert shown["digest"] == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_json_lists_every_cut_with_what_crosses_it(bundle_with, capsys) -> None:
    cuts = {cut["id"]: cut for cut in described(bundle_with("trained"), capsys)["cuts"]}
    assert list(cuts) == ["0", "conv2d", "mean", "last"]
    assert cuts["mean"] == {
        "id": "mean",
        "index": 3,
        "boundary": [{"name": "mean", "shape": [1, 4], "dtype": "float32", "quantised": True}],
        "bytes_float32": 16,
        "bytes_codes": 4,
        "candidate": True,
    }
    assert cuts["0"]["boundary"][0]["quantised"] is False
    assert cuts["0"]["bytes_float32"] == cuts["0"]["bytes_codes"] == 64
    assert cuts["conv2d"]["candidate"] is False


def test_json_says_which_cuts_each_artefact_can_run(bundle_with, capsys) -> None:
    artefacts = {a["id"]: a for a in described(bundle_with("trained"), capsys)["artefacts"]}
    openvino, litert = artefacts["openvino-int8-vnni"], artefacts["litert-int8"]
    assert (openvino["engine"], openvino["precision"], openvino["processor"]) == ("openvino", "int8", "vnni")
    assert openvino["bytes"] == 1000
    assert [f["role"] for f in openvino["files"]] == ["model", "weights"]
    assert openvino["cuts"] == ["0", "conv2d", "mean", "last"]
    assert litert["cuts"] == ["0", "last"]


def test_the_table_leaves_out_cuts_that_no_plan_would_choose_unless_asked(bundle_with, capsys) -> None:
    bundle = bundle_with("trained")
    assert main(["inspect", str(bundle)]) == 0
    brief = capsys.readouterr().out
    assert "1 more cuts can be forced" in brief
    assert "float32 1×4×8×8" not in brief
    assert main(["inspect", str(bundle), "--all"]) == 0
    assert "float32 1×4×8×8" in capsys.readouterr().out


def test_the_table_shows_processor_classes_and_partial_artefacts(bundle_with, capsys) -> None:
    assert main(["inspect", str(bundle_with("trained"))]) == 0
    shown = capsys.readouterr().out
    assert "vnni" in shown
    assert "2 of 4" in shown


def test_the_table_shows_the_size_of_codec_tables_or_that_there_are_none(bundle_with, tiny_bundle, capsys) -> None:
    assert main(["inspect", str(bundle_with("trained"))]) == 0
    without = [line for line in capsys.readouterr().out.splitlines() if "openvino-int8" in line]
    assert main(["inspect", str(tiny_bundle.path)]) == 0
    known = [line for line in capsys.readouterr().out.splitlines() if "onnxruntime-int8" in line]
    assert without
    assert known
    assert all("none" in line for line in without)
    assert not any("none" in line for line in known)


def test_random_weights_are_marked_where_people_read(bundle_with, capsys) -> None:
    assert main(["inspect", str(bundle_with("random"))]) == 0
    assert "random: its findings mean nothing" in capsys.readouterr().out


def test_a_directory_that_is_no_bundle_could_not_run(tmp_path: Path, capsys) -> None:
    assert main(["inspect", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"suture: {tmp_path} is not a bundle")
    assert err.count("\n") == 1


def test_a_forgotten_bundle_is_wrong_usage(capsys) -> None:
    assert main(["inspect"]) == 2
