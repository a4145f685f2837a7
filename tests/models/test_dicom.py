"""DICOM: each transfer syntax and grayscale transformation read exactly."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from suture_models.intake import read_input
from suture_models.picture import Lut, Window
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


# --- what is read


def test_bytes_and_dataset_give_the_same_picture(make_dicom, make_dataset):
    of_bytes = read_input(make_dicom(GREY), "a")
    of_dataset = read_input(make_dataset(GREY), "a")
    np.testing.assert_array_equal(of_bytes.values, GREY)
    np.testing.assert_array_equal(of_dataset.values, GREY)
    assert of_bytes.sop_instance_uid == of_dataset.sop_instance_uid != ""
    assert (of_bytes.modality, of_bytes.series_instance_uid) == ("OT", "1.2.3.4")


def test_reading_a_dataset_does_not_change_it(make_dataset):
    dataset = make_dataset(GREY, PixelPaddingValue=0)
    before = dataset.to_json()
    read_input(dataset, "a")
    assert dataset.to_json() == before


def test_rescaling_by_whole_numbers_stays_integer_and_by_fractions_becomes_float(make_dicom):
    signed = (GREY.astype(np.int16) - 1000).astype(np.int16)
    whole = read_input(make_dicom(signed, RescaleSlope="1", RescaleIntercept="-24"), "a")
    part = read_input(make_dicom(signed, RescaleSlope="0.5", RescaleIntercept="10"), "a")
    assert whole.values.dtype == np.int16
    np.testing.assert_array_equal(whole.values, signed - 24)
    assert part.values.dtype == np.float32
    np.testing.assert_array_equal(part.values, signed * 0.5 + 10)


def test_bits_outside_bits_stored_are_not_seen(make_dicom):
    stored = (GREY % 4096).astype(np.uint16)
    picture = read_input(make_dicom(stored | 0xA000, BitsStored=12), "a")
    np.testing.assert_array_equal(picture.values, stored)


def test_twelve_bit_signed_values_are_sign_extended(make_dicom):
    signed = (GREY.astype(np.int16) % 4096) - 2048
    packed = (signed.astype(np.uint16) & 0x0FFF).astype(np.uint16)
    picture = read_input(make_dicom(packed, BitsStored=12, PixelRepresentation=1), "a")
    np.testing.assert_array_equal(picture.values, signed)


def test_the_first_window_and_its_function_are_taken(make_dicom):
    data = make_dicom(GREY, WindowCenter=[40, 400], WindowWidth=[80, 2000], VOILUTFunction="SIGMOID")
    voi = read_input(data, "a").voi
    assert voi == Window(centre=40, width=80, function="SIGMOID")


def test_a_window_without_width_counts_as_none(make_dicom):
    assert read_input(make_dicom(GREY, WindowCenter=0, WindowWidth=0), "a").voi is None


def test_modality_lut_replaces_rescaling(make_dicom):
    stored = np.array([[99, 100], [101, 102]], dtype=np.uint16)
    picture = read_input(make_dicom(stored, ModalityLUTSequence=[lut_item(ModalityLUTType="HU")]), "a")
    np.testing.assert_array_equal(picture.values, [[1000, 1000], [3000, 3000]])


def test_voi_lut_is_preferred_to_the_window(make_dicom):
    data = make_dicom(GREY, VOILUTSequence=[lut_item()], WindowCenter=40, WindowWidth=80)
    voi = read_input(data, "a").voi
    assert isinstance(voi, Lut)
    assert (voi.first, voi.bits, voi.table.tolist()) == (100, 12, [1000, 3000])


@pytest.mark.parametrize(("photometric", "black"), [("MONOCHROME2", 10), ("MONOCHROME1", 500)])
def test_padding_takes_the_black_end(make_dicom, photometric, black):
    stored = np.array([[10, 500], [0xFFFF, 300]], dtype=np.uint16)
    data = make_dicom(stored, PhotometricInterpretation=photometric, PixelPaddingValue=0xFFFF)
    picture = read_input(data, "a")
    np.testing.assert_array_equal(picture.values, [[10, 500], [black, 300]])
    assert picture.value_range == (10, 500)


def test_a_frame_asked_for_is_read_and_several_unasked_are_refused(make_dicom):
    frames = np.concatenate([GREY_8, 250 - GREY_8])
    data = make_dicom(frames, Rows=40, NumberOfFrames=2)
    np.testing.assert_array_equal(read_input(data, "a", frame=1).values, 250 - GREY_8)
    assert "holds 2 frames" in refusal(data)
    with pytest.raises(InputRefused, match="no frame 2"):
        read_input(data, "a", frame=2)


def test_functional_groups_of_the_frame_are_used(make_dataset):
    transformation, window, group = Dataset(), Dataset(), Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = "2", "1"
    window.WindowCenter, window.WindowWidth = 5, 6
    group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [transformation], [window]
    dataset = make_dataset(GREY_8, NumberOfFrames=1, SharedFunctionalGroupsSequence=[group])
    picture = read_input(dataset, "a")
    np.testing.assert_array_equal(picture.values, GREY_8 * 2.0 + 1)
    assert picture.voi == Window(centre=5, width=6)


def test_palette_becomes_rgb(make_dicom):
    ramp = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 8] for c in ("Red", "Green", "Blue")}
    tables = {f"{c}PaletteColorLookupTableData": bytes(range(256)) for c in ("Red", "Green", "Blue")}
    picture = read_input(make_dicom(GREY_8, PhotometricInterpretation="PALETTE COLOR", **ramp, **tables), "a")
    np.testing.assert_array_equal(picture.values, np.stack([GREY_8] * 3, axis=-1))


def test_jpeg_2000_in_a_jp2_wrapper_is_unwrapped(make_dicom):
    stream = io.BytesIO()
    Image.fromarray(GREY_8).save(stream, "JPEG2000", irreversible=False)
    wrapped = stream.getvalue()
    assert not wrapped.startswith(b"\xff\x4f")
    picture = read_input(make_dicom(GREY_8, syntax=JPEG2000Lossless, frame=wrapped), "a")
    np.testing.assert_array_equal(picture.values, GREY_8)


def test_twelve_bit_jpeg_extended_is_decoded_without_a_word_on_stderr(capfd):
    path = PYDICOM_FILES / "test_files" / "JPEG-lossy.dcm"
    picture = read_file(path)
    assert (picture.values.shape, picture.values.dtype, picture.values.max()) == ((1024, 256), np.uint16, 264)
    assert capfd.readouterr() == ("", "")


def test_deflated_datasets_are_read():
    assert read_file(PYDICOM_FILES / "test_files" / "image_dfl.dcm").values.shape == (512, 512)


# --- real files


@pytest.mark.parametrize("slice_name", ["CT1", "CT2"])
def test_lossless_encodings_of_one_slice_give_identical_pixels(data_dir, slice_name):
    folder = data_dir / "dicom" / "ct_syntaxes"
    reference = read_file(folder / f"{slice_name}_UNC.dcm")
    for encoding in ("J2KR", "JLSL", "RLE", "JPLL"):
        other = read_file(folder / f"{slice_name}_{encoding}.dcm")
        np.testing.assert_array_equal(other.values, reference.values, err_msg=encoding)
        assert other.value_range == reference.value_range


def test_every_real_radiograph_and_ct_is_read(data_dir):
    folders = [data_dir / "dicom" / name for name in ("radiographs", "ct_syntaxes", "tcia_covid_ny_sbu_axial")]
    pictures = [read_file(path) for path in find_inputs(folders)]
    assert len(pictures) >= 3
    assert all(p.kind == "image" and p.values.ndim == 2 and p.sop_instance_uid for p in pictures)


def test_the_demonstration_studies_are_read(demo_dir):
    pictures = {path.name: read_file(path) for path in find_inputs([demo_dir])}
    chest = pictures["DX_chest_2128x2000_12bit_MONO1_J2Klossless.dcm"]
    assert (chest.values.shape, chest.bits, chest.inverted) == ((2128, 2000), 12, True)
    assert sum(p.modality == "CR" for p in pictures.values()) == 3
