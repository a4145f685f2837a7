"""Codecs with the bundle's tables, through a real server: the cloud decodes with its own copy of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.settings import UnitSettings, codec_for
from suture_edge.slowdown import SlowedCodec, full_speed
from suture_edge.uploads import request_of
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, ArtefactFile
from suture_models.tables import TABLES_ROLE, BundleTables
from suture_protocol.codecs.registry import codec_of
from suture_protocol.codecs.tablesfile import tables_to_bytes
from suture_protocol.errors import BundleError, Refused
from tests.cloud.harness import SIDE, VARIANT, RunningCloud, head, score, write_bundle
from tests.protocol.tables_samples import tensor_tables

SHAPES = {"pooled": (1, 1, SIDE // 2, SIDE // 2), "skip": (1, 1, SIDE, SIDE)}


def with_tables(path: Path, content: bytes) -> Bundle:
    """The harness's bundle, its variant with this file of tables."""
    bundle = write_bundle(path)
    (path / "tables.bin").write_bytes(content)
    artefact = ArtefactFile(path="tables.bin", sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    (variant,) = bundle.manifest.variants
    variant = dataclasses.replace(variant, files={**variant.files, TABLES_ROLE: artefact})
    manifest = dataclasses.replace(bundle.manifest, variants=(variant,))
    (path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return open_bundle(path)


def sound() -> bytes:
    found = {name: tensor_tables(shape) for name, shape in SHAPES.items()}
    return tables_to_bytes({name: tables for name, tables in found.items() if tables is not None})


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return with_tables(tmp_path / "bundle", sound())


@pytest.fixture
def edge(bundle: Bundle) -> Iterator[CloudClient]:
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as connected,
    ):
        connected.connect()
        yield connected


def codes() -> tuple[np.ndarray, np.ndarray]:
    steps = np.random.default_rng(3).integers(-6, 7, (1, 1, SIDE, SIDE))
    return head((100 + np.cumsum(steps, axis=-1)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("spec", ["lossless-small", "lossless-fast", "narrow@1", "narrow@2"])
def test_the_cloud_decodes_with_the_tables_of_its_own_copy(edge, bundle, spec):
    cut = bundle.cut("mid")
    codec = codec_for(UnitSettings(codec=spec), cut, codes(), None, BundleTables(bundle, bundle.variant(VARIANT)))
    request = request_of(
        codes(), SlowedCodec(codec, full_speed), bundle_digest=bundle.digest, cut_id="mid", variant_id=VARIANT
    )
    assert request.codec == spec.partition("@")[0]
    seen = tuple(
        codec.of_tensor(i).decode(codec.of_tensor(i).encode(c), c.shape, "uint8") for i, c in enumerate(codes())
    )
    assert all(np.array_equal(s, c) for s, c in zip(seen, codes(), strict=True)) is codec.lossless
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], score(*seen))


@pytest.mark.parametrize(("spec", "code"), [("narrow@3", "bad_tensor"), ("narrow@300", "unknown_codec")])
def test_an_operating_point_that_the_bundle_lacks_is_refused(edge, bundle, spec, code):
    request = request_of(codes(), codec_of("zstd"), bundle_digest=bundle.digest, cut_id="mid", variant_id=VARIANT)
    point = spec.partition("@")[2]
    with pytest.raises(Refused) as refused:
        edge.infer(dataclasses.replace(request, codec="narrow", codec_config={"point": point}))
    assert refused.value.code == code


def test_damaged_tables_are_told_of_and_other_codecs_go_on(tmp_path):
    content = sound()
    bundle = with_tables(tmp_path / "damaged", content[:-20] + bytes(20))
    with pytest.raises(BundleError, match="damaged"):
        BundleTables(bundle, bundle.variant(VARIANT)).of(bundle.cut("mid"))
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as connected,
    ):
        connected.connect()
        request = request_of(codes(), codec_of("zstd"), bundle_digest=bundle.digest, cut_id="mid", variant_id=VARIANT)
        np.testing.assert_array_equal(connected.infer(request).outputs["score"], score(*codes()))
        with pytest.raises(Refused, match="the cloud cannot use its bundle"):
            connected.infer(dataclasses.replace(request, codec="lossless-small"))


def test_a_file_that_was_changed_or_is_of_other_tensors_is_refused(tmp_path, bundle):
    (bundle.path / "tables.bin").write_bytes(sound() + b"x")
    with pytest.raises(BundleError, match="changed since the build"):
        BundleTables(bundle, bundle.variant(VARIANT)).of(bundle.cut("mid"))
    other = tensor_tables((1, 1, 5, 5))
    assert other is not None
    foreign = with_tables(tmp_path / "foreign", tables_to_bytes({"skip": other}))
    with pytest.raises(BundleError, match=r"for skip are of shape \(1, 1, 5, 5\)"):
        BundleTables(foreign, foreign.variant(VARIANT)).of(foreign.cut("mid"))


def test_a_bundle_without_tables_offers_what_needs_none(tmp_path):
    bundle = write_bundle(tmp_path / "old")
    tables = BundleTables(bundle, bundle.variant(VARIANT))
    cut = bundle.cut("mid")
    assert tables.of(cut) == ()
    assert not tables.given_to(codec_of("narrow@1"), cut).of_tensor(0).accepts(SHAPES["pooled"], "uint8")
    small = tables.given_to(codec_of("lossless-small"), cut).of_tensor(1)
    np.testing.assert_array_equal(small.decode(small.encode(codes()[1]), SHAPES["skip"], "uint8"), codes()[1])


def test_a_file_larger_than_any_tables_is_not_read(bundle, monkeypatch):
    monkeypatch.setattr("suture_models.tables.MOST_FILE_BYTES", len(sound()) - 1)
    with pytest.raises(BundleError, match="larger than any codec tables"):
        BundleTables(bundle, bundle.variant(VARIANT)).of(bundle.cut("mid"))


def test_what_crosses_the_first_and_the_last_cut_has_no_tables(bundle):
    tables = BundleTables(bundle, bundle.variant(VARIANT))
    assert tables.of(bundle.cut("mid"))
    for cut in (INPUT_CUT, LAST_CUT):
        assert tables.of(bundle.cut(cut)) == ()
