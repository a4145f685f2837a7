"""`suture annotate`: narrower codes measured through real heads, codec and tails, and what `inspect` then says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from suture.app import main
from suture_models.accuracy import ANNOTATIONS_NAME, WIDTHS, read_accuracy
from suture_models.bundle import Bundle, open_bundle
from suture_models.calibration import Calibration

annotating = pytest.importorskip("suture.annotating", reason="needs torch: pip install 'suture[build]'")


@pytest.fixture
def copied(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    shutil.copytree(tiny_bundle.path, path, ignore=shutil.ignore_patterns(ANNOTATIONS_NAME))
    return path


def drawn(count: int) -> Calibration:
    from tests.nets import images

    return Calibration(inputs=tuple(images(count, seed=1)), origin="drawn")


def test_every_candidate_cut_whose_boundary_is_codes_is_measured_at_every_width(tiny_bundle: Bundle) -> None:
    seen: list[tuple[int, int]] = []
    found = annotating.annotate(tiny_bundle, drawn(12), progress=lambda done, total, _: seen.append((done, total)))
    variant = tiny_bundle.variant(found.variant_id)
    assert set(found.cuts) == {cut.id for cut in annotating.narrowable(tiny_bundle, variant)} != set()
    assert not {"0", "last"} & set(found.cuts)
    assert (found.inputs, found.origin, found.bundle_digest) == (12, "drawn", tiny_bundle.digest)
    assert set(found.versions) == {"suture", "torch", variant.engine}
    assert seen == [(done, len(found.cuts)) for done in range(len(found.cuts) + 1)]
    for losses in found.cuts.values():
        assert list(losses) == list(WIDTHS[: len(losses)])
        shares = [loss.changed_share for loss in losses.values()]
        assert all(share is not None and share <= annotating.HOPELESS_SHARE for share in shares[:-1])
        assert len(losses) == len(WIDTHS) or shares[-1] > annotating.HOPELESS_SHARE
        assert 0 < losses[6].output_error < 0.5
        sizes = [loss.payload_bytes for loss in losses.values()]
        assert sizes == sorted(sizes, reverse=True)


def test_the_same_inputs_give_the_same_annotations(tiny_bundle: Bundle) -> None:
    assert annotating.annotate(tiny_bundle, drawn(6)) == annotating.annotate(tiny_bundle, drawn(6))


def test_how_many_inputs_depends_on_the_work_and_not_on_the_clock(tiny_bundle: Bundle) -> None:
    cuts = [cut for cut in tiny_bundle.manifest.cuts if cut.candidate]
    assert annotating.affordable(cuts, 10) == 10
    assert annotating.affordable(cuts, 1_000_000) == int(
        annotating.WORK_MACS // ((6 + annotating.POINTS) * sum(cut.tail_macs for cut in cuts))
    )
    heavy = cuts * 1_000_000
    assert annotating.affordable(heavy, 64) == annotating.MIN_INPUTS
    found = annotating.annotate(tiny_bundle, drawn(9), inputs=3)
    assert found.inputs == 3


def test_what_was_measured_is_what_a_narrowed_request_gives(tiny_bundle: Bundle) -> None:
    """The share and the error are those of codes that crossed the wire, worked out here one by one."""
    import torch

    from suture_cloud.executor import TailRequest
    from suture_cloud.tail import Tails
    from suture_edge.engines.registry import get_engine, load_head
    from suture_edge.uploads import request_of
    from suture_protocol.codecs.registry import codec_of, get_codec
    from suture_protocol.payload import unpack

    calibration = drawn(5)
    found = annotating.annotate(tiny_bundle, calibration)
    variant, tails = tiny_bundle.variant(found.variant_id), Tails(tiny_bundle, torch.device("cpu"))
    cut = annotating.narrowable(tiny_bundle, variant)[0]
    head = load_head(get_engine(variant.engine), tiny_bundle, variant, cut)
    outputs: dict[str, list[np.ndarray]] = {"zstd": [], "zstd@6": []}
    for image in calibration.inputs:
        for spec, answers in outputs.items():
            about = {"bundle_digest": tiny_bundle.digest, "cut_id": cut.id, "variant_id": variant.id}
            request = request_of(head.run(image), codec_of(spec), **about)
            seen = unpack(request.tensors, request.payload, get_codec(request.codec, request.codec_config))
            answers.append(next(iter(tails.run(TailRequest(tensors=seen, **about)).values())))
    full, narrow = (np.concatenate(answers) for answers in outputs.values())
    error = np.median(np.linalg.norm(narrow - full, axis=1) / np.linalg.norm(full, axis=1))
    loss = found.cuts[cut.id][6]
    assert loss.changed_share == np.mean(narrow.argmax(axis=1) != full.argmax(axis=1))
    assert loss.output_error == pytest.approx(error, rel=2e-3)


def test_the_command_writes_beside_the_manifest_and_inspect_shows_it(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = open_bundle(copied).digest
    assert main(["inspect", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] is None
    assert main(["inspect", str(copied)]) == 0
    assert "not measured, so none are used" in capsys.readouterr().out

    assert main(["annotate", str(copied), "--inputs", "8", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)

    opened = open_bundle(copied)
    assert opened.digest == digest
    accuracy = read_accuracy(opened)
    assert accuracy is not None
    assert (accuracy.inputs, accuracy.origin) == (8, "the package's 32 chest radiographs")
    assert main(["inspect", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == printed
    for cut_id, row in printed["cuts"].items():
        assert row["narrowest"] == accuracy.narrowest(cut_id, printed["budget"])
        for width in row["widths"].values():
            assert width["changed_share_upper_95"] >= max(width["changed_share"], 0.3)  # 1 - 0.05^(1/8)
    assert main(["inspect", str(copied)]) == 0
    shown = capsys.readouterr().out
    assert "<= 1 % changed" in shown
    assert "8 inputs (the package's 32 chest radiographs); 0 of 8 is below 31.2% at 95 %" in " ".join(shown.split())
    assert "random weights" in shown


@pytest.mark.parametrize(("option", "annotated"), [("--annotate", True), ("--no-annotate", False)])
def test_a_build_ends_with_it_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, annotated: bool
) -> None:
    out = tmp_path / "built"
    assert main(["build", "tests.nets:make", "--engine", "openvino", "--out", str(out), "--json", option]) == 0
    accuracy = read_accuracy(open_bundle(out))
    assert (accuracy is not None) is annotated
    assert accuracy is None or accuracy.inputs == 32
    assert json.loads(capsys.readouterr().out)["digest"] == open_bundle(out).digest


def test_a_table_for_people_names_every_cut(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", str(copied), "--inputs", "2"]) == 0
    shown = capsys.readouterr().out
    accuracy = read_accuracy(open_bundle(copied))
    assert accuracy is not None
    assert all(cut_id in shown for cut_id in accuracy.cuts)
    assert "6 bit" in shown
    assert "narrow@1" in shown


def test_a_bundle_without_an_artefact_that_runs_here_says_so(
    bundle_with, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = bundle_with("trained")
    raw = json.loads((bundle / "manifest.json").read_text())
    raw["variants"] = []
    (bundle / "manifest.json").write_text(json.dumps(raw))
    assert main(["annotate", str(bundle)]) == 3
    assert "no INT8 artefact that runs here; it has: none" in capsys.readouterr().err


def test_damaged_annotations_are_named_by_inspect(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / ANNOTATIONS_NAME).write_text("{}")
    assert main(["inspect", str(copied)]) == 3
    assert "annotations.json is damaged" in capsys.readouterr().err
