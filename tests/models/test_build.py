"""Building: equal inputs give equal bundles, and a build that fails leaves what was there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suture_models.build import BuildSettings, available_engines, build_bundle
from suture_models.bundle import open_bundle
from suture_models.manifest import NetworkSpec, TensorSpec
from suture_models.zoo.registry import LoadedNetwork, load_network
from suture_protocol.errors import BundleError, UsageError
from tests.nets import Tiny, images

_BUILD = """
import json, sys
from pathlib import Path
from suture_models.build import BuildSettings, available_engines, build_bundle
from suture_models.zoo.registry import load_network
from tests.nets import images
settings = BuildSettings(engines=available_engines(), calibration="drawn")
bundle = build_bundle(load_network("tests.nets:make"), images(16), Path(sys.argv[1]), settings)
print(json.dumps(bundle.digest))
"""
ONNX_ONLY = BuildSettings(engines=("onnxruntime",), processors=("vnni",), tables=False)


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    return load_network("tests.nets:make")


def test_another_process_builds_the_same_bundle_for_every_engine(tiny_bundle, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", _BUILD, str(tmp_path / "again")]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    again = open_bundle(tmp_path / "again")
    assert {v.engine for v in again.manifest.variants} == set(available_engines())
    for one, two in zip(tiny_bundle.manifest.variants, again.manifest.variants, strict=True):
        assert one == two, one.id
    assert json.loads(done.stdout.splitlines()[-1]) == again.digest == tiny_bundle.digest


@pytest.mark.slow
def test_building_again_in_one_process_gives_the_same_bundle(network, tmp_path):
    settings = BuildSettings(engines=("openvino", "onnxruntime"), processors=("vnni",))
    digests = {build_bundle(network, images(4), tmp_path / name, settings).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_a_bundle_says_what_it_was_built_from(tiny_bundle):
    manifest = tiny_bundle.manifest
    assert manifest.network.name == "tiny"
    assert manifest.network.weights == "random"
    assert manifest.built_with["calibration"] == "drawn"
    assert manifest.built_with["calibration_inputs"] == "16"
    assert manifest.built_with["torch"].startswith("2.")
    ids = [v.id for v in manifest.variants]
    assert len(set(ids)) == len(ids)
    assert {"onnxruntime-int8-vnni", "onnxruntime-int8-plain", "onnxruntime-f32"} <= set(ids)
    assert sorted(p.name for p in tiny_bundle.path.iterdir() if p.is_file()) == [
        "manifest.json",
        "program.json",
        "weights.safetensors",
    ]


def test_every_boundary_tensor_of_an_int8_artefact_has_a_quantiser(tiny_bundle):
    for variant in tiny_bundle.manifest.variants:
        for cut in tiny_bundle.manifest.cuts[1:-1]:
            if variant.precision == "int8" and variant.has_cut(cut):
                assert all(variant.quantiser(cut, t) for t in cut.boundary), (variant.id, cut.id)
    assert {q.origin for v in tiny_bundle.manifest.variants for q in v.quant.values()} == {"graph", "calibrated"}


def test_a_build_replaces_an_older_bundle(network, tmp_path):
    first = build_bundle(network, images(2), tmp_path / "bundle", ONNX_ONLY)
    second = build_bundle(network, images(2, seed=1), tmp_path / "bundle", ONNX_ONLY)
    assert first.digest != second.digest
    assert open_bundle(tmp_path / "bundle").digest == second.digest
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_build_that_fails_leaves_the_old_bundle_as_it_was(network, tmp_path):
    old = build_bundle(network, images(2), tmp_path / "bundle", ONNX_ONLY)
    before = {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()}

    def fail(text: str) -> None:
        if text.startswith("ONNX Runtime: quantising"):
            raise BundleError("the disk is full")

    with pytest.raises(BundleError, match="the disk is full"):
        build_bundle(network, images(2, seed=1), tmp_path / "bundle", ONNX_ONLY, fail)
    assert {p: p.read_bytes() for p in old.path.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("content", ["a file", "a folder", "manifest.json"])
def test_a_place_that_holds_something_else_is_never_overwritten(network, tmp_path, content):
    out = tmp_path / "thesis"
    if content == "a file":
        kept = out
    else:
        out.mkdir()
        kept = out / ("chapter1.txt" if content == "a folder" else content)
    kept.write_text("years of work")
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        build_bundle(network, images(2), out, ONNX_ONLY)
    assert kept.read_text() == "years of work"


def test_a_link_to_a_bundle_is_followed(network, tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    bundle = build_bundle(network, images(2), link, ONNX_ONLY)
    assert link.is_symlink()
    assert open_bundle(real).digest == bundle.digest


def test_an_unknown_engine_is_refused_before_anything_is_done(network, tmp_path):
    with pytest.raises(UsageError, match="unknown engine 'tensorrt'; there are: openvino"):
        build_bundle(network, images(1), tmp_path / "bundle", BuildSettings(engines=("tensorrt",)))
    assert not list(tmp_path.iterdir())


def test_a_build_without_calibration_inputs_is_refused(network, tmp_path):
    with pytest.raises(UsageError, match="no calibration input; give --calibration"):
        build_bundle(network, [], tmp_path / "bundle", ONNX_ONLY)


@pytest.mark.parametrize("wrong", [np.zeros((1, 1, 8, 8), np.uint8), images(1)[0].astype(np.float32)])
def test_calibration_inputs_of_another_shape_or_dtype_are_refused(network, tmp_path, wrong):
    with pytest.raises(UsageError, match="a calibration input is"):
        build_bundle(network, [wrong], tmp_path / "bundle", ONNX_ONLY)


def test_a_network_that_cannot_be_exported_leaves_nothing_behind(network, tmp_path):
    spec: NetworkSpec = network.spec
    odd = TensorSpec(name="image", shape=(1, 5, 32, 32), dtype="float32")  # the stem takes one channel
    broken = LoadedNetwork(module=Tiny().eval(), spec=NetworkSpec(**{**_fields(spec), "input": odd}))
    with pytest.raises(BundleError, match="cannot trace the network"):
        build_bundle(broken, [np.zeros(odd.shape, np.float32)], tmp_path / "bundle", ONNX_ONLY)
    assert not list(tmp_path.iterdir())


def _fields(spec: NetworkSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_steps_are_told_in_order(network, tmp_path):
    told: list[str] = []
    settings = BuildSettings(engines=("onnxruntime",), processors=("vnni",))
    build_bundle(network, images(2), Path(tmp_path) / "bundle", settings, told.append)
    assert told[:3] == ["exporting", "writing the interchange graph", "calibrating"]
    assert told[3:5] == ["ONNX Runtime: preparing", "ONNX Runtime: quantising for processors of class vnni"]
    tensors = len(told) - 6
    assert told[5:] == [
        "codec tables: what the answer depends on",
        *(f"codec tables: tensor {done} of {tensors}" for done in range(1, tensors + 1)),
    ]
