"""The walk over maps and the range coder with contexts: every code once, known neighbours only, exact both ways."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_protocol.codecs.contexts import decode_codes, decode_points, encode_codes, encode_points
from suture_protocol.codecs.maps import MOST_POINTS, codes_of, grid_of, passes, points_of, tiled, tiled_shape, untiled
from suture_protocol.codecs.small import LosslessSmallCodec, entropy_bytes
from suture_protocol.codecs.steps import last_symbols, to_codes, to_symbols
from suture_protocol.codecs.tables import NO_STEP, ChannelSteps, ContextTables, TensorTables
from suture_protocol.errors import CodecError
from tests.protocol.tables_samples import contexts, tensor_tables

pytest.importorskip("constriction", reason="needs the range coder: pip install 'suture[codecs]'")


def gentle(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A slope with a little noise: neighbours on all sides are alike."""
    noise = np.random.default_rng(seed).integers(-4, 5, shape)
    return (40 + 2 * np.arange(shape[-1]) + 1 * np.arange(shape[-2])[:, np.newaxis] + noise).astype(np.uint8)


SHAPES = ((1, 5, 14, 14), (1, 3, 1, 9), (1, 2, 7, 1), (1, 4, 2, 3, 5), (1, 9, 6), (1, 40), (1, 1, 1, 1), (1, 6, 17, 23))


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(-6, 7, shape)
    return (np.abs(np.cumsum(steps, axis=-1)) % 200).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_walk_meets_each_point_once_and_only_knows_what_it_has_met(height, width):
    met = np.zeros(height * width, int)
    for one in passes(height, width):
        if one.around is not None:
            assert (met[one.around] == 1).all()
        met[one.at] += 1
    assert (met == 1).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_and_pictures_give_back_the_codes_they_were_made_of(shape):
    codes = smooth(shape)
    np.testing.assert_array_equal(codes_of(points_of(codes), shape), codes)
    for column in (False, True):
        picture = tiled(codes, column=column)
        if len(shape) < 3:
            assert picture is None
        else:
            assert picture.shape == tiled_shape(shape, column=column)
            np.testing.assert_array_equal(untiled(picture, shape, column=column), codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_come_back_exactly_whatever_their_shape(shape):
    tables = tensor_tables(shape)
    assert tables is not None
    for codes in (smooth(shape), np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)):
        np.testing.assert_array_equal(decode_codes(encode_codes(codes, tables.contexts), shape, tables.contexts), codes)


@pytest.mark.parametrize(
    ("shape", "grid", "channel", "expected"),
    [
        ((1, 3, 2, 4), (3, 2, 4), 1, lambda codes: codes[0, 1]),
        ((1, 3, 2, 4, 5), (3, 8, 5), 2, lambda codes: codes[0, 2]),
        ((1, 6, 4), (4, 6, 1), 3, lambda codes: codes[0, :, 3]),
        ((1, 7), (7, 1, 1), 5, lambda codes: codes[0, 5]),
    ],
)
def test_channels_are_those_of_the_network(shape, grid, channel, expected):
    codes = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    points_PC = points_of(codes)
    assert grid_of(shape) == grid
    assert points_PC.shape == (grid[1] * grid[2], grid[0])
    np.testing.assert_array_equal(points_PC[:, channel], expected(codes).ravel())


@pytest.mark.parametrize(("grid", "coarsest"), [((64, 64), 64), ((1, 64), 8), ((64, 1), 8), ((9, 80), 20), ((3, 2), 2)])
def test_few_points_have_no_known_neighbours(grid, coarsest):
    first, *others = passes(*grid)
    assert first.around is None
    assert first.at.size == coarsest
    assert all(one.around is not None for one in others)


@pytest.mark.parametrize("shape", [(1, 96, 56, 56), (1, 7, 3, 40), (1, 32, 40, 3), (1, 2, 16, 9, 9), (1, 50, 10)])
def test_pictures_of_maps_are_about_square(shape):
    _, height, width = tiled_shape(shape, column=False)
    assert height * width < 1.5 * np.prod(shape)
    assert max(height, width) <= 2 * min(height, width) or max(height, width) == max(shape[-2:])


def test_known_neighbours_take_codes_below_their_order_0_entropy():
    codes = gentle((1, 6, 56, 56))
    body = encode_codes(codes, contexts(6))
    assert len(body) < 0.75 * entropy_bytes(codes.tobytes())


def test_each_channel_takes_the_class_that_suits_it():
    tables = contexts(2)
    sure, unsure = smooth((1, 1, 32, 32)), np.random.default_rng(3).integers(0, 256, (1, 1, 32, 32), dtype=np.uint8)
    codes = points_of(np.concatenate([unsure, sure], axis=1))
    both = encode_points(codes, (32, 32), tables)
    # At home they are the other way round: without the choice it would take at least the difference in costs more.
    swapped = encode_points(codes[:, ::-1].copy(), (32, 32), tables)
    assert abs(len(both) - len(swapped)) <= 8
    np.testing.assert_array_equal(decode_points(both, (32, 32), tables), codes)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.sampled_from([1, 2, 16]))
def test_every_code_crosses_however_unlikely_the_tables_hold_it(seed, classes):
    # What is lost when likelihoods are added up must not be the last code's.
    rng = np.random.default_rng(seed)
    costs = np.rint(rng.exponential(rng.uniform(5, 60, (classes, 5, 1)), (classes, 5, 256)))
    jumps = np.rint(rng.exponential(30, (classes, classes)))
    costs[..., -1], jumps[:, -1] = 255, 255
    tables = ContextTables(
        home=np.zeros(256, np.uint8),
        jumps=jumps.clip(0, 255).astype(np.uint8),
        sum_bins=np.array([300, 600, 900], np.uint16),
        spread_bins=np.zeros(0, np.uint8),
        costs=costs.clip(0, 255).astype(np.uint8),
    )
    codes = np.where(rng.integers(0, 2, (1, 256, 9, 9)), 255, rng.integers(0, 256, (1, 256, 9, 9))).astype(np.uint8)
    np.testing.assert_array_equal(decode_codes(encode_codes(codes, tables), codes.shape, tables), codes)


def test_a_channel_takes_the_class_that_is_likely_at_its_home_unless_another_saves_more():
    # Class 0 is cheaper by an eighth of a bit for each code, and 8 bits dearer to be told of.
    costs = np.full((2, 2, 256), 200, np.uint8)
    costs[0, :, 0], costs[1, :, 0] = 0, 1
    tables = ContextTables(
        home=(np.arange(4000) % 2).astype(np.uint8),
        jumps=np.array([[64, 1], [64, 1]], np.uint8),
        sum_bins=np.zeros(0, np.uint16),
        spread_bins=np.zeros(0, np.uint8),
        costs=costs,
    )
    assert len(encode_codes(np.zeros((1, 4000), np.uint8), tables)) < 100


def test_other_tables_than_the_senders_are_noticed():
    codes = smooth((1, 6, 14, 14))
    with pytest.raises(CodecError, match=r"tables differ|damaged|behind its last"):
        decode_codes(encode_codes(codes, contexts(6)), codes.shape, contexts(6, scale=2))


def test_a_stream_that_is_cut_short_or_goes_on_is_refused():
    codes, tables = smooth((1, 6, 14, 14)), contexts(6)
    body = encode_codes(codes, tables)
    for damaged in (body[:-1], body[:-8], body + b"\x01\x02\x03\x04" * 3, body[:1], b""):
        with pytest.raises(CodecError):
            decode_codes(damaged, codes.shape, tables)


def test_a_unit_without_the_range_coder_sends_what_the_cloud_still_reads(monkeypatch):
    shape = (1, 6, 28, 28)
    tables = TensorTables(shape=shape, methods=("contexts", "zstd"), window_log=0, contexts=contexts(6))
    codec, codes = LosslessSmallCodec((tables,)), gentle(shape)
    with_it = codec.encode(codes)
    monkeypatch.setattr("suture_protocol.codecs.small.can_range_code", lambda: False)
    without = codec.encode(codes)
    monkeypatch.undo()
    assert with_it[0] != without[0]
    for payload in (with_it, without):
        np.testing.assert_array_equal(codec.decode(payload, codes.shape, "uint8"), codes)


def test_codes_that_the_tables_do_not_suit_fall_back_on_zstd():
    shape = (1, 6, 28, 28)
    tables = TensorTables(shape=shape, methods=("contexts",), window_log=0, contexts=contexts(6))
    repeated = np.resize(np.random.default_rng(0).integers(0, 256, 97, dtype=np.uint8), shape)
    payload = LosslessSmallCodec((tables,)).encode(repeated)
    assert len(payload) < 200
    np.testing.assert_array_equal(LosslessSmallCodec(()).decode(payload, shape, "uint8"), repeated)


@settings(max_examples=100, deadline=None)
@given(step=st.integers(1, NO_STEP), centre=st.integers(0, 255))
def test_codes_in_steps_come_back_within_half_a_step_and_the_centre_as_it_was(step, centre):
    channels = ChannelSteps(centres=np.array([centre], np.uint8), steps=np.array([step], np.uint16))
    every = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    symbols = to_symbols(every, channels)
    back = to_codes(symbols, channels).astype(int)
    assert np.abs(back - every).max() <= step // 2
    assert back[centre, 0] == centre
    assert (np.diff(symbols[:, 0].astype(int)) >= 0).all()
    assert symbols[-1, 0] == last_symbols(channels)[0]
    if step == NO_STEP:
        assert (back == centre).all()


def test_a_long_pass_is_cut_and_a_walk_over_a_large_grid_is_not_kept():
    grid = (300, 400)
    walk = passes(*grid)
    assert not isinstance(walk, tuple)
    found = list(walk)
    assert max(one.at.size for one in found) == MOST_POINTS
    np.testing.assert_array_equal(np.sort(np.concatenate([one.at for one in found])), np.arange(300 * 400))
    codes = gentle((1, 2, *grid))
    np.testing.assert_array_equal(decode_codes(encode_codes(codes, contexts(2)), codes.shape, contexts(2)), codes)
    assert isinstance(passes(56, 56), tuple)
    assert passes(56, 56) is passes(56, 56)
