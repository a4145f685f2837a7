"""The codec contract, run over every registered codec: round trips, determinism, damage, bounds, golden payloads."""

import base64
import hashlib
import json
import subprocess
import sys
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from suture_protocol.codecs.maps import _one_of_few, points_of
from suture_protocol.codecs.narrow import body_bytes, max_error, narrow, widen
from suture_protocol.codecs.registry import codec_of, codecs_in_words, default_codec, get_codec
from suture_protocol.codecs.tablesfile import TablesFile
from suture_protocol.errors import CodecError
from suture_protocol.limits import MAX_AXIS
from suture_protocol.payload import pack, unpack
from tests.protocol.tables_samples import SPECS, codec_at, tensor_tables

# Rows are added when a codec or a layout is; those that are there never change.
GOLDEN = Path(__file__).parent / "golden" / "payloads.json"
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "float16", "int32", "uint32", "float32", "int64", "float64")
SHAPES = (
    (1, 1, 24, 31),
    (1, 2, 9, 16),
    (1, 3, 40, 33),
    (1, 4, 17, 8),
    (1, 32, 7, 7),
    (1, 1, 1, 1),
    (1, 3, 1, 2),
    (1, 0, 5),
    (1, 1, 0, 7),
    (1,),
    (),
    (1, 2, 3, 4, 5),
)
IMAGE_SHAPES = tuple(shape for shape in SHAPES if len(shape) == 4 and 0 not in shape and shape[1] <= 4)

every_codec = pytest.mark.parametrize("spec", SPECS)


def smooth(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Values that vary slowly along the last axis, as images and activations do."""
    steps = np.random.default_rng(seed).integers(-6, 7, shape)
    values = np.abs(np.cumsum(steps, axis=-1) if steps.ndim else steps)
    if dtype == "bool":
        return np.asarray(values % 2 == 0)
    scale = 13 if np.dtype(dtype).itemsize > 1 else 1
    return np.asarray((values * scale % 120 if scale == 1 else values * scale).astype(dtype))


def cases(spec: str) -> list[np.ndarray]:
    return [smooth(shape, dtype) for shape in SHAPES for dtype in DTYPES if codec_at(spec, shape).accepts(shape, dtype)]


@every_codec
def test_lossless_codecs_give_back_what_they_took_and_lossy_ones_come_close(spec):
    assert cases(spec)
    for array in cases(spec):
        codec = codec_at(spec, array.shape)
        decoded = codec.decode(codec.encode(array), array.shape, array.dtype.name)
        assert decoded.shape == array.shape
        assert decoded.dtype == array.dtype
        assert decoded.flags.writeable
        if codec.lossless:
            np.testing.assert_array_equal(decoded, array)
        elif codec.point:
            steps = tensor_tables(array.shape).points[codec.point - 1].channels.steps
            error = points_of(decoded).astype(int) - points_of(array)
            assert (np.abs(error) <= steps // 2).all()
        elif codec.bits < 8:
            assert np.abs(decoded.astype(int) - array.astype(int)).max(initial=0) <= max_error(codec.bits)
        else:
            error = decoded.astype(int) - array.astype(int)
            # Colour goes through YCbCr; a smooth grey image comes within two levels on average.
            assert np.abs(error).mean() <= (2 if array.shape[1] == 1 else 12)


@every_codec
def test_memory_layout_and_byte_order_do_not_matter(spec):
    for array in cases(spec):
        codec = codec_at(spec, array.shape)
        expected = codec.encode(array)
        views = [np.asfortranarray(array), array.astype(array.dtype.newbyteorder(">"))]
        if array.ndim == 4:
            strided = np.zeros((1, array.shape[1], array.shape[2], array.shape[3] * 2), array.dtype)[..., ::2]
            strided[:] = array
            views += [strided, np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)]
        for view in views:
            assert codec.encode(view) == expected


@every_codec
def test_the_same_array_always_gives_the_same_bytes(spec):
    for array in cases(spec):
        assert codec_at(spec, array.shape).encode(array) == codec_at(spec, array.shape).encode(array.copy())


@every_codec
def test_payloads_decode_from_any_buffer_and_leave_it_alone(spec):
    array = cases(spec)[0]
    codec = codec_at(spec, array.shape)
    payload = codec.encode(array)
    framed = memoryview(b"head" + payload + b"tail")[4:-4]
    decoded = codec.decode(framed, array.shape, array.dtype.name)
    decoded[...] = 0
    assert bytes(framed) == payload


@every_codec
def test_what_a_codec_does_not_accept_it_refuses_both_ways(spec):
    codec = codec_of(spec)
    for shape, dtype in (((1, 5, 4, 4), "complex64"), ((1, MAX_AXIS + 1), "uint8"), ((1,) * 9, "uint8")):
        assert not codec.accepts(shape, dtype)
        with pytest.raises(CodecError):
            codec.decode(b"\x01" * 80, shape, dtype)
    with pytest.raises(ValueError, match=r"not|does"):
        codec.encode(np.zeros((1, 5, 4, 4), np.complex64))


@every_codec
def test_a_payload_of_another_tensor_is_refused(spec):
    array = smooth((1, 3, 40, 33), "uint8")
    codec = codec_at(spec, array.shape)
    payload = codec.encode(array)
    for shape in ((1, 3, 40, 34), (1, 1, 40, 33), (1, 3, 39, 33), (1, 3, 4000, 3300)):
        with pytest.raises(CodecError):
            codec.decode(payload, shape, "uint8")
    with pytest.raises(CodecError):
        codec.decode(payload, array.shape, "float32")


@every_codec
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_payload_gives_a_codec_error_or_an_array_of_the_declared_shape(spec, data):
    array = data.draw(st.sampled_from(cases(spec)))
    codec = codec_at(spec, array.shape)
    payload = bytearray(codec.encode(array))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(payload) - 1, 0)))
        kind = data.draw(st.sampled_from(("set", "cut", "insert", "delete")))
        if kind == "set" and payload:
            payload[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del payload[at:]
        elif kind == "insert":
            payload[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del payload[at : at + 3]
    try:
        decoded = codec.decode(bytes(payload), array.shape, array.dtype.name)
    except CodecError:
        return
    assert (decoded.shape, decoded.dtype) == (array.shape, array.dtype)


@every_codec
@settings(max_examples=100, deadline=None)
@given(payload=st.binary(max_size=200))
def test_noise_is_refused_or_has_the_declared_shape(spec, payload):
    try:
        decoded = codec_at(spec, (1, 1, 5, 6)).decode(payload, (1, 1, 5, 6), "uint8")
    except CodecError:
        return
    assert decoded.shape == (1, 1, 5, 6)


def test_a_few_thousand_damaged_inputs_break_no_decoder():
    # In a process of its own: what this one grew to before would hide what decoders take.
    command = [sys.executable, "-m", "tests.protocol.fuzz", "--inputs", "5000", "--seed", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "never: none" in run.stdout


@every_codec
@pytest.mark.parametrize("shape", [(1, 3, 300, 300), (1, 48, 80, 80), (1, 1, 512, 512), (1, 2, 256, 256)])
def test_decoding_takes_at_most_sixteen_times_what_is_declared(spec, shape):
    array, codec = smooth(shape, "uint8"), codec_at(spec, shape)
    if not codec.accepts(shape, "uint8"):
        return
    payload = codec.encode(array)
    small = array[..., :8]
    loading = codec_at(spec, small.shape)
    loading.decode(loading.encode(small), small.shape, "uint8")  # libraries are loaded then
    _one_of_few.cache_clear()
    tracemalloc.start()
    try:
        codec.decode(payload, shape, "uint8")
        (_, peak_bytes) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What a range coder works out of each point of a pass, and the walk that is kept.
    constant = 4 << 20 if codec.tabled else 1 << 16
    assert peak_bytes <= 16 * array.nbytes + constant


def test_a_zstd_frame_that_would_inflate_beyond_its_header_is_not_inflated():
    bomb = get_codec("zstd").encode(np.zeros((1, 1 << 12, 1 << 12), np.uint8))
    assert len(bomb) < 2000
    with pytest.raises(CodecError, match="declares 16777216 bytes"):
        get_codec("zstd").decode(bomb, (1, 16), "uint8")


def test_a_zstd_frame_that_holds_more_than_it_declares_is_not_inflated_either():
    frame = bytearray(get_codec("zstd").encode(np.zeros((1, 1 << 12, 1 << 12), np.uint8)))
    at = frame.index((1 << 24).to_bytes(4, "little"))
    frame[at : at + 4] = (16).to_bytes(4, "little")
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="damaged"):
            get_codec("zstd").decode(bytes(frame), (1, 16), "uint8")
        (_, peak_bytes) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_a_zstd_frame_without_a_declared_size_and_one_with_trailing_bytes_are_refused():
    zstd = pytest.importorskip("backports.zstd")
    options = {zstd.CompressionParameter.content_size_flag: 0}
    anonymous = zstd.compress(b"\0" * 16, options=options)
    with pytest.raises(CodecError):
        get_codec("zstd").decode(anonymous, (1, 16), "uint8")
    with pytest.raises(CodecError):
        get_codec("zstd").decode(get_codec("zstd").encode(np.zeros((1, 16), np.uint8)) + b"x", (1, 16), "uint8")


def test_jpeg_with_larger_dimensions_than_declared_is_refused_before_it_is_decoded():
    header = bytearray(get_codec("jpeg").encode(np.zeros((1, 1, 8, 8), np.uint8)))
    at = header.index(b"\xff\xc0") + 5
    header[at : at + 4] = b"\xff\xdc\xff\xdc"  # 65,500 × 65,500: four gigabytes
    with pytest.raises(CodecError, match="65500 x 65500"):
        get_codec("jpeg").decode(bytes(header), (1, 1, 8, 8), "uint8")


def test_progressive_jpeg_is_refused():
    out = BytesIO()
    Image.fromarray(smooth((1, 1, 64, 64), "uint8")[0, 0]).save(out, format="JPEG", progressive=True)
    with pytest.raises(CodecError, match="progressive"):
        get_codec("jpeg").decode(out.getvalue(), (1, 1, 64, 64), "uint8")


def test_jpeg_quality_trades_size_for_error():
    array = smooth((1, 1, 64, 64), "uint8")
    small, large = (get_codec("jpeg", {"quality": q}).encode(array) for q in ("30", "95"))
    assert len(small) < len(large)
    assert large == get_codec("jpeg").encode(array)


def test_jpegls_never_sends_more_than_the_raw_image_and_a_byte():
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 64), dtype=np.uint8)
    assert len(get_codec("jpegls").encode(noise)) == noise.size + 1


def test_jpegls_codes_twelve_bits_in_uint16_as_twelve():
    array = smooth((1, 1, 64, 64), "uint16") % 4096
    assert len(get_codec("jpegls").encode(array)) < array.size


def test_jpegls_spends_next_to_nothing_on_grey_sent_as_colour():
    grey = smooth((1, 1, 64, 64), "uint8")
    colour = np.repeat(grey, 3, axis=1)
    assert len(get_codec("jpegls").encode(colour)) < 1.4 * len(get_codec("jpegls").encode(grey))


def test_jpegls_that_stops_without_an_end_marker_is_refused_at_once():
    # The library beneath would count to 2^32 on such a stream.
    array = smooth((1, 2, 24, 31), "uint8")
    payload = get_codec("jpegls").encode(array)
    for size in range(20, len(payload) - 1, 7):
        with pytest.raises(CodecError):
            get_codec("jpegls").decode(payload[:size], array.shape, "uint8")


@pytest.mark.parametrize(
    ("codec_id", "config", "message"),
    [
        ("gzip", {}, "unknown codec 'gzip'; there are: raw, zstd"),
        ("raw", {"level": "3"}, "has no setting 'level'"),
        ("zstd", {"level": "high"}, "whole number"),
        ("zstd", {"level": "20"}, "between 1 and 19"),
        ("jpeg", {"quality": "0"}, "between 1 and 100"),
        ("jpeg", {"quality": "९"}, "whole number"),
        ("jpeg", {"quality": "9" * 5000}, "whole number"),
        ("zstd", {"bits": "1"}, "codes of 1 bits; between 2 and 8"),
        ("zstd", {"bits": "9"}, "codes of 9 bits; between 2 and 8"),
        ("raw", {"bits": "4"}, "has no setting 'bits'"),
        ("lossless-small", {"level": "3"}, "has no setting 'level'"),
        ("narrow", {}, "takes point, as in narrow@1"),
        ("narrow", {"point": "0"}, "they count from 1"),
        ("narrow", {"bits": "4"}, "has no setting 'bits'"),
    ],
)
def test_unknown_codecs_and_settings_are_refused_with_what_there_is(codec_id, config, message):
    with pytest.raises(CodecError, match=message):
        get_codec(codec_id, config)


@pytest.mark.parametrize(
    ("codec_id", "config"),
    [("zstd", {"level": "9"}), ("zstd", {"level": "1", "bits": "4"}), ("jpeg", {"quality": "80"}), ("raw", {})],
)
def test_a_codecs_configuration_makes_the_same_codec_again(codec_id, config):
    codec = get_codec(codec_id, config)
    assert codec.config == config
    assert get_codec(codec.id, codec.config).encode(smooth((1, 1, 9, 9), "uint8")) == codec.encode(
        smooth((1, 1, 9, 9), "uint8")
    )


@every_codec
def test_a_spec_names_the_same_codec_again_and_is_told_in_words(spec):
    codec = codec_of(spec)
    assert codec.spec == spec
    assert get_codec(codec.id, codec.config).spec == spec
    assert codec.id in codecs_in_words()


@pytest.mark.parametrize(
    "spec",
    [
        "narrow",
        "narrow@",
        "narrow@0",
        "narrow@999",
        "lossless-fast@2",
        "zstd@",
        "zstd@1",
        "zstd@04x",
        "zstd@4@4",
        "@4",
        "",
        "jpegls@4",
        "zstd@-4",
    ],
)
def test_a_spec_that_names_no_codec_is_refused(spec):
    with pytest.raises(CodecError):
        codec_of(spec)


def test_the_full_width_is_no_setting_and_others_may_join_the_spec():
    assert codec_of("zstd@8").spec == "zstd"
    assert codec_of("zstd@8").lossless
    assert codec_of("zstd@4", {"level": "1"}).config == {"level": "1", "bits": "4"}


@pytest.mark.parametrize(
    ("spec", "at_input", "inside"),
    [
        ("zstd", True, True),
        ("jpegls", True, True),
        ("jpeg", True, False),
        ("zstd@4", False, True),
        ("narrow@1", False, True),
        ("lossless-fast", False, True),
        ("lossless-small", False, True),
    ],
)
def test_an_image_is_never_narrowed_and_codes_are_never_a_picture(spec, at_input, inside):
    assert codec_of(spec).suits(is_input=True) is at_input
    assert codec_of(spec).suits(is_input=False) is inside


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float32"])
def test_only_codes_are_narrowed(dtype):
    codec = codec_of("zstd@4")
    assert not codec.accepts((1, 8), dtype)
    with pytest.raises(ValueError, match="narrowed are uint8 codes"):
        codec.encode(np.zeros((1, 8), dtype))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_narrowed_codes_come_back_within_half_a_step_of_their_own_range(data):
    bits = data.draw(st.integers(2, 7))
    shape = data.draw(st.sampled_from([(1, 3, 5, 7), (1, 4, 3), (2, 3, 4, 4), (1, 40), (1, 2, 1, 1)]))
    low = data.draw(st.integers(0, 255))
    high = data.draw(st.integers(low, 255))
    codes = np.random.default_rng(low).integers(low, high, shape, dtype=np.uint8, endpoint=True)
    body = narrow(codes, bits)
    assert len(body) == body_bytes(shape, bits)
    back = widen(body, shape, bits)
    assert np.abs(back.astype(int) - codes.astype(int)).max() <= max_error(bits, high - low)
    assert (back.min(), back.max()) == (codes.min(), codes.max())
    np.testing.assert_array_equal(widen(narrow(back, bits), shape, bits), back)


@pytest.mark.parametrize("bits", range(2, 8))
def test_narrower_codes_take_fewer_bytes_and_lose_more(bits):
    codes = np.random.default_rng(1).exponential(30, (1, 16, 28, 28)).clip(0, 255).astype(np.uint8)
    found = {}
    for width in (bits, bits + 1):
        codec = get_codec("zstd", {"bits": str(width)})
        payload = codec.encode(codes)
        error = np.abs(codec.decode(payload, codes.shape, "uint8").astype(int) - codes.astype(int)).mean()
        found[width] = (len(payload), error)
    assert found[bits][0] < found[bits + 1][0]
    assert found[bits][1] > found[bits + 1][1]


def framed(body: bytes) -> bytes:
    """A payload with this body, as a codec of another make might write it."""
    return get_codec("zstd").encode(np.frombuffer(body, np.uint8))


@pytest.mark.parametrize(
    ("bits", "body", "message"),
    [
        (4, b"\x00\x0f" + b"\xff" * 7, "declares 9 bytes"),
        (4, b"\xff\x01" + b"\x00" * 8, "ends above 255"),
        (4, b"\x00\x03" + b"\x04" * 8, "out of its range"),
        (5, b"\x00\xff" + b"\x20" * 16, "out of its range"),
        (3, b"\x00\xff" + b"\x40" * 8, "spare bits"),
    ],
)
def test_a_body_that_narrowing_does_not_write_is_refused(bits, body, message):
    with pytest.raises(CodecError, match=message):
        codec_of(f"zstd@{bits}").decode(framed(body), (1, 16), "uint8")


def test_symbols_behind_the_last_are_refused():
    with pytest.raises(CodecError, match="spare"):
        widen(b"\x00\xff\x00\x10", (3,), 4)


def test_a_narrowed_frame_that_would_inflate_beyond_its_header_is_not_inflated():
    bomb = codec_of("zstd@2").encode(np.zeros((1, 1 << 12, 1 << 12), np.uint8))
    assert len(bomb) < 2000
    with pytest.raises(CodecError, match="declares 4202496 bytes"):
        codec_of("zstd@2").decode(bomb, (1, 16), "uint8")


def test_the_default_is_an_image_codec_for_images_at_the_input_and_zstd_for_the_rest():
    assert default_codec((1, 1, 224, 224), "uint8", True) == "jpegls"
    assert default_codec((1, 3, 512, 512), "uint16", True) == "jpegls"
    assert default_codec((1, 1, 224, 224), "uint8", False) == "zstd"
    assert default_codec((1, 1, 96, 160, 160), "int16", True) == "zstd"
    assert default_codec((1, 500, 12), "float32", True) == "zstd"


@pytest.mark.parametrize("spec", ["narrow@3", "narrow@1"])
def test_an_operating_point_that_the_bundle_does_not_have_takes_no_tensor(spec):
    shape = (1, 3, 8, 8)
    for codec in (codec_of(spec), codec_at("narrow@3", shape)):
        assert not codec.accepts(shape, "uint8")
        with pytest.raises(ValueError, match="needs the bundle's tables"):
            codec.encode(np.zeros(shape, np.uint8))
        with pytest.raises(CodecError, match="no such operating point"):
            codec.decode(b"\0", shape, "uint8")


def test_a_symbol_that_its_channel_does_not_have_is_refused():
    shape = (1, 3, 8, 8)
    payload = b"\0" + get_codec("zstd").encode(np.full(shape, 255, np.uint8))
    with pytest.raises(CodecError, match="beyond its channel's last"):
        codec_at("narrow@2", shape).decode(payload, shape, "uint8")


def test_each_tensor_of_a_boundary_is_coded_with_its_own_tables():
    shapes = ((1, 4, 16, 16), (1, 7, 9, 9))
    arrays = [smooth(shape, "uint8") for shape in shapes]
    for spec in ("lossless-small", "narrow@1"):
        codec = codec_of(spec, tables=[tensor_tables(shape) for shape in shapes])
        headers, payload = pack(arrays, codec)
        assert payload == b"".join(codec_at(spec, a.shape).encode(a) for a in arrays)
        for array, decoded in zip(arrays, unpack(headers, payload, codec), strict=True):
            assert np.abs(decoded.astype(int) - array).max() <= (0 if codec.lossless else 4)


def golden_arrays() -> dict[str, np.ndarray]:
    """Made by integer arithmetic alone, so that they are the same everywhere and for ever."""
    row, column = np.mgrid[0:19, 0:23]
    ramp = (row * 7 + column * 3 + (row * column) // 5) % 256
    return {
        "grey": ramp.astype(np.uint8)[None, None],
        "colour": np.stack([ramp, (ramp + row) % 256, (ramp + 3 * column) % 256]).astype(np.uint8)[None],
        "colour-alike": np.stack([ramp, ramp, ramp]).astype(np.uint8)[None],
        "twelve-bit": (ramp * 16).astype(np.uint16)[None, None],
        "four-planes": np.stack([ramp, ramp // 2, ramp // 3, ramp // 4]).astype(np.uint8)[None],
        "tiny": np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2),
        "values": (ramp.astype(np.float32) / 8)[None],
        "empty": np.zeros((1, 0, 3), np.uint8),
    }


@pytest.mark.parametrize(
    "golden", json.loads(GOLDEN.read_text()), ids=lambda g: f"{g['codec']}{g['config']}-{g['array']}"
)
def test_payloads_written_by_earlier_versions_decode_for_ever(golden):
    array = golden_arrays()[golden["array"]]
    payload = base64.b64decode(golden["payload"])
    assert hashlib.sha256(array.tobytes()).hexdigest() == golden["array_sha256"]
    tables = TablesFile((GOLDEN.parent / "tables.bin").read_bytes()).tensor(golden["array"])
    codec = get_codec(golden["codec"], golden["config"], (tables,))
    decoded = codec.decode(payload, tuple(golden["shape"]), golden["dtype"])
    if codec.lossless:
        np.testing.assert_array_equal(decoded, array)
    else:
        assert np.abs(decoded.astype(int) - array.astype(int)).max(initial=0) <= golden["largest_error"] + 2
    if "decoded_sha256" in golden:  # codecs of our own give the same codes on every machine, whatever they lose
        assert hashlib.sha256(decoded.tobytes()).hexdigest() == golden["decoded_sha256"]


def test_importing_the_protocol_loads_no_codec_library():
    code = (
        "import sys, suture_protocol.codecs.registry, suture_protocol.payload;"
        "heavy = ('PIL', 'backports.zstd', 'jpeg_ls', '_CharLS', 'constriction', 'grpc', 'torch');"
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("at", ["instead of the first", "behind it"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_with_many_scans_is_refused_at_once(at, channels):
    shape = (1, channels, 64, 64)
    plain = get_codec("jpeg").encode(smooth(shape, "uint8"))
    first = plain.index(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"  # of the first channel, without any data
    many = (plain[:first] if at != "behind it" else plain[:-2]) + 200_000 * scan + b"\xff\xd9"
    with pytest.raises(CodecError, match=r"scan|damaged"):
        get_codec("jpeg").decode(many, shape, "uint8")
