"""The contract of engines, over every registered one, with heads of a real network with skip connections."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from suture_edge.engines.base import Engine
from suture_edge.engines.registry import choose_variant, engine_names, get_engine, load_head
from suture_edge.heads import HEADS_KEPT, Heads
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, ArtefactFile, Cut, Precision, Variant
from suture_models.quant import dequantise, quantise
from suture_partitioner.device import processor_class
from suture_protocol.errors import BundleError, UsageError
from tests.nets import images

PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "litert": "ai_edge_litert"}
EXTRAS = {"openvino": "edge", "onnxruntime": "onnxruntime", "litert": "litert"}
PRECISIONS: tuple[Precision, ...] = ("f32", "int8")
every_engine = pytest.mark.parametrize("name", engine_names())
every_precision = pytest.mark.parametrize("precision", PRECISIONS)


def engine_and_variant(bundle: Bundle, name: str, precision: Precision) -> tuple[Engine, Variant]:
    if find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{name} is not installed: pip install 'suture[{EXTRAS[name]}]'")
    if all(v.engine != name for v in bundle.manifest.variants):
        pytest.skip(f"no builder for {name} artefacts: pip install 'suture[build-litert]'")
    return get_engine(name), choose_variant(bundle, name, processor_class(), precision)


def cuts_of(bundle: Bundle, variant: Variant) -> list[Cut]:
    return [cut for cut in bundle.manifest.cuts if variant.has_cut(cut)]


def run_head(engine: Engine, bundle: Bundle, variant: Variant, cut: Cut, image: Any) -> tuple[Any, ...]:
    with closing(load_head(engine, bundle, variant, cut)) as head:
        return head.run(image)


def finish(bundle: Bundle, cut: Cut, variant: Variant, tensors: tuple[Any, ...]) -> Any:
    """The network's result by a float tail on what a head gave."""
    executor = pytest.importorskip("suture_cloud.executor", reason="tails need torch: pip install 'suture[cloud]'")
    import torch

    from suture_cloud.tail import Tails

    tails = Tails(bundle, torch.device("cpu"))
    request = executor.TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant.id, tensors=tensors)
    return tails.run(request)[bundle.manifest.outputs[0].name]


def relative_error(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@every_engine
@every_precision
def test_heads_give_the_boundary_in_its_order_shapes_and_dtypes(tiny_bundle, name, precision):
    engine, variant = engine_and_variant(tiny_bundle, name, precision)
    cuts = cuts_of(tiny_bundle, variant)
    assert {INPUT_CUT, LAST_CUT} <= {cut.id for cut in cuts}
    assert max(len(cut.boundary) for cut in cuts) >= 3
    for cut in cuts:
        found = run_head(engine, tiny_bundle, variant, cut, images(1, seed=7)[0])
        assert [a.shape for a in found] == [t.shape for t in cut.boundary], cut.id
        assert [a.dtype.name for a in found] == [variant.wire_dtype(cut, t) for t in cut.boundary], cut.id


@every_engine
def test_int8_heads_send_codes_at_every_cut_but_the_last(tiny_bundle, name):
    _, variant = engine_and_variant(tiny_bundle, name, "int8")
    for cut in cuts_of(tiny_bundle, variant):
        expected = "float32" if cut.id == LAST_CUT else "uint8"
        assert {variant.wire_dtype(cut, t) for t in cut.boundary} == {expected}, cut.id


@every_engine
def test_a_graph_that_the_library_cannot_read_or_run_is_a_bundle_error(tiny_bundle, tmp_path, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    cuts = [cut for cut in cuts_of(tiny_bundle, variant) if cut.id != INPUT_CUT]
    with closing(load_head(engine, tiny_bundle, variant, cuts[0])) as head, pytest.raises(BundleError, match="cut"):
        head.run(np.zeros((1, 1), np.float64))
    garbage = b"no graph at all"
    (tmp_path / "garbage").write_bytes(garbage)
    file = ArtefactFile(path="garbage", sha256=hashlib.sha256(garbage).hexdigest(), size_bytes=len(garbage))
    damaged = dataclasses.replace(variant, files=dict.fromkeys(variant.files, file))
    manifest = dataclasses.replace(tiny_bundle.manifest, variants=(damaged,))
    (tmp_path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    bundle = open_bundle(tmp_path)
    for cut in (cuts[0], bundle.cut(LAST_CUT)):
        with pytest.raises(BundleError, match=f"head of bundle {bundle.name} at cut"):
            load_head(engine, bundle, damaged, cut)


@every_engine
@every_precision
def test_arrays_of_one_run_are_not_touched_by_the_next(tiny_bundle, name, precision):
    engine, variant = engine_and_variant(tiny_bundle, name, precision)
    first_image, second_image = images(2, seed=3)
    for cut in cuts_of(tiny_bundle, variant):
        with closing(load_head(engine, tiny_bundle, variant, cut)) as head:
            first = head.run(first_image)
            kept = [a.copy() for a in first]
            head.run(second_image)
            for array, copy in zip(first, kept, strict=True):
                np.testing.assert_array_equal(array, copy)
            again = head.run(first_image)
        for array, copy in zip(again, kept, strict=True):
            np.testing.assert_array_equal(array, copy)


@every_engine
def test_float_heads_with_a_float_tail_are_the_whole_network(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "f32")
    image = images(1, seed=11)[0]
    whole = finish(tiny_bundle, tiny_bundle.cut(INPUT_CUT), variant, (image,))
    for cut in cuts_of(tiny_bundle, variant):
        found = finish(tiny_bundle, cut, variant, run_head(engine, tiny_bundle, variant, cut, image))
        assert relative_error(found, whole) <= 1e-3, cut.id


@every_engine
def test_codes_mean_the_float_tensors_they_stand_for(tiny_bundle, name):
    """Right quantiser, right order: a mistaken one is off by far more than a few codes."""
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    float_variant = choose_variant(tiny_bundle, name, processor_class(), "f32")
    image = images(1, seed=5)[0]
    for cut in cuts_of(tiny_bundle, variant)[1:-1]:
        codes = run_head(engine, tiny_bundle, variant, cut, image)
        values = run_head(engine, tiny_bundle, float_variant, cut, image)
        for spec, code, value in zip(cut.boundary, codes, values, strict=True):
            params = variant.quantiser(cut, spec)
            assert params is not None
            error = np.abs(dequantise(code, params) - value)
            assert error.mean() <= 0.02 * np.abs(value).max(), (cut.id, spec.name)


@every_engine
def test_int8_heads_with_a_float_tail_are_close_to_the_float_network(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    for cut in cuts_of(tiny_bundle, variant):
        found, whole = [], []
        for image in images(6, seed=13):
            found.append(finish(tiny_bundle, cut, variant, run_head(engine, tiny_bundle, variant, cut, image)))
            whole.append(finish(tiny_bundle, tiny_bundle.cut(INPUT_CUT), variant, (image,)))
        assert relative_error(np.array(found), np.array(whole)) <= 0.05, cut.id


def test_onnxruntime_codes_are_exactly_those_of_the_unsplit_int8_network(tiny_bundle):
    engine, variant = engine_and_variant(tiny_bundle, "onnxruntime", "int8")
    image = images(1, seed=17)[0]
    for cut in cuts_of(tiny_bundle, variant)[1:-1]:
        unsplit = unsplit_onnxruntime(tiny_bundle, variant, cut, image)
        for split, whole in zip(run_head(engine, tiny_bundle, variant, cut, image), unsplit, strict=True):
            np.testing.assert_array_equal(split, whole, err_msg=cut.id)


def unsplit_onnxruntime(bundle: Bundle, variant: Variant, cut: Cut, image: Any) -> list[Any]:
    """The codes at a cut as the whole network has them."""
    import onnx
    import onnxruntime as ort

    from suture_models.onnxgraph import end_in_codes

    model = onnx.load(bundle.file(variant.files["model"]))
    ends = end_in_codes(model, [t.name for t in cut.boundary], [variant.quantiser(cut, t) for t in cut.boundary])
    model.graph.output.extend(onnx.helper.make_tensor_value_info(e, onnx.TensorProto.UINT8, None) for e in ends)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(ends, {session.get_inputs()[0].name: image})
    return found


def test_openvino_codes_are_the_unsplit_int8_networks_tensors_bar_rounding_ties(tiny_bundle):
    engine, variant = engine_and_variant(tiny_bundle, "openvino", "int8")
    cuts = cuts_of(tiny_bundle, variant)[1:-1]
    exceptions = [apart for cut in cuts if (apart := beyond_rounding_ties(engine, tiny_bundle, variant, cut))]
    assert not exceptions, "\n".join(exceptions)


def beyond_rounding_ties(engine: Engine, bundle: Bundle, variant: Variant, cut: Cut) -> str:
    """How an OpenVINO head's codes differ from the whole network's tensors; empty where rounding explains it."""
    pairs: list[tuple[Any, Any]] = []
    for image in images(4, seed=19):
        tensors = unsplit_openvino(bundle, variant, [t.name for t in cut.boundary], image)
        quant = [variant.quantiser(cut, t) for t in cut.boundary]
        expected = [quantise(t, q) for t, q in zip(tensors, quant, strict=True) if q is not None]
        pairs += zip(run_head(engine, bundle, variant, cut, image), expected, strict=True)
    apart = np.concatenate([np.abs(a.astype(int) - b.astype(int)).ravel() for a, b in pairs])
    if apart.max() <= 1 and (apart == 0).mean() >= 0.999:
        return ""
    return f"{cut.id}: at most {apart.max()} codes apart, {(apart == 0).mean():.4%} identical"


def unsplit_openvino(bundle: Bundle, variant: Variant, names: list[str], image: Any) -> list[Any]:
    """The named tensors as the whole network has them: behind its own quantiser where it has one, for an output put
    before it would keep OpenVINO from fusing the two, and so change what is computed."""
    import openvino as ov

    from suture_models.ovgraph import ports_by_name

    core = ov.Core()
    model = core.read_model(bundle.file(variant.files["model"]), bundle.file(variant.files["weights"]))
    ends = len(model.outputs)
    ports = ports_by_name(model)
    for name in names:
        readers = list(ports[name].get_target_inputs())
        quantised = len(readers) == 1 and readers[0].get_node().get_type_name() == "FakeQuantize"
        model.add_outputs([readers[0].get_node().output(0) if quantised else ports[name]])
    request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    request.infer([image])
    return [np.array(request.get_output_tensor(ends + place).data) for place in range(len(names))]


@every_engine
def test_the_last_cut_gives_the_networks_outputs_in_float(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    (scores,) = run_head(engine, tiny_bundle, variant, tiny_bundle.cut(LAST_CUT), images(1)[0])
    assert scores.dtype == np.float32
    assert scores.shape == tiny_bundle.manifest.outputs[0].shape
    assert len(np.unique(scores)) > 1


@every_engine
def test_cut_0_gives_back_the_image_itself(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    image = images(1)[0]
    (sent,) = run_head(engine, tiny_bundle, variant, tiny_bundle.cut(INPUT_CUT), image)
    np.testing.assert_array_equal(sent, image)


@every_engine
def test_a_closed_head_leaves_others_running_and_can_be_loaded_again(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    cut, image = tiny_bundle.manifest.cuts[2], images(1)[0]
    one = load_head(engine, tiny_bundle, variant, cut)
    two = load_head(engine, tiny_bundle, variant, cut)
    expected = one.run(image)
    one.close()
    for found in (two.run(image), run_head(engine, tiny_bundle, variant, cut, image)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    two.close()


@every_engine
def test_an_unknown_cut_is_a_bundle_error(tiny_bundle, name):
    engine, variant = engine_and_variant(tiny_bundle, name, "int8")
    missing = tuple(t.__class__(name="nowhere", shape=t.shape, dtype=t.dtype) for t in tiny_bundle.manifest.outputs)
    cut = Cut(id="nowhere", index=3, boundary=missing, head_macs=0, tail_macs=0)
    with pytest.raises(BundleError, match="nowhere"):
        engine.load(tiny_bundle, variant, cut)


@every_engine
def test_an_engine_tells_its_librarys_version(tiny_bundle, name):
    engine, _ = engine_and_variant(tiny_bundle, name, "int8")
    assert engine.version()[0].isdigit()
    assert engine.name == name


def test_openvino_counts_layer_times_when_asked_to(tiny_bundle):
    _, variant = engine_and_variant(tiny_bundle, "openvino", "int8")
    engine = get_engine("openvino", counters=True)
    with closing(engine.load(tiny_bundle, variant, tiny_bundle.cut(LAST_CUT))) as head:
        head.run(images(1)[0])
        times = head.layer_times_s()
    assert times
    assert all(0 < seconds < 1 for seconds in times.values())


def test_heads_are_kept_up_to_a_limit_and_reused(tiny_bundle):
    engine, variant = engine_and_variant(tiny_bundle, "openvino", "int8")
    heads = Heads(tiny_bundle, engine, variant)
    cuts = tiny_bundle.manifest.cuts[1 : HEADS_KEPT + 2]
    first = heads.prepare(cuts[0])
    assert heads.prepare(cuts[0]) is first
    for cut in cuts[1:]:
        heads.prepare(cut)
    assert heads.prepare(cuts[0]) is not first
    heads.close()


def test_an_unknown_engine_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="openvino, onnxruntime, litert"):
        get_engine("tensorrt")


def test_the_artefact_is_chosen_by_processor_class(tiny_bundle):
    engine_and_variant(tiny_bundle, "openvino", "int8")
    assert choose_variant(tiny_bundle, "openvino", "vnni").id == "openvino-int8-vnni"
    assert choose_variant(tiny_bundle, "openvino", "plain").id == "openvino-int8-plain"
    assert choose_variant(tiny_bundle, "openvino", "plain", "f32").id == "openvino-f32"
    with pytest.raises(BundleError, match="openvino-int8-vnni"):
        choose_variant(tiny_bundle, "tensorrt", "vnni")


_ON_A_LESSER_PROCESSOR = """
import json, sys
from pathlib import Path
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import open_bundle
from suture_partitioner.device import processor_class
from tests.nets import images
bundle = open_bundle(Path(sys.argv[1]))
variant = choose_variant(bundle, "openvino", processor_class())
head = load_head(get_engine("openvino"), bundle, variant, bundle.cut("last"))
print(json.dumps({"variant": variant.id, "scores": [head.run(i)[0].tolist() for i in images(6, seed=23)]}))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="ONEDNN_MAX_CPU_ISA limits x86 only")
def test_without_8_bit_dot_products_the_plain_artefact_runs_and_does_not_saturate(tiny_bundle):
    engine_and_variant(tiny_bundle, "openvino", "int8")
    command = [sys.executable, "-c", _ON_A_LESSER_PROCESSOR, str(tiny_bundle.path)]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["variant"] == "openvino-int8-plain"
    _, variant = engine_and_variant(tiny_bundle, "openvino", "f32")
    cut = tiny_bundle.cut(INPUT_CUT)
    whole = [finish(tiny_bundle, cut, variant, (image,)) for image in images(6, seed=23)]
    assert relative_error(np.array(found["scores"]), np.array(whole)) <= 0.05
