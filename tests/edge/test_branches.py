"""A cut across two branches, which is no prefix of the graph as exported, through engines and tails."""

from __future__ import annotations

import numpy as np
import pytest

from suture_models.bundle import Bundle
from suture_models.cuts import enumerate_cuts
from suture_models.manifest import INPUT_CUT, Cut
from tests.edge.test_engines import (
    beyond_rounding_ties,
    engine_and_variant,
    finish,
    relative_error,
    run_head,
    unsplit_onnxruntime,
)
from tests.nets import images

both_engines = pytest.mark.parametrize("name", ["openvino", "onnxruntime"])


@pytest.fixture(scope="module")
def forked_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    build = pytest.importorskip("suture_models.build", reason="needs torch: pip install 'suture[build]'")
    from suture_models.zoo.registry import load_network

    network = load_network("tests.nets:make_forked")
    engines = tuple(name for name in ("openvino", "onnxruntime") if name in build.available_engines())
    out = tmp_path_factory.mktemp("bundles") / "forked"
    settings = build.BuildSettings(engines=engines, calibration="drawn", tables=False)
    return build.build_bundle(network, images(8), out, settings)


@pytest.fixture(scope="module")
def across(forked_bundle: Bundle) -> Cut:
    """The cut behind the stem and each branch's first convolution: both are narrow, and neither has worked hard yet."""
    manifest = forked_bundle.manifest
    cut = next(cut for cut in manifest.cuts if sum(node.macs > 0 for node in manifest.graph[: cut.index]) == 3)
    assert len(cut.boundary) == 2
    return cut


def test_it_is_a_candidate_that_the_exported_order_does_not_have(forked_bundle, across):
    from suture_models.export import export_network
    from suture_models.zoo.registry import load_network

    network = load_network("tests.nets:make_forked")
    exported = export_network(network.module, network.spec.input)
    listed = enumerate_cuts(exported.graph, network.spec.input, exported.outputs, exported.crossable)
    assert across.id not in {cut.id for cut in listed}
    assert across.candidate
    as_small = [cut for cut in listed[1:-1] if cut.bytes_codes <= across.bytes_codes]
    assert as_small
    assert all(cut.head_macs > 3 * across.head_macs for cut in as_small)


@both_engines
def test_its_float_head_with_a_float_tail_is_the_whole_network(forked_bundle, across, name):
    engine, variant = engine_and_variant(forked_bundle, name, "f32")
    image = images(1, seed=11)[0]
    whole = finish(forked_bundle, forked_bundle.cut(INPUT_CUT), variant, (image,))
    found = finish(forked_bundle, across, variant, run_head(engine, forked_bundle, variant, across, image))
    assert relative_error(found, whole) <= 1e-3


def test_its_onnxruntime_codes_are_exactly_those_of_the_unsplit_int8_network(forked_bundle, across):
    engine, variant = engine_and_variant(forked_bundle, "onnxruntime", "int8")
    image = images(1, seed=17)[0]
    unsplit = unsplit_onnxruntime(forked_bundle, variant, across, image)
    for split, whole in zip(run_head(engine, forked_bundle, variant, across, image), unsplit, strict=True):
        np.testing.assert_array_equal(split, whole)


def test_its_openvino_codes_are_the_unsplit_int8_networks_bar_rounding_ties(forked_bundle, across):
    engine, variant = engine_and_variant(forked_bundle, "openvino", "int8")
    assert beyond_rounding_ties(engine, forked_bundle, variant, across) == ""


@both_engines
def test_its_int8_head_with_a_float_tail_is_close_to_the_float_network(forked_bundle, across, name):
    engine, variant = engine_and_variant(forked_bundle, name, "int8")
    found, whole = [], []
    for image in images(6, seed=13):
        found.append(finish(forked_bundle, across, variant, run_head(engine, forked_bundle, variant, across, image)))
        whole.append(finish(forked_bundle, forked_bundle.cut(INPUT_CUT), variant, (image,)))
    assert relative_error(np.array(found), np.array(whole)) <= 0.05
