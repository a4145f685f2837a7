"""Packing a boundary into one payload and back, over real codecs, with hostile headers."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_protocol import limits
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import CodecError
from suture_protocol.payload import PayloadTensor, check_headers, pack, unpack

BOUNDARY = (
    np.arange(96, dtype=np.uint8).reshape(1, 6, 4, 4),
    np.linspace(-1, 1, 30, dtype=np.float32).reshape(1, 5, 6),
    np.zeros((1, 0, 3), np.uint8),
    np.arange(12, dtype=np.int64).reshape(1, 12),
)


@pytest.mark.parametrize("codec_id", ["raw", "zstd"])
def test_a_boundary_of_several_tensors_comes_back_in_order(codec_id):
    headers, payload = pack(BOUNDARY, get_codec(codec_id))
    assert sum(header.payload_bytes for header in headers) == len(payload) == check_headers(headers)
    for back, tensor in zip(unpack(headers, payload, get_codec(codec_id)), BOUNDARY, strict=True):
        np.testing.assert_array_equal(back, tensor)
        assert back.dtype == tensor.dtype


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_unpacks(buffer):
    headers, payload = pack(BOUNDARY, get_codec("zstd"))
    assert len(unpack(headers, buffer(payload), get_codec("zstd"))) == 4


def test_packing_what_the_codec_does_not_take_is_the_callers_mistake():
    with pytest.raises(ValueError, match="JPEG-LS takes"):
        pack(BOUNDARY, get_codec("jpegls"))
    with pytest.raises(ValueError, match="0 tensors"):
        pack((), get_codec("raw"))
    with pytest.raises(ValueError, match="65 tensors"):
        pack([np.zeros(1, np.uint8)] * (limits.MAX_TENSORS + 1), get_codec("raw"))


def header(shape=(1, 4), dtype="uint8", payload_bytes=4) -> PayloadTensor:
    return PayloadTensor(shape=shape, dtype=dtype, payload_bytes=payload_bytes)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [header()] * (limits.MAX_TENSORS + 1),
        [header(shape=(1, 1 << 13, 1 << 14))],
        [header(shape=(1, 1 << 13, 1 << 12))] * 3,
        [header(shape=(1, 1 << 13, 1 << 12), dtype="float64")] * 2,
        [header(shape=(limits.MAX_AXIS + 1,))],
        [header(shape=(1,) * (limits.MAX_AXES + 1))],
        [header(shape=(-1, -4))],
        [header(dtype="object")],
        [header(dtype="<f4")],
        [header(dtype="")],
        [header(payload_bytes=-4), header(payload_bytes=8)],
        [header(payload_bytes=limits.MAX_PAYLOAD_BYTES + 1)],
    ],
    ids=str,
)
def test_headers_beyond_the_limits_are_refused_before_anything_is_allocated(headers):
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            unpack(headers, b"\0" * 4, get_codec("raw"))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_payload_shorter_or_longer_than_declared_is_refused():
    headers, payload = pack(BOUNDARY, get_codec("raw"))
    for wrong in (payload[:-1], payload + b"\0", b""):
        with pytest.raises(CodecError, match="its headers declare"):
            unpack(headers, wrong, get_codec("raw"))


def test_a_tensor_that_the_codec_cannot_carry_is_refused():
    with pytest.raises(CodecError, match="jpeg carries no tensor"):
        unpack([header()], b"\0" * 4, get_codec("jpeg"))


@pytest.mark.parametrize("codec_id", ["raw", "zstd"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_anywhere_gives_a_codec_error_or_the_declared_shapes(codec_id, data):
    codec = get_codec(codec_id)
    headers, payload = pack(BOUNDARY, codec)
    changed = list(headers)
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] = dataclasses.replace(
        changed[at],
        shape=data.draw(st.one_of(st.just(changed[at].shape), st.lists(st.integers(-1, 1 << 17)).map(tuple))),
        dtype=data.draw(st.one_of(st.just(changed[at].dtype), st.sampled_from(["uint8", "float64", "bool", "str"]))),
        payload_bytes=data.draw(st.one_of(st.just(changed[at].payload_bytes), st.integers(-5, 1 << 40))),
    )
    damaged = bytearray(payload)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(0, 255))
    try:
        tensors = unpack(changed, damaged, codec)
    except CodecError:
        return
    assert [(t.shape, t.dtype.name) for t in tensors] == [(h.shape, h.dtype) for h in changed]
