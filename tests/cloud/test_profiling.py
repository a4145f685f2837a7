"""The cloud's profile of its tails: measured in the background, kept, and served as JSON."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tails need torch: pip install 'suture[cloud]'")

from suture_cloud.batches import with_batches  # noqa: E402 after torch is known to be there
from suture_cloud.executor import TailRequest  # noqa: E402
from suture_cloud.layers import boundaries  # noqa: E402
from suture_cloud.profiling import TailProfiles, measure_tails  # noqa: E402
from suture_cloud.tail import Tails  # noqa: E402
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle  # noqa: E402
from suture_models.manifest import INPUT_CUT, LAST_CUT, QuantParams  # noqa: E402
from suture_partitioner.profile import MIN_REPEATS  # noqa: E402
from suture_partitioner.profile_file import Partial, profile_from_json  # noqa: E402
from suture_partitioner.types import CutTiming  # noqa: E402
from tests.cloud.harness import until  # noqa: E402
from tests.nets import images  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def served(bundle: Bundle, folder: Path) -> str:
    profiles = TailProfiles([Tails(bundle, CPU)], folder)
    profiles.start()
    until(lambda: profiles.profile_json(bundle.digest) is not None, 60)
    text = profiles.profile_json(bundle.digest)
    assert text is not None
    return text


def request(bundle: Bundle, cut_id: str, variant_id: str, tensors: tuple[np.ndarray, ...]) -> TailRequest:
    return TailRequest(bundle_digest=bundle.digest, cut_id=cut_id, variant_id=variant_id, tensors=tensors)


def renamed(bundle: Bundle, folder: Path, **changes: object) -> Bundle:
    """A copy with another digest."""
    copy = Path(shutil.copytree(bundle.path, folder))
    (copy / MANIFEST_NAME).write_text(dataclasses.replace(bundle.manifest, **changes).to_json())
    return open_bundle(copy)


def test_every_candidates_tail_and_decoding_is_measured(tiny_bundle):
    profile = measure_tails(Tails(tiny_bundle, CPU), budget_s=20.0)
    assert (profile.side, profile.engine, profile.network) == ("cloud", "torch", "tiny")
    assert profile.device["tails_on"] == "cpu"
    assert profile.versions["torch"] == torch.__version__
    assert set(profile.cuts) == {cut.id for cut in tiny_bundle.manifest.cuts if cut.candidate}
    for cut_id, timing in profile.cuts.items():
        assert timing.samples >= MIN_REPEATS, cut_id
        assert timing.compute_s > 0, cut_id
        assert ("zstd" in timing.codec_s) is (cut_id != LAST_CUT), cut_id
    assert set(profile.cuts[INPUT_CUT].codec_s) == {"zstd", "jpegls"}
    assert profile.cuts[INPUT_CUT].compute_min_s > profile.cuts[LAST_CUT].compute_min_s


def test_operations_are_timed_by_their_names_in_the_graph(tiny_bundle):
    profile = measure_tails(Tails(tiny_bundle, CPU), budget_s=5.0)
    assert {node.name for node in tiny_bundle.manifest.graph} <= profile.layers_s.keys()
    assert all(0 <= seconds < 1 for seconds in profile.layers_s.values())


def test_what_crosses_is_what_the_heads_send(tiny_bundle):
    """Shape and dtype are those of the wire, values those of the network with the variant's quantisers."""
    tails = Tails(tiny_bundle, CPU)
    variant = next(v for v in tiny_bundle.manifest.variants if v.precision == "int8")
    cuts = [cut for cut in tiny_bundle.manifest.cuts if cut.candidate]
    found = {cut.id: crossing for cut, crossing in boundaries(tails, cuts, variant, images(1)[0])}
    whole = tails.run(request(tiny_bundle, INPUT_CUT, "", found[INPUT_CUT]))
    for cut in cuts:
        for tensor, spec in zip(found[cut.id], cut.boundary, strict=True):
            assert (tensor.shape, tensor.dtype.name) == (spec.shape, variant.wire_dtype(cut, spec)), cut.id
        outputs = tails.run(request(tiny_bundle, cut.id, variant.id, found[cut.id]))
        for name, values in whole.items():
            np.testing.assert_allclose(outputs[name], values, atol=0.1)


def test_batches_take_longer_than_one_image_and_no_longer_than_as_many(tiny_bundle):
    profile = measure_tails(Tails(tiny_bundle, CPU), budget_s=10.0)
    batch_s = profile.cuts[INPUT_CUT].batch_s
    assert set(batch_s) == {1, 2, 4, 8}
    assert batch_s[1] == profile.cuts[INPUT_CUT].compute_s
    assert all(set(timing.batch_s) == set(batch_s) for timing in profile.cuts.values())


def test_batches_in_between_are_in_proportion_to_the_measured_ones():
    timings = {
        name: CutTiming(compute_s=one_s, compute_min_s=one_s, samples=3)
        for name, one_s in (("long", 0.1), ("middle", 0.06), ("short", 0.02), ("none", 0.0))
    }
    found = with_batches(timings, {"long": {2: 0.2, 4: 0.4}, "short": {2: 0.03}})
    assert found["long"].batch_s == {1: 0.1, 2: 0.2, 4: 0.4}
    assert found["middle"].batch_s == {1: 0.06, 2: pytest.approx(0.06 * 1.75), 4: pytest.approx(0.24)}
    assert found["short"].batch_s == {1: 0.02, 2: 0.03, 4: pytest.approx(0.08)}
    assert found["none"].batch_s == {1: 0.0, 2: 0.0, 4: 0.0}


def test_a_measurement_that_was_stopped_goes_on_where_it_was(tiny_bundle, tmp_path):
    partial = Partial(tmp_path / "cloud.json")

    def stop(done, total, text):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_tails(Tails(tiny_bundle, CPU), budget_s=20.0, resume=partial, progress=stop)
    before = partial.read()
    assert before is not None
    after = measure_tails(Tails(tiny_bundle, CPU), budget_s=20.0, resume=partial)
    assert partial.read() is None
    for cut_id, timing in before.cuts.items():
        assert after.cuts[cut_id].compute_s == timing.compute_s


def test_a_small_budget_leaves_tails_unmeasured_and_says_so(pneumonia_bundle):
    start_s = time.perf_counter()
    profile = measure_tails(Tails(pneumonia_bundle, CPU), budget_s=0.1)
    assert time.perf_counter() - start_s < 30
    samples = [timing.samples for timing in profile.cuts.values()]
    assert 0 in samples
    assert profile.cuts[INPUT_CUT].samples >= MIN_REPEATS


def test_a_kept_profile_is_served_again_and_another_digest_is_measured(tiny_bundle, tmp_path):
    first = served(tiny_bundle, tmp_path / "cache")
    assert profile_from_json(first).bundle_digest == tiny_bundle.digest
    assert profile_from_json(served(tiny_bundle, tmp_path / "cache")) == profile_from_json(first)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    other = renamed(tiny_bundle, tmp_path / "other", built_with={})
    assert profile_from_json(served(other, tmp_path / "cache")).bundle_digest == other.digest
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_kept_profile_of_another_torch_is_measured_anew(tiny_bundle, tmp_path):
    served(tiny_bundle, tmp_path)
    (path,) = tmp_path.iterdir()
    document = json.loads(path.read_text())
    document["profile"]["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(document))
    assert profile_from_json(served(tiny_bundle, tmp_path)).versions["torch"] == torch.__version__


def test_nothing_is_served_before_measuring_or_for_an_unknown_bundle(tiny_bundle, tmp_path):
    profiles = TailProfiles([Tails(tiny_bundle, CPU)], tmp_path)
    assert profiles.profile_json(tiny_bundle.digest) is None
    assert profiles.profile_json("f" * 64) is None


def test_tails_that_cannot_be_measured_are_logged_and_the_next_are_measured(tiny_bundle, tmp_path, caplog):
    wrong = QuantParams(scale=(1.0, 2.0, 3.0), offset=(0.0, 0.0, 0.0), axis=1)  # three channels where there are more
    variants = tuple(dataclasses.replace(v, quant=dict.fromkeys(v.quant, wrong)) for v in tiny_bundle.manifest.variants)
    damaged = renamed(tiny_bundle, tmp_path / "damaged", variants=variants)
    over: list[str | None] = []

    def then() -> None:
        over.append(profiles.profile_json(tiny_bundle.digest))

    profiles = TailProfiles([Tails(damaged, CPU), Tails(tiny_bundle, CPU)], tmp_path / "cache", then=then)
    with caplog.at_level(logging.ERROR):
        profiles.start()
        until(lambda: bool(over), 60)
    assert over == [profiles.profile_json(tiny_bundle.digest)] != [None]
    assert profiles.profile_json(damaged.digest) is None
    assert "the tails of tiny cannot be measured" in caplog.text
