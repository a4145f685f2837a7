"""`suture verify` passes a sound bundle and names the cuts of an unsound one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from suture_models.bundle import Bundle, sha256_file
from tests.processes import Command

safetensors = pytest.importorskip("safetensors.torch", reason="needs torch: pip install 'suture[build]'")


@pytest.fixture
def spoiled(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The tiny bundle with one weight of its float program changed, so that engines and tails disagree."""
    path = tmp_path / "spoiled"
    shutil.copytree(tiny_bundle.path, path)
    manifest = tiny_bundle.manifest
    weights_path = path / manifest.weights.path
    weights = safetensors.load_file(weights_path)
    name = next(key for key, value in sorted(weights.items()) if value.dim() == 4)
    safetensors.save_file({**weights, name: weights[name] * 1.5}, weights_path)
    record = dataclasses.replace(manifest.weights, sha256=sha256_file(weights_path))
    (path / "manifest.json").write_text(dataclasses.replace(manifest, weights=record).to_json(), encoding="utf-8")
    return path


def test_a_sound_bundle_passes_at_every_cut_and_on_every_engine(tiny_bundle: Bundle, command: Command) -> None:
    done = command.run("verify", str(tiny_bundle.path), "--all", "--json", "--images", str(tiny_images(tiny_bundle)))

    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert {f["cut_id"] for f in findings} == {c.id for c in tiny_bundle.manifest.cuts}
    assert {f["arm"].split("-")[0] for f in findings} >= {"torch", "openvino", "onnxruntime"}


def test_a_bundle_whose_sides_disagree_fails_and_the_cut_is_named(
    spoiled: Path, tiny_bundle: Bundle, command: Command
) -> None:
    done = command.run("verify", str(spoiled), "--images", str(tiny_images(tiny_bundle)))

    assert done.returncode == 1
    assert "cut last, openvino-f32: float head + tail = whole" in done.stderr


def tiny_images(bundle: Bundle) -> Path:
    """The package's radiographs, which any image network can be checked with."""
    from suture_models import calibration

    assert bundle.manifest.network.kind == "image"
    return Path(calibration.__file__).parent
