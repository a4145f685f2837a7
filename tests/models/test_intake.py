"""Plain images and arrays: told by content, read exactly, or refused in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from suture_models.intake import read_input, sniff
from suture_protocol.errors import InputRefused

GREY = np.arange(48 * 32, dtype=np.uint8).reshape(48, 32)
RGB = np.stack([GREY, GREY.T.reshape(48, 32), 255 - GREY], axis=-1)


def encoded(pixels: np.ndarray, image_format: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def npy(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def png_header(width: int, height: int, body: bytes = b"") -> bytes:
    """A grey 8-bit PNG with that header and any compressed body."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def refusal(data: bytes) -> str:
    with pytest.raises(InputRefused) as caught:
        read_input(data, "input")
    assert caught.value.name == "input"
    assert caught.value.reason
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("JPEG2000", {"irreversible": False})],
)
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_lossless_formats_give_their_pixels_back(image_format, options, pixels):
    picture = read_input(encoded(pixels, image_format, **options), "input")
    expected = np.stack([pixels] * 3, axis=-1) if image_format == "WEBP" and pixels.ndim == 2 else pixels
    assert picture.kind == "image"
    assert picture.bits == 8
    assert picture.value_range == (0, 255)
    np.testing.assert_array_equal(picture.values, expected)


def test_a_jpeg_is_read_whatever_it_is_called():
    picture = read_input(encoded(GREY, "JPEG", quality=95), "scan.dcm")
    assert picture.values.shape == GREY.shape


def test_sixteen_bit_png_keeps_its_depth():
    deep = (GREY.astype(np.uint16) * 16) + 5
    picture = read_input(encoded(deep, "PNG"), "input")
    np.testing.assert_array_equal(picture.values, deep)
    assert picture.value_range == (5, 255 * 16 + 5)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_input(encoded(GREY, "PNG", exif=exif), "input")
    np.testing.assert_array_equal(picture.values, np.rot90(GREY, -1))


def test_a_signal_is_float32_and_a_volume_keeps_its_integers():
    signal = read_input(npy(np.ones((500, 12), dtype=">f8")), "input")
    volume = read_input(npy(np.full((3, 4, 5), -7, dtype=np.int16)), "input")
    assert (signal.kind, signal.values.dtype, signal.values.shape) == ("signal", np.dtype("float32"), (500, 12))
    assert (volume.kind, volume.values.dtype, volume.values.shape) == ("volume", np.dtype("int16"), (3, 4, 5))


def test_fortran_order_is_respected():
    array = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(6, 4))
    np.testing.assert_array_equal(read_input(npy(array), "input").values, array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\0" * 500, "zeros"),
        (b"patient,finding\n1,none\n", "text"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04rest", "ZIP"),
        (bytes(range(128, 256)) * 4, "unknown kind"),
        (encoded(GREY, "PNG")[:60], "cannot be read as an image"),
        (encoded(GREY, "JPEG")[:200], "cannot be read as an image"),
        (encoded(GREY, "GIF"), "unknown kind"),
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "pickled"),
        (npy(np.full((500, 12), np.nan)), "not finite"),
        (npy(np.full((500, 12), 1e300)), "not finite"),
        (npy(np.ones((500, 12)))[:-8], "cut short"),
        (npy(np.ones((500, 12))) + b"more", "longer than it says"),
        (npy(np.ones((500, 12), dtype=complex)), "real numbers"),
        (npy(np.ones(500)), "shape (500,)"),
        (npy(np.ones((0, 12))), "is empty"),
        (b"\x93NUMPY\x01\x00\x10\x00garbage garbage!", "cannot be read"),
        (b"\x93NUMPY\x09\x00", "format (9, 0)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_refused_with_the_reason(data, words):
    assert words in refusal(data)


@pytest.mark.parametrize("size", [(65535, 65535), (100_000, 100_000), (2**31 - 1, 1), (12_000, 5_500)])
def test_a_png_of_absurd_size_is_refused_before_its_pixels_are_made(size):
    assert "declares" in (reason := refusal(png_header(*size))) or "pixels" in reason


def test_a_large_png_in_next_to_no_bytes_is_refused():
    assert "in only" in refusal(png_header(8000, 8000, b"\0" * 100))


def test_an_npy_header_of_absurd_size_is_refused():
    header = npy(np.ones((2, 2)))
    bomb = header.replace(b"(2, 2), }", b"(99999999, 99999999), }").replace(b" " * 16, b"", 1)
    assert refusal(bomb)


def test_several_pages_are_refused():
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)])
    assert "2 pages" in refusal(stream.getvalue())


def test_dicom_is_recognised_even_with_an_image_in_its_preamble():
    dual = b"II*\0".ljust(128, b"\0") + b"DICM"
    assert sniff(dual) == "dicom"
