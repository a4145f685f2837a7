"""Affine quantisers: what comes back is within half a step, and 0 is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_models.manifest import QuantParams
from suture_models.quant import dequantise, params_from_range, quantise

bounds = st.floats(-1e4, 1e4, allow_nan=False, width=32)


@given(low=bounds, high=bounds, share=st.lists(st.floats(0, 1), min_size=1, max_size=32))
def test_values_of_the_range_come_back_within_half_a_step(low, high, share):
    low, high = min(low, high), max(low, high)
    params = params_from_range(low, high)
    values = (low + (high - low) * np.array(share)).astype(np.float32)
    error = np.abs(dequantise(quantise(values, params), params).astype(np.float64) - values)
    rounding = 4 * np.spacing(np.float32(max(abs(low), abs(high))))
    assert (error <= params.scale[0] / 2 + rounding).all()


@given(low=bounds, high=bounds)
def test_a_calibrated_quantiser_has_a_code_for_zero(low, high):
    params = params_from_range(min(low, high), max(low, high))
    zero = dequantise(quantise(np.zeros(1, np.float32), params), params)
    assert abs(zero[0]) <= 1e-6 * params.scale[0] * 255
    assert (params.scale, params.offset) == tuple((float(np.float32(v[0])),) for v in (params.scale, params.offset))


def test_a_range_of_nothing_still_has_a_step():
    params = params_from_range(0.0, 0.0)
    assert params.scale[0] > 0
    assert quantise(np.zeros(3, np.float32), params).tolist() == [0, 0, 0]


def test_values_beyond_the_range_saturate():
    params = QuantParams(scale=(0.5,), offset=(-10.0,))
    codes = quantise(np.array([-1e9, -10.0, 117.5, 1e9], np.float32), params)
    assert codes.tolist() == [0, 0, 255, 255]


def test_halves_are_rounded_to_even():
    params = QuantParams(scale=(1.0,), offset=(0.0,))
    assert quantise(np.array([0.5, 1.5, 2.5], np.float32), params).tolist() == [0, 2, 2]


def test_narrower_codes_saturate_at_their_own_top():
    params = QuantParams(scale=(1.0,), offset=(0.0,), levels=16)
    assert quantise(np.array([14.0, 15.0, 99.0], np.float32), params).tolist() == [14, 15, 15]


@pytest.mark.parametrize("axis", [1, 3])
def test_each_channel_has_a_quantiser_of_its_own(axis):
    shape = (2, 3, 4, 3)
    scale, offset = (0.1, 1.0, 10.0), (0.0, -5.0, 100.0)
    params = QuantParams(scale=scale, offset=offset, axis=axis)
    codes = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    values = dequantise(codes, params)
    assert values.dtype == np.float32
    assert values.shape == shape
    np.testing.assert_array_equal(quantise(values, params), codes)
    for channel in range(3):
        alone = QuantParams(scale=(scale[channel],), offset=(offset[channel],))
        part = np.take(codes, channel, axis)
        np.testing.assert_array_equal(np.take(values, channel, axis), dequantise(part, alone))
