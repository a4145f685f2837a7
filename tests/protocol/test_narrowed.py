"""`narrow`: the operating point that was asked for, of the tensor that it is for, with and without the range coder."""

from dataclasses import replace

import numpy as np
import pytest

from suture_protocol.codecs.maps import codes_of, points_of
from suture_protocol.codecs.registry import codec_of
from suture_protocol.codecs.steps import last_symbols, to_codes, to_symbols
from suture_protocol.codecs.zstdframe import deflate
from suture_protocol.errors import CodecError
from tests.protocol.tables_samples import codec_at, tensor_tables

SHAPE = (1, 6, 14, 14)


def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.mark.parametrize("ranged", [True, False])
@pytest.mark.parametrize("point", [1, 2])
def test_codes_come_back_in_the_steps_of_the_point_with_and_without_the_range_coder(point, ranged, monkeypatch):
    codec = codec_at(f"narrow@{point}", SHAPE)
    channels = tensor_tables(SHAPE).points[point - 1].channels
    if ranged:
        pytest.importorskip("constriction", reason="needs the range coder: pip install 'suture[codecs]'")
    else:
        monkeypatch.setattr("suture_protocol.codecs.narrowed.can_range_code", lambda: False)
    payload = codec.encode(codes())
    assert payload[0] == int(ranged)
    monkeypatch.undo()
    expected = to_codes(to_symbols(points_of(codes()), channels), channels)
    np.testing.assert_array_equal(points_of(codec.decode(payload, SHAPE, "uint8")), expected)


def test_the_last_symbol_of_each_channel_is_taken_and_the_next_refused():
    codec, channels = codec_at("narrow@2", SHAPE), tensor_tables(SHAPE).points[1].channels
    last = np.broadcast_to(last_symbols(channels), (14 * 14, 6)).copy()

    def payload() -> bytes:
        return b"\0" + deflate(codes_of(last, SHAPE).tobytes(), 3)

    np.testing.assert_array_equal(points_of(codec.decode(payload(), SHAPE, "uint8")), to_codes(last, channels))
    for channel in range(6):
        last[77, channel] += 1
        with pytest.raises(CodecError, match="beyond its channel's last"):
            codec.decode(payload(), SHAPE, "uint8")
        last[77, channel] -= 1


def test_a_frame_of_more_symbols_than_the_tensor_has_is_not_inflated():
    bomb = b"\0" + deflate(bytes(1 << 24), 3)
    with pytest.raises(CodecError, match="declares 16777216 bytes"):
        codec_at("narrow@1", SHAPE).decode(bomb, SHAPE, "uint8")


def test_tables_of_another_tensor_take_no_codes():
    codec = codec_of("narrow@1", tables=(tensor_tables((1, 6, 7, 28)),))
    assert not codec.accepts(SHAPE, "uint8")
    with pytest.raises(CodecError, match="no such operating point"):
        codec.decode(codec_at("narrow@1", SHAPE).encode(codes()), SHAPE, "uint8")


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32"])
def test_only_uint8_codes_are_narrowed(dtype):
    codec = codec_at("narrow@1", SHAPE)
    assert not codec.accepts(SHAPE, dtype)
    with pytest.raises(ValueError, match="does not take"):
        codec.encode(codes().astype(dtype))
    with pytest.raises(CodecError, match="no such operating point"):
        codec.decode(codec.encode(codes()), SHAPE, dtype)


def test_a_cloud_without_the_range_coder_says_what_it_lacks(monkeypatch):
    pytest.importorskip("constriction", reason="needs the range coder: pip install 'suture[codecs]'")
    codec = codec_at("narrow@1", SHAPE)
    payload = codec.encode(codes())
    monkeypatch.setattr("suture_protocol.codecs.contexts.can_range_code", lambda: False)
    with pytest.raises(CodecError, match="needs constriction"):
        codec.decode(payload, SHAPE, "uint8")


def test_steps_of_other_channels_than_the_codes_are_distributed_in_make_no_point():
    point, other = tensor_tables(SHAPE).points[0], tensor_tables((1, 5, 14, 14)).points[0]
    with pytest.raises(ValueError, match="different channels"):
        replace(point, channels=other.channels)
