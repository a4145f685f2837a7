"""`lossless-small` and `lossless-fast`: what they choose, what the tables have to do with it, and foreign payloads."""

from dataclasses import replace

import numpy as np
import pytest

from suture_protocol.codecs.fast import LosslessFastCodec, deflate_fast
from suture_protocol.codecs.jpeglsstream import encode_planes
from suture_protocol.codecs.registry import codec_of
from suture_protocol.codecs.small import LosslessSmallCodec, entropy_bytes, written_sizes
from suture_protocol.codecs.tables import METHODS, Method, TensorTables
from suture_protocol.codecs.zstdframe import TOP_LEVEL, deflate
from suture_protocol.errors import CodecError
from tests.protocol.tables_samples import contexts

SHAPE = (1, 6, 40, 40)


def tables(methods: tuple[Method, ...] = (), window_log: int = 0) -> TensorTables:
    return TensorTables(shape=SHAPE, methods=methods, window_log=window_log, contexts=contexts(SHAPE[1]))


def levels() -> np.ndarray:
    """What context tables suit best: each channel a level of its own, the noise around it no one's neighbour tells."""
    noise = np.rint(np.random.default_rng(0).laplace(0, 3, SHAPE))
    return (noise + 40 + 32 * np.arange(SHAPE[1]).reshape(1, -1, 1, 1)).astype(np.uint8)


def slope() -> np.ndarray:
    """What JPEG-LS suits best: it goes on across the bins that context tables know."""
    noise = np.random.default_rng(0).integers(-4, 5, SHAPE)
    return (40 + 2 * np.arange(SHAPE[-1]) + np.arange(SHAPE[-2])[:, np.newaxis] + noise).astype(np.uint8)


def words() -> np.ndarray:
    """What zstd suits best, and more so at its top level: whole runs come again, in another order."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (40, 24), dtype=np.uint8)
    return np.resize(found[rng.integers(0, 40, 400)], SHAPE)


KINDS = pytest.mark.parametrize(("kind", "best"), [(levels, "contexts"), (slope, "jpegls"), (words, "zstd")])


@KINDS
@pytest.mark.parametrize("order", [METHODS, METHODS[::-1]])
def test_small_is_the_least_of_its_methods(kind, best, order):
    pytest.importorskip("constriction", reason="needs the range coder: pip install 'suture[codecs]'")
    sizes = written_sizes(kind(), contexts(SHAPE[1]))
    payload = LosslessSmallCodec((tables(order),)).encode(kind())
    assert METHODS[payload[0]].startswith(best)
    assert len(payload) == min(sizes.values())


@KINDS
def test_small_without_tables_is_the_lesser_of_zstds_top_level_and_jpegls(kind, best):
    del best
    sizes = written_sizes(kind(), None)
    assert set(sizes) == {"zstd", "jpegls", "jpegls-column"}
    assert sizes["zstd"] == 1 + len(deflate(kind().tobytes(), TOP_LEVEL)) <= len(deflate(kind().tobytes(), 3))
    assert len(codec_of("lossless-small").encode(kind())) == min(sizes["zstd"], sizes["jpegls"])


def test_small_tries_only_what_the_tables_name_where_that_comes_below_the_entropy():
    payload = LosslessSmallCodec((tables(("jpegls",)),)).encode(levels())
    assert METHODS[payload[0]] == "jpegls"
    assert len(payload) < entropy_bytes(levels().tobytes())


def test_what_tables_do_not_suit_goes_by_zstds_top_level():
    payload = LosslessSmallCodec((tables(("jpegls",)),)).encode(words())
    assert payload == b"\0" + deflate(words().tobytes(), TOP_LEVEL)


def test_the_entropy_of_bytes_is_that_of_their_frequencies():
    assert entropy_bytes(bytes(range(256)) * 3) == pytest.approx(3 * 256)
    assert entropy_bytes(b"\0\0\0\1" * 64) == pytest.approx(256 * 0.8112781 / 8)
    assert entropy_bytes(b"\7" * 100) == 0


def test_tables_of_another_tensor_are_not_used():
    other = levels()[:, :, :20]
    codec = LosslessSmallCodec((tables(("contexts",)),))
    payload = codec.encode(other)
    assert payload == codec_of("lossless-small").encode(other)
    bare = LosslessSmallCodec((replace(tables(), contexts=None),))
    for foreign, shape in ((codec, other.shape), (bare, SHAPE), (codec_of("lossless-small"), SHAPE)):
        with pytest.raises(CodecError, match="no tables for a tensor of shape"):
            foreign.decode(b"\2" + payload[1:], shape, "uint8")


@pytest.mark.parametrize("method", range(len(METHODS), 256, 50))
def test_a_method_of_a_later_version_is_refused(method):
    with pytest.raises(CodecError, match="no known method"):
        codec_of("lossless-small").decode(bytes([method]) + levels().tobytes(), SHAPE, "uint8")


@pytest.mark.parametrize("method", ["jpegls", "contexts"])
def test_only_codes_go_by_other_methods_than_zstd(method):
    payload = bytes([METHODS.index(method)]) + bytes(40)
    with pytest.raises(CodecError, match="carries uint8 codes"):
        LosslessSmallCodec((tables(),)).decode(payload, SHAPE, "int8")


@pytest.mark.parametrize(("method", "shape"), [("jpegls", (1, 3, 0)), ("jpegls-column", (1, 1200, 56, 2))])
def test_what_no_picture_holds_goes_by_another_method(method, shape):
    codes = np.zeros(shape, np.uint8)
    known = TensorTables(shape=shape, methods=(method,), window_log=0, contexts=None)
    codec = LosslessSmallCodec((known,))
    payload = codec.encode(codes)
    assert METHODS[payload[0]] == "zstd"
    np.testing.assert_array_equal(codec.decode(payload, shape, "uint8"), codes)
    with pytest.raises(CodecError, match="no codes of shape"):
        codec.decode(bytes([METHODS.index(method)]) + bytes(40), shape, "uint8")


def test_fast_uses_the_window_of_each_tensor():
    shaped = np.random.default_rng(0).integers(0, np.arange(2, 194, 2)[:, np.newaxis], (96, 3136)).astype(np.uint8)
    codes = shaped.reshape(1, 96, 56, 56)
    known = [TensorTables(shape=codes.shape, methods=(), window_log=log, contexts=None) for log in (0, 14)]
    both = LosslessFastCodec().with_tables(known)
    whole, parted = (both.of_tensor(place).encode(codes) for place in (0, 1))
    assert whole == deflate_fast(codes.tobytes(), 0) == codec_of("lossless-fast").encode(codes)
    # Blocks of 16 KB follow the channels, each of which has a range of its own.
    assert parted == deflate_fast(codes.tobytes(), 14)
    assert len(parted) < 0.97 * len(whole)


def test_fast_comes_close_to_the_entropy_of_codes_that_repeat_little():
    codes = np.random.default_rng(0).geometric(0.35, (1, 256, 14, 14)).clip(1, 256).astype(np.uint8) - 1
    entropy = entropy_bytes(codes.tobytes())
    assert len(codec_of("lossless-fast").encode(codes)) < 1.03 * entropy


@pytest.mark.parametrize(
    ("near", "bits", "message"), [(1, 8, "near-lossless"), (0, 12, "12 bits a sample"), (0, 8, None)]
)
def test_a_jpegls_stream_that_is_not_lossless_or_too_deep_is_refused(near, bits, message):
    jpeg_ls = pytest.importorskip("jpeg_ls")
    codes = levels()[:, :1]
    samples = codes.astype("<u2" if bits > 8 else "u1").tobytes()
    stream = bytes(jpeg_ls.encode_buffer(samples, 40, 40, 1, bits, near, 0))
    if message is None:
        assert stream == encode_planes(codes[0], 8, 0)
        return
    for payload, spec in ((b"\1" + stream, "lossless-small"), (b"\1" + stream, "jpegls")):
        with pytest.raises(CodecError, match=message):
            codec_of(spec).decode(payload, codes.shape, "uint8")


def test_a_jpegls_stream_that_claims_another_size_or_order_of_planes_is_refused_before_it_is_decoded():
    planes_CHW = np.concatenate([slope()[0, :2], levels()[0, :1]])
    stream = bytearray(encode_planes(planes_CHW, 8, 2))
    codec = codec_of("jpegls")
    np.testing.assert_array_equal(codec.decode(b"\1" + stream, (1, 3, 40, 40), "uint8")[0], planes_CHW)
    at = stream.index(b"\xff\xf7") + 5
    stream[at : at + 4] = b"\xea\x60\xea\x60"  # 60,000 x 60,000: ten gigabytes
    with pytest.raises(CodecError, match=r"stream is \(3, 60000, 60000\)"):
        codec.decode(b"\1" + stream, (1, 3, 40, 40), "uint8")
    with pytest.raises(CodecError, match="interleaved 0"):
        codec.decode(b"\1" + encode_planes(planes_CHW, 8, 0), (1, 3, 40, 40), "uint8")


def test_a_colour_transformed_jpegls_stream_is_refused():
    stream = encode_planes(slope()[0, :3], 8, 2)
    transformed = stream[:2] + b"\xff\xe8\x00\x07mrfx\x01" + stream[2:]  # as HP's encoder marks it
    with pytest.raises(CodecError, match="colour-transformed"):
        codec_of("jpegls").decode(b"\1" + transformed, (1, 3, 40, 40), "uint8")
