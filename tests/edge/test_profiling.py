"""The unit's profile: measured within its budget, slowed with an emulated device, kept until something changes."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from suture_edge.engines.openvino import OpenVinoEngine
from suture_edge.engines.registry import choose_variant
from suture_edge.heads import Heads
from suture_edge.profiling import cached_profile, layer_times, measure_edge, time_of
from suture_edge.sizes import add_payloads
from suture_edge.slowdown import full_speed
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.device import processor_class
from suture_partitioner.payloads import Payloads
from suture_partitioner.predict import layer_nodes
from suture_partitioner.profile import MIN_REPEATS
from suture_partitioner.profile_file import Partial, load_profile
from suture_partitioner.types import Profile
from suture_protocol.codecs.registry import codec_of
from suture_simulators.device import dilate
from tests.nets import images

FACTOR = 20.0


class NewerOpenVino(OpenVinoEngine):
    """The same engine after an update."""

    def version(self) -> str:
        return f"{super().version()}+1"


def heads_of(bundle: Bundle, engine: OpenVinoEngine | None = None) -> Heads:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'suture[edge]'")
    variant = choose_variant(bundle, "openvino", processor_class())
    return Heads(bundle, engine or OpenVinoEngine(), variant)


def never() -> Any:
    raise AssertionError("a kept profile needs no images")


def cached(heads: Heads, folder: Path, pictures: Any = lambda: images(3), **settings: Any) -> Profile:
    settings = {"device_factor": 1.0, "slow": full_speed, "preprocess_s": 0.001} | settings
    return cached_profile(heads, pictures, folder=folder, **settings)


@pytest.fixture(scope="module")
def profile(tiny_bundle) -> Profile:
    return measure_edge(heads_of(tiny_bundle), images(3), budget_s=20.0, preprocess_s=0.002)


def test_a_profile_says_what_was_measured_where_and_with_what(tiny_bundle, profile):
    assert (profile.side, profile.engine, profile.network) == ("edge", "openvino", "tiny")
    assert profile.bundle_digest == tiny_bundle.digest
    assert profile.versions.keys() == {"openvino", "suture"}
    assert profile.device["processor_class"] == processor_class()
    assert (profile.threads, profile.device_factor, profile.preprocess_s) == (1, 1.0, 0.002)


def test_every_candidate_is_measured_when_there_is_time(tiny_bundle, profile):
    assert set(profile.cuts) == {cut.id for cut in tiny_bundle.manifest.cuts if cut.candidate}
    for cut_id, timing in profile.cuts.items():
        assert timing.samples >= MIN_REPEATS, cut_id
        assert 0 < timing.compute_min_s <= timing.compute_s, cut_id
        assert ("zstd" in timing.payload_bytes) is (cut_id != LAST_CUT), cut_id
    sizes = profile.cuts[INPUT_CUT].payload_bytes
    assert 0 < sizes["jpegls"] < 32 * 32


def test_layers_are_timed_by_the_engine_and_named_after_the_graphs_nodes(tiny_bundle, profile):
    graph = {node.name for node in tiny_bundle.manifest.graph}
    assert len(profile.layers_s) > 3
    assert all(0 < seconds < 0.1 for seconds in profile.layers_s.values())
    assert all(set(layer_nodes(name)) <= graph for name in profile.layers_s)


def test_payload_sizes_are_distributions_over_the_images_and_narrowed_codes_are_among_them(tiny_bundle, profile):
    inner = [timing for cut_id, timing in profile.cuts.items() if cut_id not in (INPUT_CUT, LAST_CUT)]
    for timing in inner:
        assert {"zstd", "zstd@6", "zstd@4"} <= timing.payload_quantiles_bytes.keys()
        for codec, quantiles in timing.payload_quantiles_bytes.items():
            assert list(quantiles) == sorted(quantiles)
            assert quantiles[2] == timing.payload_bytes[codec]
    assert any(quantiles[0] < quantiles[-1] for t in inner for quantiles in t.payload_quantiles_bytes.values())
    assert set(profile.cuts[INPUT_CUT].codec_s) == {"zstd", "jpegls"}


def test_cold_times_are_kept_beside_the_warm_ones(profile):
    inner = [timing for cut_id, timing in profile.cuts.items() if cut_id != INPUT_CUT]
    assert all(timing.load_s > timing.compute_s for timing in inner)
    assert all(timing.first_s > 0 for timing in inner)


def test_what_crosses_is_weighed_as_the_heads_send_it(tiny_bundle):
    """One watched network against each head by itself."""
    heads = heads_of(tiny_bundle)
    inner = [c for c in tiny_bundle.manifest.cuts if c.candidate and c.id not in (INPUT_CUT, LAST_CUT)]
    together, alone = (Payloads("edge", [codec_of("zstd")]) for _ in range(2))
    add_payloads(together, heads, inner, images(3), until_s=0.0)
    for cut in inner:
        for image in images(3):
            alone.add(cut, heads.run(cut, image))
    for cut_id, size in alone.sizes().items():
        assert together.sizes()[cut_id] == pytest.approx(size, rel=0.03)


def test_an_artefact_per_cut_is_weighed_head_by_head(tiny_bundle):
    if not any(v.engine == "litert" for v in tiny_bundle.manifest.variants):
        pytest.skip("the bundle has no LiteRT artefact: pip install 'suture[build-litert]'")
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'suture[litert]'")
    from suture_edge.engines.litert import LiteRtEngine

    variant = choose_variant(tiny_bundle, "litert", processor_class())
    found = measure_edge(Heads(tiny_bundle, LiteRtEngine(), variant), images(3), budget_s=5.0)
    assert found.layers_s == {}
    for cut_id, timing in found.cuts.items():
        assert ("zstd" in timing.payload_bytes) is (cut_id != LAST_CUT), cut_id


def test_a_profile_that_was_stopped_goes_on_where_it_was(tiny_bundle, tmp_path):
    heads, pictures = heads_of(tiny_bundle), images(3)
    partial = Partial(tmp_path / "edge.json", pictures)

    def stop(done, total, text):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_edge(heads, pictures, budget_s=20.0, resume=partial, progress=stop)
    before = partial.read()
    assert before is not None
    assert 0 < len(before.cuts) < len(tiny_bundle.manifest.cuts)
    after = measure_edge(heads, pictures, budget_s=20.0, resume=partial)
    assert partial.read() is None
    assert after.layers_s == before.layers_s
    for cut_id, timing in before.cuts.items():
        assert after.cuts[cut_id].compute_s == timing.compute_s
    assert {"0", "last"} <= set(after.cuts)


def test_an_engine_without_counters_gives_no_layers(tiny_bundle):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'suture[onnxruntime]'")
    from suture_edge.engines.onnxruntime import OnnxRuntimeEngine

    variant = choose_variant(tiny_bundle, "onnxruntime", processor_class())
    assert layer_times(Heads(tiny_bundle, OnnxRuntimeEngine(), variant), images(1)[0]) == {}


def test_a_small_budget_leaves_cuts_unmeasured_and_says_so(pneumonia_bundle):
    """The budget may be overrun by a group of heads; that is far less than measuring them all takes."""
    spec = pneumonia_bundle.manifest.network
    from suture_models.calibration import calibration_inputs

    pictures = calibration_inputs(spec, None).inputs[:2]
    start_s = time.perf_counter()
    found = measure_edge(heads_of(pneumonia_bundle), pictures, budget_s=0.5)
    spent_s = time.perf_counter() - start_s
    measured = [cut_id for cut_id, timing in found.cuts.items() if timing.samples]
    assert {INPUT_CUT, LAST_CUT} <= set(measured)
    assert len(measured) < len(found.cuts)
    assert set(found.cuts) == {cut.id for cut in pneumonia_bundle.manifest.cuts if cut.candidate}
    assert spent_s < 30


def test_an_emulated_slow_device_shows_in_the_times(tiny_bundle, profile):
    slow = measure_edge(heads_of(tiny_bundle), images(3), budget_s=20.0, device_factor=FACTOR, slow=dilate(FACTOR))
    assert slow.device_factor == FACTOR
    for cut_id, timing in profile.cuts.items():
        if cut_id != INPUT_CUT:  # nothing is computed there
            assert slow.cuts[cut_id].compute_min_s > timing.compute_min_s * FACTOR / 4, cut_id
    encode_s = [p.cuts[INPUT_CUT].codec_s["jpegls"] for p in (profile, slow)]
    assert encode_s[1] > encode_s[0] * FACTOR / 10


def test_a_kept_profile_is_used_again_without_measuring(tiny_bundle, tmp_path):
    first = cached(heads_of(tiny_bundle), tmp_path)
    again = cached(heads_of(tiny_bundle), tmp_path, never, preprocess_s=0.5)
    assert again == dataclasses.replace(first, preprocess_s=0.5)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_engine_version_bundle_or_device_factor_is_measured_anew(tiny_bundle, tmp_path):
    cached(heads_of(tiny_bundle), tmp_path / "cache")
    other = Path(shutil.copytree(tiny_bundle.path, tmp_path / "other"))
    manifest = dataclasses.replace(
        tiny_bundle.manifest, network=dataclasses.replace(tiny_bundle.manifest.network, threshold=0.7)
    )
    (other / MANIFEST_NAME).write_text(manifest.to_json())
    newer = cached(heads_of(tiny_bundle, NewerOpenVino()), tmp_path / "cache")
    changed = cached(heads_of(open_bundle(other)), tmp_path / "cache")
    slowed = cached(heads_of(tiny_bundle), tmp_path / "cache", device_factor=2.0, slow=dilate(2.0))
    assert newer.versions["openvino"].endswith("+1")
    assert changed.bundle_digest == open_bundle(other).digest
    assert slowed.device_factor == 2.0
    assert len(list((tmp_path / "cache").iterdir())) == 4


@pytest.mark.parametrize("spoil", ["truncated", "other version"])
def test_a_kept_profile_that_does_not_fit_is_measured_anew(tiny_bundle, tmp_path, spoil):
    first = cached(heads_of(tiny_bundle), tmp_path)
    (path,) = tmp_path.iterdir()
    if spoil == "truncated":
        path.write_text(path.read_text()[:100])
    else:
        document = json.loads(path.read_text())
        document["profile"]["versions"]["openvino"] = "2019.1"
        path.write_text(json.dumps(document))
    again = cached(heads_of(tiny_bundle), tmp_path)
    assert again.versions == first.versions
    assert load_profile(path) == again


def test_a_profile_that_cannot_be_kept_is_used_all_the_same(tiny_bundle, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        found = cached(heads_of(tiny_bundle), tmp_path / "file" / "cache")
    assert found.cuts
    assert "profile of tiny is not kept" in caplog.text


def test_time_of_is_the_median_of_warm_calls():
    calls: list[int] = []
    seconds = time_of(lambda: calls.append(1), repeats=5)
    assert len(calls) == 6
    assert 0 < seconds < 0.1
