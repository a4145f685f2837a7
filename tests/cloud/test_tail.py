"""Tails: what codes become, batches, and what is told of a request that cannot be run."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import shutil
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tails need torch: pip install 'suture[cloud]'")

from suture_cloud.executor import TailRequest  # noqa: E402 after torch is known to be there
from suture_cloud.tail import LocalExecutor, Tails, choose_device  # noqa: E402
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle  # noqa: E402
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, QuantParams  # noqa: E402
from suture_models.quant import dequantise  # noqa: E402
from suture_protocol.errors import BundleError, UsageError  # noqa: E402
from tests.nets import images  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def variant_ids(bundle: Bundle) -> tuple[str, str]:
    """A float and an INT8 artefact, of whatever engine."""
    found = {v.precision: v.id for v in bundle.manifest.variants if v.engine == "onnxruntime"}
    return found["f32"], found["int8"]


def request(bundle: Bundle, cut: Cut, variant_id: str, tensors: tuple[Any, ...]) -> TailRequest:
    return TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant_id, tensors=tensors)


def codes_at(cut: Cut, *, seed: int = 0, batch: int = 1) -> tuple[Any, ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.integers(0, 256, (batch, *t.shape[1:]), dtype=np.uint8) for t in cut.boundary)


def widest(bundle: Bundle) -> Cut:
    return max(bundle.manifest.cuts, key=lambda cut: len(cut.boundary))


def with_quantisers(bundle: Bundle, folder: Path, cut: Cut, params: QuantParams) -> Bundle:
    """A copy of `bundle` whose INT8 artefact quantises each tensor of `cut` so."""
    copy = Path(shutil.copytree(bundle.path, folder / "copy"))
    _, int8 = variant_ids(bundle)
    quant = {t.name: params for t in cut.boundary}
    variants = tuple(
        dataclasses.replace(v, quant={**v.quant, **quant}) if v.id == int8 else v for v in bundle.manifest.variants
    )
    manifest = dataclasses.replace(bundle.manifest, variants=variants)
    (copy / MANIFEST_NAME).write_text(manifest.to_json())
    return open_bundle(copy)


@pytest.mark.parametrize("axis", [None, 1, 2])
def test_codes_are_dequantised_per_tensor_or_along_an_axis(tiny_bundle, tmp_path, axis):
    cut = next(c for c in tiny_bundle.manifest.cuts[1:-1] if len(c.boundary) == 1)
    (spec,) = cut.boundary
    count = 1 if axis is None else spec.shape[axis]
    scale = tuple(0.01 * (1 + place) for place in range(count))
    params = QuantParams(scale=scale, offset=tuple(-0.1 * place for place in range(count)), axis=axis)
    bundle = with_quantisers(tiny_bundle, tmp_path, cut, params)
    f32, int8 = variant_ids(bundle)
    tails = Tails(bundle, CPU)
    (codes,) = codes_at(cut)
    found = tails.run(request(bundle, cut, int8, (codes,)))
    expected = tails.run(request(bundle, cut, f32, (dequantise(codes, params),)))
    assert found.keys() == expected.keys() == {t.name for t in bundle.manifest.outputs}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


def test_a_batch_gives_what_its_images_give_one_by_one(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    tails = Tails(tiny_bundle, CPU)
    for cut in tiny_bundle.manifest.cuts[1:-1]:
        tensors = codes_at(cut, batch=3)
        (together,) = tails.run(request(tiny_bundle, cut, int8, tensors)).values()
        alone = [
            next(iter(tails.run(request(tiny_bundle, cut, int8, tuple(t[i : i + 1] for t in tensors))).values()))
            for i in range(3)
        ]
        assert together.shape[0] == 3
        np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-6, err_msg=cut.id)


def test_cut_0_runs_the_whole_network_and_the_last_cut_nothing(tiny_bundle):
    f32, _ = variant_ids(tiny_bundle)
    tails = Tails(tiny_bundle, CPU)
    (scores,) = tails.run(request(tiny_bundle, tiny_bundle.cut(INPUT_CUT), "", (images(1)[0],))).values()
    assert scores.dtype == np.float32
    (same,) = tails.run(request(tiny_bundle, tiny_bundle.cut(LAST_CUT), f32, (scores,))).values()
    np.testing.assert_array_equal(same, scores)


def test_what_a_request_holds_is_not_changed(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    tensors = codes_at(cut)
    for tensor in tensors:
        tensor.setflags(write=False)  # as they come off the wire
    kept = [t.copy() for t in tensors]
    Tails(tiny_bundle, CPU).run(request(tiny_bundle, cut, int8, tensors))
    for tensor, copy in zip(tensors, kept, strict=True):
        np.testing.assert_array_equal(tensor, copy)


def test_a_wrong_number_of_tensors_is_refused(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    with pytest.raises(BundleError, match=f"has {len(cut.boundary)} tensors, the request {len(cut.boundary) - 1}"):
        Tails(tiny_bundle, CPU).run(request(tiny_bundle, cut, int8, codes_at(cut)[:-1]))


def wrong_dtype(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(t.astype(np.float32) for t in tensors)


def wrong_shape(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*tensors[:-1], tensors[-1][:, :-1])


def uneven_batches(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*tensors[:-1], np.concatenate([tensors[-1]] * 2))


@pytest.mark.parametrize("spoil", [wrong_dtype, wrong_shape, uneven_batches])
def test_tensors_that_are_not_the_boundarys_are_refused_by_name(tiny_bundle, spoil):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    with pytest.raises(BundleError, match=r"expected uint8 \(1, "):
        Tails(tiny_bundle, CPU).run(request(tiny_bundle, cut, int8, spoil(codes_at(cut))))


def test_an_unknown_variant_is_refused_with_those_there_are(tiny_bundle):
    cut = widest(tiny_bundle)
    with pytest.raises(BundleError, match=r"no artefact 'tensorrt-int8'; it has: .*onnxruntime-f32"):
        Tails(tiny_bundle, CPU).run(request(tiny_bundle, cut, "tensorrt-int8", codes_at(cut)))


def test_the_executor_answers_in_order_and_tells_errors_in_the_result(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    good = request(tiny_bundle, cut, int8, codes_at(cut))
    unknown_bundle = dataclasses.replace(good, bundle_digest="f" * 64)
    unknown_cut = dataclasses.replace(good, cut_id="nowhere")
    short = dataclasses.replace(good, tensors=good.tensors[:1])
    executor = LocalExecutor([tiny_bundle], CPU)
    results = asyncio.run(executor.run([good, unknown_bundle, good, unknown_cut, short]))
    assert [bool(r.error) for r in results] == [False, True, False, True, True]
    assert "does not hold bundle ffffffffffff" in results[1].error
    assert tiny_bundle.digest[:12] in results[1].error
    assert "nowhere" in results[3].error
    assert all(r.tail_s > 0 and not r.outputs for r in results if r.error)
    for name, value in results[0].outputs.items():
        np.testing.assert_array_equal(results[2].outputs[name], value)
    assert results[0].tail_s > 0


def test_urgent_tails_run_between_the_operations_of_others(pneumonia_bundle):
    manifest = pneumonia_bundle.manifest
    variant = manifest.variants[0].id
    cut = manifest.cuts[1]
    slow = request(pneumonia_bundle, cut, variant, codes_at(cut, batch=24))
    urgent = [dataclasses.replace(slow, tensors=codes_at(cut, seed=seed), urgent=True) for seed in (1, 2)]
    executor = LocalExecutor([pneumonia_bundle], CPU)
    alone = executor.run_one(slow), [executor.run_one(one) for one in urgent]
    order: list[str] = []

    async def told(name: str, requests: list[TailRequest]) -> list[Any]:
        results = await executor.run(requests)
        order.append(name)
        return results

    async def both() -> tuple[list[Any], list[Any]]:
        routine = asyncio.create_task(told("routine", [slow]))
        await asyncio.sleep(0.1 * alone[0].tail_s)
        return await told("urgent", urgent), await routine

    passed, (stopped,) = asyncio.run(both())
    assert order == ["urgent", "routine"]
    for found, expected in ((stopped, alone[0]), *zip(passed, alone[1], strict=True)):
        assert not found.error
        for name, value in expected.outputs.items():
            np.testing.assert_array_equal(found.outputs[name], value)
    assert stopped.stopped_s >= sum(one.tail_s for one in passed)


def test_an_urgent_tail_that_fails_fails_alone_and_the_next_one_runs(tiny_bundle, monkeypatch):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    good = request(tiny_bundle, cut, int8, codes_at(cut))
    bad, next_one = (dataclasses.replace(good, urgent=True, cut_id=name) for name in ("bad", cut.id))
    executor = LocalExecutor([tiny_bundle], CPU)
    tails = executor.tails[tiny_bundle.digest]
    run = tails.run
    submitted = threading.Event()

    def slowly(asked: TailRequest) -> Any:
        if asked.cut_id == "bad":
            raise MemoryError("no room")
        if not asked.urgent:
            submitted.wait(10)  # so that the urgent ones run within it
        return run(asked)

    monkeypatch.setattr(tails, "run", slowly)

    async def all_of_them() -> list[Any]:
        routine = asyncio.create_task(executor.run([good]))
        urgent = [asyncio.create_task(executor.run([one])) for one in (bad, next_one)]
        while len(executor._urgent) < 2:
            await asyncio.sleep(0.001)
        submitted.set()
        return await asyncio.wait_for(asyncio.gather(routine, *urgent, return_exceptions=True), 20)

    (stopped,), failed, (passed,) = asyncio.run(all_of_them())
    assert isinstance(failed, MemoryError)
    assert not stopped.error
    assert not passed.error
    assert stopped.stopped_s > 0


def test_an_executor_that_is_done_with_is_freed(tiny_bundle):
    executor = LocalExecutor([tiny_bundle], CPU)
    cut = widest(tiny_bundle)
    asyncio.run(executor.run([request(tiny_bundle, cut, variant_ids(tiny_bundle)[1], codes_at(cut))]))
    known = weakref.ref(executor)
    del executor
    gc.collect()
    assert known() is None


def test_tails_that_are_measured_meanwhile_run_nothing_urgent(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    cut = widest(tiny_bundle)
    executor = LocalExecutor([tiny_bundle], CPU)
    urgent = dataclasses.replace(request(tiny_bundle, cut, int8, codes_at(cut)), urgent=True)
    seen: list[str] = []
    run_one = executor.run_one
    executor.run_one = lambda *asked: seen.append(threading.current_thread().name) or run_one(*asked)  # type: ignore

    async def all_of_them() -> None:
        loop = asyncio.get_running_loop()
        tails = executor.tails[tiny_bundle.digest]
        measuring = [loop.run_in_executor(None, tails.run, urgent) for _ in range(20)]
        for _ in range(20):
            await executor.run([urgent])
        await asyncio.gather(*measuring)

    asyncio.run(all_of_them())
    assert len(seen) == 20
    assert all(name.startswith("tail") for name in seen)


def test_a_bundle_whose_weights_were_changed_is_not_served(tiny_bundle, tmp_path):
    copy = Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))
    with (copy / tiny_bundle.manifest.weights.path).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleError, match="was changed since the build"):
        LocalExecutor([open_bundle(copy)], CPU)


def test_a_device_is_chosen_by_name():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError, match="choose auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="torch finds no CUDA device"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_tails_on_cuda_agree_with_those_on_the_cpu(tiny_bundle):
    _, int8 = variant_ids(tiny_bundle)
    there, here = Tails(tiny_bundle, torch.device("cuda")), Tails(tiny_bundle, CPU)
    for cut in tiny_bundle.manifest.cuts[1:-1]:
        asked = request(tiny_bundle, cut, int8, codes_at(cut, batch=2))
        for name, value in here.run(asked).items():
            np.testing.assert_allclose(there.run(asked)[name], value, rtol=1e-3, atol=1e-3, err_msg=cut.id)
