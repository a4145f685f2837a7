"""Training codec tables: they shorten codes that they have not seen, steps follow what the answer needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suture_models.manifest import INPUT_CUT, LAST_CUT, QuantParams
from suture_models.tables import BundleTables
from suture_models.tabulate.contexts import train_contexts
from suture_models.tabulate.points import DISTORTIONS, code_weights, narrow_point, narrow_points
from suture_models.tabulate.tensors import train_tensor
from suture_protocol.codecs.contexts import encode_codes
from suture_protocol.codecs.fast import WINDOW_LOGS, deflate_fast
from suture_protocol.codecs.maps import codes_of, points_of
from suture_protocol.codecs.registry import codec_of
from suture_protocol.codecs.small import entropy_bytes, written_sizes
from suture_protocol.codecs.steps import to_codes, to_symbols
from suture_protocol.codecs.tables import NO_STEP, NarrowPoint, TensorTables
from suture_protocol.codecs.tablesfile import tables_to_bytes

pytest.importorskip("constriction", reason="needs the range coder: pip install 'suture[codecs]'")


def maps(count: int, shape: tuple[int, ...] = (1, 12, 20, 20), *, seed: int = 0) -> list[np.ndarray]:
    """Rectified channels of different spread whose neighbours are alike."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        alike = rng.normal(size=shape)
        for axis in (-1, -2):
            alike = sum(np.roll(alike, shift, axis) for shift in range(4)) / 2
        spread = np.linspace(3, 40, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
        found.append(np.clip(np.rint(alike * spread), 0, 255).astype(np.uint8))
    return found


def test_trained_tables_shorten_codes_that_they_have_not_seen():
    tables = train_contexts(maps(16))
    assert tables is not None
    unseen = maps(4, seed=1)
    sizes = sum(len(encode_codes(one, tables)) for one in unseen)
    assert sizes < 0.9 * sum(entropy_bytes(one.tobytes()) for one in unseen)


def test_equal_codes_give_equal_tables():
    one, two = (train_tensor(maps(6)) for _ in range(2))
    assert tables_to_bytes({"x": one}) == tables_to_bytes({"x": two})
    drawn, again = (train_contexts(maps(6), searched=6_000, counted=9_000) for _ in range(2))  # not all channels
    np.testing.assert_array_equal(drawn.costs, again.costs)


def test_the_methods_are_those_that_come_close_to_the_best():
    noise = [np.random.default_rng(i).integers(0, 256, (1, 4, 16, 16), dtype=np.uint8) for i in range(6)]
    for codes in (maps(12), noise):
        tables = train_tensor(codes)
        sizes = written_sizes(codes[5], tables.contexts)  # one of those kept from training
        assert sizes[tables.methods[0]] <= 1.1 * min(sizes.values())
    assert train_tensor(maps(12)).methods[0] == "contexts"


def striped(count: int, shape: tuple[int, ...] = (1, 12, 20, 20)) -> list[np.ndarray]:
    """What zstd suits best by far: rows of one value, every input another one."""
    found = []
    for place in range(count):
        rows = np.random.default_rng(place).integers(0, 256, (shape[-2], 1), dtype=np.uint8)
        found.append(np.ascontiguousarray(np.broadcast_to(rows, shape)))
    return found


def test_methods_far_from_the_best_are_left_out_and_tables_that_none_uses_with_them():
    tables = train_tensor(striped(12))
    assert tables.methods == ("zstd",)
    assert tables.contexts is None


def test_a_method_that_is_the_best_for_one_input_is_kept():
    codes = maps(12)
    codes[5] = np.zeros_like(codes[5])  # sizes are measured on this one and on the last
    sizes = [written_sizes(codes[place], train_contexts(maps(10))) for place in (5, 11)]
    assert min(sizes[0], key=lambda method: sizes[0][method]) == "zstd"
    assert sum(one["zstd"] for one in sizes) > 1.05 * sum(one["contexts"] for one in sizes)
    methods = train_tensor(codes).methods
    assert methods[0] == "contexts"
    assert "zstd" in methods
    assert "zstd" not in train_tensor(maps(12)).methods


def test_inputs_that_sizes_are_measured_on_do_not_train():
    codes, changed = maps(12), maps(12)
    changed[5], changed[11] = maps(2, seed=3)
    one, other = (train_tensor(each).contexts for each in (codes, changed))
    np.testing.assert_array_equal(one.costs, other.costs)
    np.testing.assert_array_equal(one.home, other.home)


def test_the_window_is_the_one_with_which_codes_are_smallest():
    ranges = np.arange(2, 98, dtype=np.int64)[:, np.newaxis]
    parted = [np.random.default_rng(i).integers(0, ranges, (96, 3136)).astype(np.uint8) for i in range(2)]
    for codes in ([one.reshape(1, 96, 56, 56) for one in parted], maps(2)):
        sizes = {log: sum(len(deflate_fast(one.tobytes(), log)) for one in codes) for log in WINDOW_LOGS}
        assert sizes[train_tensor(codes).window_log] == min(sizes.values())
    assert train_tensor([one.reshape(1, 96, 56, 56) for one in parted]).window_log == 14


def test_costs_are_lengths_of_codes_that_can_be_told_apart():
    tables = train_contexts(maps(8))
    for costs in (tables.costs, tables.jumps):
        shares = np.exp2(-costs.astype(float) / 8).sum(axis=-1)
        np.testing.assert_allclose(shares, 1, atol=0.07)  # costs are rounded to eighths of a bit
    assert tables.costs.max() <= 8 * 20  # bits of a code that was never seen
    at_home = np.unique(tables.home)
    assert len(at_home) > 4
    assert (tables.jumps[at_home].argmin(axis=1) == at_home).all()


@pytest.mark.parametrize("shape", [(1, 30), (1, 9, 16), (1, 4, 3, 8, 8), (1, 2, 1, 1)])
def test_vectors_sequences_and_volumes_are_trained_too(shape):
    codes = [np.random.default_rng(i).integers(0, 40, shape, dtype=np.uint8) for i in range(5)]
    tables = train_tensor(codes)
    codec = codec_of("lossless-small", tables=(tables,)).of_tensor(0)
    np.testing.assert_array_equal(codec.decode(codec.encode(codes[0]), shape, "uint8"), codes[0])


def only(point: NarrowPoint) -> TensorTables:
    """Tables with nothing but an operating point."""
    shape = (1, len(point.channels.steps), 20, 20)
    return TensorTables(shape=shape, methods=("zstd",), window_log=0, contexts=None, points=(point,))


def test_channels_that_the_answer_depends_on_get_finer_steps_and_others_none():
    weights = np.zeros(12)
    weights[::2] = np.geomspace(1e-2, 1e2, 6)
    codes = maps(8)
    point = narrow_point(codes, weights, 1.0)
    steps = point.channels.steps.astype(int)
    for one in codes:
        assert (np.ptp(to_symbols(points_of(one), point.channels)[:, 1::2], axis=0) == 0).all()
    assert steps[0] >= steps[4] >= steps[10] < 20


def test_all_channels_together_move_the_outputs_no_more_than_allowed():
    codes, weights = maps(8), np.geomspace(0.01, 10, 12)
    sizes = []
    for allowed in (0.5, 5.0, 50.0):
        point = narrow_point(codes, weights, allowed)
        codec = codec_of("narrow@1", tables=(only(point),)).of_tensor(0)
        back = [codec.decode(codec.encode(one), one.shape, "uint8").astype(float) for one in codes]
        errors = np.mean([((b - c) ** 2).mean(axis=(0, 2, 3)) for b, c in zip(back, codes, strict=True)], axis=0)
        assert (errors * weights).sum() <= 1.001 * allowed
        sizes.append(sum(len(codec.encode(one)) for one in codes))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.5 * sizes[0]


def test_a_rectifiers_zeros_stay_zeros():
    point = narrow_point(maps(8), np.ones(12), 200.0)
    kept = point.channels.steps < NO_STEP
    assert kept.any()
    assert (point.channels.centres[kept] == 0).all()
    zeros = to_codes(np.zeros((1, 12), np.uint8), point.channels)
    assert (zeros[0, kept] == 0).all()


def test_a_channel_of_which_nothing_crosses_comes_back_as_its_mean():
    codes = maps(8)
    point = narrow_point(codes, np.ones(12), 1000.0)
    dropped = point.channels.steps == NO_STEP
    assert dropped.any()
    mean = np.mean([one.mean(axis=(0, 2, 3)) for one in codes], axis=0)
    assert np.abs(point.channels.centres - mean)[dropped].max() <= 0.5


def test_operating_points_go_from_fine_to_coarse_each_within_its_share_of_the_spread():
    codes, weights, spread = maps(8), np.geomspace(0.1, 10, 12), 1000.0
    sizes = []
    for share, point in zip(DISTORTIONS, narrow_points(codes, weights, spread), strict=True):
        back = [codes_of(to_codes(to_symbols(points_of(c), point.channels), point.channels), c.shape) for c in codes]
        errors = np.mean(
            [((b.astype(float) - c) ** 2).mean(axis=(0, 2, 3)) for b, c in zip(back, codes, strict=True)], 0
        )
        assert 0.5 * share**2 * spread < (errors * weights).sum() <= 1.001 * share**2 * spread
        codec = codec_of("narrow@1", tables=(only(point),)).of_tensor(0)
        sizes.append(sum(len(codec.encode(one)) for one in codes))
    assert sizes == sorted(sizes, reverse=True)


def test_symbols_of_an_operating_point_take_less_than_their_entropy():
    codes = maps(8)
    point = narrow_point(codes, np.geomspace(0.1, 10, 12), 20.0)
    codec = codec_of("narrow@1", tables=(only(point),)).of_tensor(0)
    for one in maps(2, seed=1):
        assert len(codec.encode(one)) < entropy_bytes(to_symbols(points_of(one), point.channels).tobytes())


def test_there_are_no_operating_points_where_outputs_do_not_differ():
    assert narrow_points(maps(3), np.ones(12), 0.0) == ()


def test_weights_of_codes_are_those_of_values_times_the_squared_scale():
    moved = np.array([1.0, 2.0])
    for scale, expected in (((0.5,), [0.25, 0.5]), ((0.5, 2.0), [0.25, 8.0]), ((0.5, 1.0, 2.0), [4.0, 8.0])):
        quant = QuantParams(scale=scale, offset=(0.0,) * len(scale))
        np.testing.assert_allclose(code_weights(moved, quant), expected)


def test_a_built_bundle_has_tables_for_every_candidate_cut_of_its_int8_artefacts(tiny_bundle):
    manifest = tiny_bundle.manifest
    inner = [c for c in manifest.cuts if c.candidate and c.id not in (INPUT_CUT, LAST_CUT)]
    assert inner
    for variant in manifest.variants:
        tables = BundleTables(tiny_bundle, variant)
        for cut in inner:
            if variant.precision == "int8" and variant.has_cut(cut):
                found = tables.of(cut)
                assert [one is not None and one.shape for one in found] == [t.shape for t in cut.boundary]
                assert {len(one.points) for one in found} == {len(DISTORTIONS)}
            else:
                assert tables.of(cut) == ()


def test_the_tables_of_a_bundle_are_those_of_what_crosses_its_cuts(tiny_bundle):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'suture[build]'")
    from suture_models.calibration import varied_inputs
    from suture_models.program import load_program, subgraph
    from suture_models.quant import quantise
    from tests.nets import images

    manifest = tiny_bundle.manifest
    program = load_program(tiny_bundle.file(manifest.program), tiny_bundle.file(manifest.weights))
    cut = max((c for c in manifest.cuts if c.candidate), key=lambda c: len(c.boundary))
    assert len(cut.boundary) > 1
    head = subgraph(program, (program.input,), tuple(tensor.name for tensor in cut.boundary))
    with torch.inference_mode():
        runs = [head(torch.from_numpy(one)) for one in (*images(16), *varied_inputs(manifest.network))]
    for variant in manifest.variants:
        for place, found in enumerate(BundleTables(tiny_bundle, variant).of(cut)):
            quant = variant.quantiser(cut, cut.boundary[place])
            codes = [quantise(run[place].numpy(), quant) for run in runs]
            expected, written = train_tensor(codes), replace(found, points=())
            assert tables_to_bytes({"x": written}) == tables_to_bytes({"x": expected})


def test_gradients_tell_how_far_the_outputs_move(tiny_bundle):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'suture[build]'")
    from suture_models.program import load_program, subgraph
    from suture_models.tabulate.sensitivity import output_sensitivity
    from tests.nets import images

    manifest = tiny_bundle.manifest
    program = load_program(tiny_bundle.file(manifest.program), tiny_bundle.file(manifest.weights))
    cut = next(c for c in manifest.cuts if c.candidate and len(c.boundary) == 1 and c.id != INPUT_CUT)
    (spec,) = cut.boundary
    inputs = images(16)
    found = output_sensitivity(program, [spec.name], inputs)
    head = subgraph(program, (program.input,), (spec.name,))
    tail = subgraph(program, (spec.name,), program.outputs[:1])
    generator = torch.Generator().manual_seed(1)
    moved = []
    with torch.inference_mode():
        for image in inputs:
            (values,) = head(torch.from_numpy(image))
            for _ in range(20):
                noise = 1e-2 * torch.randn(values.shape, generator=generator)
                (after,), (before,) = tail(values + noise), tail(values)
                change = (after - after.mean()) - (before - before.mean())
                moved.append(float((change**2).sum()) / 1e-4)
    with torch.inference_mode():
        answers = np.stack([tail(*head(torch.from_numpy(image)))[0].numpy().astype(float) for image in inputs])
    centred = answers - answers.mean(axis=-1, keepdims=True)  # a shift of all logits alike changes no answer
    assert found.spread == pytest.approx(((centred - centred.mean(axis=0)) ** 2).sum() / len(inputs), rel=1e-3)
    assert found.channels[spec.name].sum() == pytest.approx(np.mean(moved), rel=0.4)
