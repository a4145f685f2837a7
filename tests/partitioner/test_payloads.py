"""Payloads at each cut: which codecs are tried where, sizes as distributions, decoding in the cloud."""

from __future__ import annotations

import numpy as np
import pytest

from suture_models.manifest import Cut, TensorSpec
from suture_partitioner.payloads import PERCENTILES, PROFILED_CODECS, Payloads
from suture_partitioner.types import CutTiming
from suture_protocol.codecs.registry import codec_of

BLANK = CutTiming(compute_s=0.001, compute_min_s=0.001, samples=3)
LOSSLESS = {"zstd", "raw", "lossless-fast", "lossless-small"}
CODECS = [codec_of(spec) for spec in (*PROFILED_CODECS, "raw", "jpeg")]


def cut(cut_id: str) -> Cut:
    spec = TensorSpec(name=cut_id, shape=(1, 8, 16, 16), dtype="float32")
    return Cut(id=cut_id, index=1, boundary=(spec,), head_macs=1, tail_macs=1)


def codes(seed: int, most: int = 40) -> tuple[np.ndarray, ...]:
    return (np.random.default_rng(seed).integers(0, most, (1, 8, 16, 16), dtype=np.uint8),)


IMAGE = (np.random.default_rng(0).integers(0, 255, (1, 1, 32, 32), dtype=np.uint8),)


def tried(cut_id: str, boundary: tuple[np.ndarray, ...], side: str = "edge") -> set[str]:
    payloads = Payloads(side, CODECS)
    payloads.add(cut(cut_id), boundary)
    return set(payloads.put_into(cut_id, BLANK).codec_s)


def test_narrowed_codes_are_tried_inside_the_network_and_lossy_pictures_at_the_input_only():
    assert tried("conv", codes(1)) == LOSSLESS | {"zstd@6", "zstd@4"}
    assert tried("0", IMAGE) == {"zstd", "jpegls", "raw", "jpeg"}


def test_tensors_that_are_no_codes_cross_whole():
    assert tried("conv", (codes(1)[0].astype(np.float32),)) == LOSSLESS
    assert tried("conv", (*codes(1), np.zeros((1, 4), np.float32))) == LOSSLESS


def test_the_last_cut_sends_nothing():
    assert tried("last", codes(1)) == set()


@pytest.mark.parametrize("side", ["edge", "cloud"])
def test_sizes_are_a_distribution_over_the_inputs_and_both_sides_time_every_codec(side):
    payloads = Payloads(side, CODECS)
    for most in (4, 8, 16, 64, 250):
        payloads.add(cut("conv"), codes(most, most))
    timing = payloads.put_into("conv", BLANK)
    quantiles = timing.payload_quantiles_bytes["zstd"]
    assert len(quantiles) == len(PERCENTILES)
    assert list(quantiles) == sorted(quantiles)
    assert quantiles[0] < timing.payload_bytes["zstd"] == quantiles[2] < quantiles[-1] <= 2048 + 64
    assert set(timing.payload_quantiles_bytes["raw"]) == {2048}
    assert all(seconds > 0 for seconds in timing.codec_s.values())
    assert timing.compute_s == BLANK.compute_s


def test_the_smallest_lossless_payload_is_what_a_cut_sends():
    payloads = Payloads("edge", CODECS)
    payloads.add(cut("conv"), codes(1, 250))
    payloads.add(cut("last"), codes(1))
    timing = payloads.put_into("conv", BLANK)
    assert payloads.sizes() == {"conv": min(timing.payload_bytes[spec] for spec in LOSSLESS)}
    assert timing.payload_bytes["zstd@4"] < payloads.sizes()["conv"]


def test_times_are_slowed_with_the_device_and_an_unseen_cut_has_no_codecs():
    payloads = Payloads("edge", CODECS)
    payloads.add(cut("conv"), codes(1))
    plain, slowed = payloads.put_into("conv", BLANK), payloads.put_into("conv", BLANK, slower=7.0)
    assert slowed.codec_s["zstd"] == pytest.approx(7 * plain.codec_s["zstd"])
    assert payloads.put_into("elsewhere", BLANK).codec_s == {}
