"""DICOM that cannot be used: refused in one line, before memory or native code is spent on it."""

import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSLossless, RLELossless

from suture_models import dicom_decode
from suture_models.intake import read_input
from suture_models.walk import find_inputs, read_file
from suture_protocol.errors import InputRefused

GREY = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30) * 3
GREY_8 = (GREY % 251).astype(np.uint8)
PYDICOM_FILES = Path(pydicom.__file__).parent / "data"
#: Half 1000, half 3000, with an entry for nothing else.
LUT = {"LUTDescriptor": [2, 100, 12], "LUTData": [1000, 3000]}


def lut_item(**changes) -> Dataset:
    item = Dataset()
    for keyword, value in {**LUT, **changes}.items():
        setattr(item, keyword, value)
    for keyword in LUT:
        item[keyword].VR = "US"
    return item


def refusal(source) -> str:
    with pytest.raises(InputRefused) as caught:
        read_input(source, "study.dcm")
    assert caught.value.name == "study.dcm"
    assert caught.value.reason
    assert "\n" not in str(caught.value)
    return caught.value.reason


def jpeg_2000(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Rows": 0}, "has no pixels: its dimensions are 30x0"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits allocated"),
        ({"BitsStored": 17}, "17 bits stored"),
        ({"BitsStored": 12, "HighBit": 7}, "high bit 7"),
        ({"SamplesPerPixel": 3}, "3 samples per pixel"),
        ({"PhotometricInterpretation": "CMYK"}, "PhotometricInterpretation CMYK"),
        ({"PhotometricInterpretation": ""}, "PhotometricInterpretation missing"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour palette"),
        ({"Modality": "SEG"}, "segmentation"),
        ({"Modality": "RTSTRUCT"}, "contours"),
        ({"Rows": 41}, "cut short: 2,400 of 2,460 bytes"),
        ({"RescaleSlope": "0"}, "RescaleSlope 0"),
        ({"RescaleSlope": "1e308", "RescaleIntercept": "0"}, "finite"),
        ({"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 2}, "VOILUTFunction CUBIC"),
        ({"NumberOfFrames": 0}, "NumberOfFrames 0"),
    ],
)
def test_headers_that_cannot_be_meant_are_refused(make_dicom, attributes, words):
    assert words in refusal(make_dicom(GREY, **attributes))


def test_a_lut_shorter_than_it_declares_is_refused(make_dicom):
    data = make_dicom(GREY, VOILUTSequence=[lut_item(LUTDescriptor=[500, 0, 12])])
    assert "look-up table of 2 entries" in refusal(data)


def test_unsupported_transfer_syntaxes_are_named(make_dicom):
    assert "High-Throughput" in refusal(make_dicom(GREY, syntax="1.2.840.10008.1.2.4.201", frame=b"\xff\x4f\xff\x51"))
    assert "MPEG2" in refusal(make_dicom(GREY, syntax="1.2.840.10008.1.2.4.100", frame=b"abcd"))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (jpeg_2000(GREY_8[:20]), "compresses 30x20"),
        (jpeg_2000(np.stack([GREY_8] * 3, axis=-1)), "compresses 3"),
        (jpeg_2000(GREY_8)[:60], "does not decode"),
        (jpeg_2000(GREY_8)[:30], "cut short"),
        (b"not a codestream", "markers"),
        (b"\xff\xd8\xff\xd9", "frame header"),
    ],
)
def test_codestreams_that_contradict_the_header_are_refused(make_dicom, frame, words):
    assert words in refusal(make_dicom(GREY_8, syntax=JPEG2000Lossless, frame=frame))


def test_a_jpeg_with_bytes_between_its_segments_never_reaches_the_native_decoder(make_dicom):
    stream = io.BytesIO()
    Image.fromarray(GREY_8).save(stream, "JPEG")
    jpeg = stream.getvalue()
    broken = jpeg[:20] + b"stray" + jpeg[20:]
    assert "marker is missing" in refusal(make_dicom(GREY_8, syntax=JPEGExtended12Bit, frame=broken))


def test_one_syntax_declared_and_another_stored_is_refused(make_dicom):
    assert "are jpeg2000" in refusal(make_dicom(GREY_8, syntax=JPEGLSLossless, frame=jpeg_2000(GREY_8)))


@pytest.mark.parametrize("syntax", [None, JPEGBaseline8Bit, JPEG2000Lossless, RLELossless])
def test_65535_squared_pixels_in_910_bytes_allocate_next_to_nothing(make_dicom, tmp_path, syntax):
    frame = None if syntax is None else b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0".ljust(64, b"\0")
    options = {} if syntax is None else {"syntax": syntax, "frame": frame}
    bomb = make_dicom(np.zeros((2, 2), np.uint8), Rows=65535, Columns=65535, **options)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(bomb.ljust(910, b"\0"))
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from suture_models.walk import read_file\n"
        "from suture_protocol.errors import InputRefused\n"
        "import suture_models.dicom\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_file(Path(sys.argv[1]))\n"
        "except InputRefused as refused:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, refused.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    grown_kib, reason = done.stdout.split(" ", 1)
    assert "65535x65535" in reason
    assert int(grown_kib) < 20_000
    assert done.stderr == ""


def test_a_deflate_bomb_is_refused_without_inflating_it_all(make_dicom):
    plain = make_dicom(GREY)
    meta_end = 144 + int.from_bytes(plain[140:144], "little")
    meta = plain[:meta_end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    # The UID grew by two bytes: its own length and the group's are patched to match.
    at = meta.index(b"1.2.840.10008.1.2.1.99")
    meta = meta[: at - 2] + (22).to_bytes(2, "little") + meta[at:]
    meta = meta[:140] + (int.from_bytes(plain[140:144], "little") + 2).to_bytes(4, "little") + meta[144:]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(plain[meta_end:]) + b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200))
    assert "inflates to more than" in refusal(meta + body + deflate.flush())


def test_a_truncated_file_is_refused_at_every_length(make_dicom):
    whole = make_dicom(GREY_8)
    for length in range(0, len(whole) - 1, 37):
        refusal(whole[:length])


def test_a_compressed_file_cut_anywhere_in_its_pixels_is_refused_never_half_read():
    for name in (
        "SC_rgb_jpeg_gdcm",
        "JPEG-lossy",
        "MR_small_jpeg_ls_lossless",
        "MR_small_jp2klossless",
        "MR_small_RLE",
    ):
        whole = (PYDICOM_FILES / "test_files" / f"{name}.dcm").read_bytes()
        for tenths in range(10):
            refusal(whole[: len(whole) * tenths // 10])


@pytest.mark.parametrize(
    "name", ["SC_rgb_jpeg_gdcm", "JPEG-lossy", "MR_small_jpeg_ls_lossless", "MR_small_jp2klossless"]
)
def test_a_compressed_frame_cut_inside_a_whole_file_is_refused(name):
    dataset = pydicom.dcmread(PYDICOM_FILES / "test_files" / f"{name}.dcm")
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    assert "does not decode" in refusal(dataset)


def test_every_file_in_pydicoms_wheel_is_read_or_refused_in_one_line(capfd):
    outcomes = {"read": 0, "refused": 0}
    for path in find_inputs([PYDICOM_FILES]):
        if path.suffix in (".py", ".pyc"):
            continue
        reason = None
        try:
            picture = read_file(path)
        except InputRefused as refused:
            reason = refused.reason
        if reason is None:
            assert picture.values.size > 0
            assert np.isfinite(picture.value_range).all()
        else:
            assert reason.strip(), path
            assert "\n" not in reason, path
        outcomes["read" if reason is None else "refused"] += 1
    assert outcomes["read"] >= 85
    assert outcomes["refused"] >= 80
    assert capfd.readouterr() == ("", "")


def test_only_decoders_that_come_with_suture_are_named():
    assert set(dicom_decode._PLUGIN.values()) == {"pydicom", "pillow", "gdcm", "pyjpegls"}
