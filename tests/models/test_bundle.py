"""Opening bundles: what was changed, points elsewhere or is no bundle is refused, and says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suture_models.bundle import MANIFEST_NAME, open_bundle
from suture_models.manifest import FORMAT_VERSION, ArtefactFile, manifest_from_json
from suture_protocol.errors import BundleError


@pytest.fixture
def copied(tiny_bundle, tmp_path: Path) -> Path:
    """A copy of a real bundle to do damage to."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((path / MANIFEST_NAME).read_text())
    change(manifest)
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))


def test_a_copied_bundle_has_the_same_digest_and_all_its_files(tiny_bundle, copied):
    bundle = open_bundle(copied)
    assert bundle.digest == tiny_bundle.digest
    assert bundle.name == "tiny"
    files = [f for v in bundle.manifest.variants for f in v.files.values()]
    for file in [*files, bundle.manifest.program, bundle.manifest.weights]:
        assert bundle.file(file).stat().st_size == file.size_bytes


def test_a_manifest_survives_reading_and_writing(tiny_bundle):
    text = tiny_bundle.manifest.to_json()
    assert manifest_from_json(text) == tiny_bundle.manifest
    assert manifest_from_json(text).to_json() == text


def test_notes_beside_the_manifest_do_not_change_the_digest(tiny_bundle, copied):
    (copied / "accuracy.json").write_text("{}")
    assert open_bundle(copied).digest == tiny_bundle.digest


def test_a_changed_artefact_is_refused_by_name(copied):
    bundle = open_bundle(copied)
    artefact = bundle.manifest.weights
    damaged = bytearray((copied / artefact.path).read_bytes())
    damaged[-1] ^= 1
    (copied / artefact.path).write_bytes(damaged)
    with pytest.raises(BundleError, match=r"weights\.safetensors was changed since the build"):
        bundle.file(artefact)


def test_a_missing_artefact_is_refused_by_name(copied):
    bundle = open_bundle(copied)
    (copied / bundle.manifest.program.path).unlink()
    with pytest.raises(BundleError, match=r"program\.json is missing"):
        bundle.file(bundle.manifest.program)


@pytest.mark.parametrize("path", ["../secret.bin", "/etc/hostname", "openvino/../../secret.bin"])
def test_a_path_outside_the_bundle_is_refused(copied, path):
    (copied.parent / "secret.bin").write_bytes(b"secret")
    with pytest.raises(BundleError, match="points outside the bundle"):
        open_bundle(copied).file(ArtefactFile(path=path, sha256="0" * 64, size_bytes=6))


def test_a_link_that_leaves_the_bundle_is_refused(copied):
    (copied.parent / "secret.bin").write_bytes(b"secret")
    (copied / "inside.bin").symlink_to(copied.parent / "secret.bin")
    with pytest.raises(BundleError, match="points outside the bundle"):
        open_bundle(copied).file(ArtefactFile(path="inside.bin", sha256="0" * 64, size_bytes=6))


def test_a_changed_manifest_is_another_bundle(tiny_bundle, copied):
    edit_manifest(copied, lambda m: m["network"].update(threshold=0.9))
    assert open_bundle(copied).digest != tiny_bundle.digest


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle .*`suture build"):
        open_bundle(tmp_path)


def test_a_manifest_of_another_format_version_is_refused_naming_both(copied):
    edit_manifest(copied, lambda m: m.update(format_version=99))
    with pytest.raises(BundleError, match=f"99, this version of Suture reads {FORMAT_VERSION}"):
        open_bundle(copied)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "not json", '{"format_version": 1}', "[" * 100_000, '{"format_version": 1, "network": {}, "graph": 3}'],
)
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(BundleError, match=MANIFEST_NAME):
        open_bundle(tmp_path)


def test_a_manifest_that_is_not_text_is_refused(tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["network"]["preprocess"].update(window=[1.0]),
        lambda m: m["cuts"][0].pop("index"),
        lambda m: m["variants"][0].update(colour="red"),
        lambda m: m.update(cuts=[1, 2]),
    ],
)
def test_a_manifest_with_a_missing_or_unknown_field_is_refused(copied, change):
    edit_manifest(copied, change)
    with pytest.raises(BundleError, match="malformed"):
        open_bundle(copied)


def test_an_unknown_cut_or_variant_is_refused_with_what_there_is(tiny_bundle):
    with pytest.raises(BundleError, match=r"no cut 'nowhere'; `suture inspect"):
        tiny_bundle.cut("nowhere")
    with pytest.raises(BundleError, match=r"no artefact 'nothing'; it has: .*-f32"):
        tiny_bundle.variant("nothing")
