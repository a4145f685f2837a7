"""What networks are calibrated with when the user gives nothing: radiographs, and synthetic pictures for colour."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from PIL import Image

from suture_models.calibration import calibration_inputs, quantising_inputs
from suture_models.calibration.leaves import dead_leaves
from suture_models.manifest import NetworkSpec, Preprocess, TensorSpec


def spec(channels: int, weights: Literal["trained", "random"] = "trained") -> NetworkSpec:
    side = 64
    return NetworkSpec(
        name="net",
        kind="image",
        input=TensorSpec(name="image", shape=(1, channels, side, side), dtype="uint8"),
        preprocess=Preprocess(size=(side, side), channels=channels),
        output="classes",
        labels=("a", "b"),
        weights=weights,
    )


@pytest.mark.parametrize("of", [spec(1), spec(3, "random")])
def test_grey_and_random_networks_are_quantised_with_the_radiographs_alone(of: NetworkSpec):
    found = quantising_inputs(of, None)
    assert found.origin == "the package's 32 chest radiographs"
    expected = calibration_inputs(of, None).inputs
    assert all(np.array_equal(a, b) for a, b in zip(found.inputs, expected, strict=True))


def test_a_trained_colour_network_sees_colour_too_and_the_origin_says_so():
    found = quantising_inputs(spec(3), None)
    radiographs, leaves = found.inputs[:32], found.inputs[32:]
    assert {(a.shape, a.dtype.name) for a in found.inputs} == {((1, 3, 64, 64), "uint8")}
    assert all(np.array_equal(a[0, 0], a[0, 2]) for a in radiographs)
    assert len(leaves) == 32
    assert not any(np.array_equal(a[0, 0], a[0, 2]) for a in leaves)
    assert (
        found.origin
        == "the package's 32 chest radiographs and 32 synthetic colour pictures (dead leaves, seeds 0 to 31)"
    )


def test_a_users_own_folder_is_used_as_it_is(tmp_path):
    for place in range(2):
        Image.new("RGB", (80, 70), (200, 30 * place, 10)).save(tmp_path / f"{place}.png")
    found = quantising_inputs(spec(3), tmp_path)
    assert len(found.inputs) == 2
    assert found.origin == "2 of the user's inputs"


def test_inputs_that_are_only_examples_stay_radiographs():
    assert len(calibration_inputs(spec(3), None).inputs) == 32


def test_leaves_depend_on_nothing_but_their_seed():
    assert np.array_equal(dead_leaves((48, 64), seed=5), dead_leaves((48, 64), seed=5))
    assert not np.array_equal(dead_leaves((48, 64), seed=5), dead_leaves((48, 64), seed=6))


@pytest.mark.parametrize("channel", range(3))
def test_leaves_take_the_whole_range_of_each_channel(channel):
    picture = dead_leaves((224, 224), seed=0)[..., channel]
    assert picture.min() == 0
    assert picture.max() == 255


def test_leaves_have_the_spectrum_of_photographs():
    """Amplitude falls as about 1/f (Field 1987: exponents of 0.7 to 1.5 in photographs)."""
    grey = np.stack([dead_leaves((224, 224), seed=s).mean(axis=2) for s in range(8)])
    amplitude = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(224)[:, None], np.fft.fftfreq(224)[None])
    inside = (frequency > 0.02) & (frequency < 0.3)
    slope = np.polyfit(np.log(frequency[inside]), np.log(amplitude[inside]), 1)[0]
    assert -1.5 < slope < -0.7
