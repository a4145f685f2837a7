"""Preprocessing: exact where the standard is exact, the same for DICOM and plain images, and no surprises in shape."""

import io

import numpy as np
import pytest
from PIL import Image

from suture_models.intake import read_input
from suture_models.manifest import NetworkSpec, Preprocess, TensorSpec
from suture_models.picture import Lut, Picture, Window
from suture_models.preprocess import displayed, preprocess
from suture_models.walk import find_inputs, read_file
from suture_protocol.errors import InputRefused

RNG = np.random.default_rng(7)
GREY_8 = RNG.integers(0, 256, (64, 48), dtype=np.uint8)


def spec(size, channels=1, *, kind="image", dtype="uint8", window=None, resize="stretch") -> NetworkSpec:
    shape = (1, *size, channels) if kind == "signal" else (1, channels, *size)
    return NetworkSpec(
        name="net",
        kind=kind,
        input=TensorSpec(name="image", shape=shape, dtype=dtype),
        preprocess=Preprocess(size=size, channels=channels, window=window, resize=resize),
        output="classes",
        labels=("a", "b"),
        weights="random",
    )


def picture(values, **changes) -> Picture:
    fields = {"bits": 16, "value_range": (float(values.min()), float(values.max())), **changes}
    return Picture(name="p", kind=fields.pop("kind", "image"), values=values, **fields)


def png(pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_eight_bit_pixels_of_the_right_size_pass_unchanged():
    result = preprocess(picture(GREY_8, bits=8, value_range=(0.0, 255.0)), spec((64, 48)))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, GREY_8[np.newaxis, np.newaxis])


@pytest.mark.parametrize("size", [(64, 48), (224, 224), (20, 16), (7, 5)])
@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_dicom_and_png_of_the_same_pixels_give_the_same_input(make_dicom, size, resize, channels):
    network = spec(size, channels, resize=resize)
    plain = preprocess(read_input(png(GREY_8), "a.png"), network)
    without_window = preprocess(read_input(make_dicom(GREY_8), "a.dcm"), network)
    full_window = preprocess(read_input(make_dicom(GREY_8, WindowCenter=128, WindowWidth=256), "a.dcm"), network)
    assert plain.shape == network.input.shape
    np.testing.assert_array_equal(plain, without_window)
    np.testing.assert_array_equal(plain, full_window)


def test_sixteen_bit_png_and_twelve_bit_dicom_of_the_same_pixels_agree(make_dicom):
    deep = RNG.integers(100, 4000, (50, 40), dtype=np.uint16)
    network = spec((32, 32))
    np.testing.assert_array_equal(
        preprocess(read_input(png(deep), "a"), network),
        preprocess(read_input(make_dicom(deep, BitsStored=12), "a"), network),
    )


def test_monochrome1_is_the_negative_of_monochrome2(make_dicom):
    deep = RNG.integers(0, 4096, (50, 40), dtype=np.uint16)
    window = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    network = spec((25, 20))
    upright = preprocess(read_input(make_dicom(deep, **window), "a"), network)
    negative = make_dicom((4095 - deep).astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **window)
    difference = upright.astype(int) - preprocess(read_input(negative, "a"), network)
    assert np.abs(difference).max() <= 1  # a tie of the one rounding
    assert (difference == 0).mean() > 0.99


def test_linear_window_matches_the_standards_pseudocode():
    values = np.arange(-50, 150, dtype=np.int16).reshape(10, 20)
    centre, width = 40.0, 100.0
    expected = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    shown = displayed(values, picture(values, voi=Window(centre=centre, width=width)))
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert shown.dtype == np.float32


def test_linear_exact_and_sigmoid_follow_their_formulas():
    values = np.array([[0, 50, 100, 150]], dtype=np.int16)
    exact = displayed(values, picture(values, voi=Window(centre=75, width=100, function="LINEAR_EXACT")))
    sigmoid = displayed(values, picture(values, voi=Window(centre=75, width=100, function="SIGMOID")))
    np.testing.assert_allclose(exact, [[0, 0.25, 0.75, 1]], atol=1e-6)
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-4 * (values - 75) / 100)), atol=1e-6)


def test_a_window_of_width_one_is_a_threshold():
    values = np.array([[9, 10]], dtype=np.int16)
    np.testing.assert_array_equal(displayed(values, picture(values, voi=Window(centre=10, width=1))), [[0, 1]])


def test_voi_lut_ends_are_kept_beyond_its_range():
    values = np.array([[0, 100, 101, 5000]], dtype=np.uint16)
    lut = Lut(first=100, bits=8, table=np.array([51, 255], dtype=np.uint16))
    np.testing.assert_allclose(displayed(values, picture(values, voi=lut)), [[0.2, 0.2, 1, 1]])


def test_the_networks_window_overrides_the_files():
    values = np.array([[-1000, 0, 40, 1000]], dtype=np.int16)
    read = picture(values, voi=Window(centre=0, width=4000))
    result = preprocess(read, spec((1, 4), window=(40.0, 80.0)))
    assert result.ravel().tolist() == [0, 0, 129, 255]


def test_colour_becomes_luma_for_one_channel_and_grey_three_equal_ones():
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[..., 1] = 200
    colour = picture(rgb, bits=8, value_range=(0.0, 255.0))
    assert np.unique(preprocess(colour, spec((8, 8)))).tolist() == [117]
    assert preprocess(colour, spec((8, 8), 3))[0, :, 0, 0].tolist() == [0, 200, 0]
    grey = preprocess(picture(GREY_8, bits=8, value_range=(0.0, 255.0)), spec((64, 48), 3))
    np.testing.assert_array_equal(grey[0, 0], grey[0, 2])


def test_strips_and_box_reduction_lose_nothing_of_the_whole():
    """Reducing strip by strip must equal one antialiased resize of the whole, up to the filter's own difference."""
    smooth = np.add.outer(np.linspace(0, 2000, 1003), np.linspace(0, 2000, 801)).astype(np.uint16)
    result = preprocess(picture(smooth), spec((60, 50)))[0, 0].astype(int)
    whole = Image.fromarray(smooth.astype(np.float32) / smooth.max() * 255).resize((50, 60), Image.Resampling.BICUBIC)
    assert np.abs(result - np.rint(np.asarray(whole))).max() <= 1


def test_crop_keeps_the_middle():
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    result = preprocess(picture(wide, bits=8, value_range=(0.0, 255.0)), spec((20, 20), resize="crop"))
    assert (result == 255).all()


def test_sixteen_bit_inputs_use_their_whole_range():
    deep = RNG.integers(0, 65536, (30, 30), dtype=np.uint16)
    result = preprocess(picture(deep, value_range=(0.0, 65535.0)), spec((30, 30), dtype="uint16"))
    np.testing.assert_array_equal(result[0, 0], deep)


def test_a_volume_is_windowed_and_resampled_along_all_axes():
    volume = np.broadcast_to(np.linspace(0, 100, 9)[:, None, None], (9, 12, 10)).astype(np.float32)
    result = preprocess(picture(volume, kind="volume"), spec((5, 6, 5), kind="volume", window=(50.5, 101.0)))
    assert result.shape == (1, 1, 5, 6, 5)
    planes = result[0, 0, :, 0, 0].astype(int)
    assert (np.diff(planes) > 0).all()
    np.testing.assert_allclose(planes + planes[::-1], 255, atol=1)
    assert (result == result[:, :, :, :1, :1]).all()


def test_a_signal_passes_exactly_and_any_other_shape_is_refused():
    signal = RNG.normal(size=(500, 12)).astype(np.float32)
    network = spec((500,), 12, kind="signal", dtype="float32")
    np.testing.assert_array_equal(preprocess(picture(signal, kind="signal"), network), signal[np.newaxis])
    with pytest.raises(InputRefused, match="transposed"):
        preprocess(picture(np.ascontiguousarray(signal.T), kind="signal"), network)
    with pytest.raises(InputRefused, match=r"\(499, 12\)"):
        preprocess(picture(signal[1:], kind="signal"), network)


def test_a_picture_of_another_kind_is_refused():
    with pytest.raises(InputRefused, match="takes a volume"):
        preprocess(picture(GREY_8), spec((4, 4, 4), kind="volume"))


def test_the_demonstration_studies_become_inputs_with_contrast(demo_dir):
    for path in find_inputs([demo_dir]):
        result = preprocess(read_file(path), spec((224, 224)))
        assert result.shape == (1, 1, 224, 224)
        assert result.std() > 20, path


def test_the_wrapped_dicom_of_the_demonstration_equals_its_jpeg(data_dir, demo_dir):
    jpeg = data_dir / "cxr_pneumonia_224" / "test" / "NORMAL" / "NORMAL2-IM-0376-0001.jpeg"
    if not jpeg.is_file():
        pytest.skip(f"{jpeg.name} is not among the data in SUTURE_DATA")
    wrapped = demo_dir / "CR_chest_child_normal_1.dcm"
    network = spec((224, 224))
    np.testing.assert_array_equal(preprocess(read_file(jpeg), network), preprocess(read_file(wrapped), network))
