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
from suture_edge.slowdown import full_speed
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.device import processor_class
from suture_partitioner.profile import MIN_REPEATS
from suture_partitioner.profile_file import load_profile
from suture_partitioner.types import Profile
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


def test_layers_are_timed_by_the_engine(profile):
    assert len(profile.layers_s) > 3
    assert all(0 < seconds < 0.1 for seconds in profile.layers_s.values())


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
