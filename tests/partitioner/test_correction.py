"""Corrections of profiles from live timings: quick to notice, hard to fool, and back to 1 when it is over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_partitioner.correction import BOUNDS, LEAST, LIFE, TOLERANCE, WINDOW, Corrections
from suture_partitioner.types import Correction, CutTiming, Profile

VARIANT = "openvino-int8-vnni"
HEADS_S = {"0": 0.0, "early": 0.004, "late": 0.020}
TAILS_S = {"0": 0.030, "early": 0.024, "late": 0.0001}


def profile(side, seconds, variant_id=VARIANT) -> Profile:
    return Profile(
        side=side,
        bundle_digest="ab" * 32,
        network="made-up",
        engine="openvino",
        variant_id=variant_id,
        device={},
        versions={},
        threads=1,
        device_factor=1.0,
        measured_at="2026-11-22T08:00:00+00:00",
        preprocess_s=0.0,
        cuts={cut: CutTiming(compute_s=s, compute_min_s=s, samples=5) for cut, s in seconds.items()},
    )


def corrections() -> Corrections:
    return Corrections([profile("edge", HEADS_S)], profile("cloud", TAILS_S, ""))


def run(live: Corrections, ratio: float, times: int, cut: str = "late", tail_ratio: float = 1.0) -> None:
    for _ in range(times):
        live.observe(VARIANT, cut, head_s=HEADS_S[cut] * ratio, tail_s=TAILS_S[cut] * tail_ratio)


def test_nothing_is_corrected_before_enough_was_seen():
    live = corrections()
    assert live.now() == Correction()
    run(live, 3.0, LEAST - 1)
    assert live.now().head.get(VARIANT, 1.0) == 1.0


def test_a_throttled_processor_is_noticed_within_seven_requests_and_its_recovery_within_three():
    live = corrections()
    run(live, 1.0, 50)
    assert live.now().head[VARIANT] == 1.0
    run(live, 2.5, 6)
    assert live.now().head[VARIANT] == 1.0, "a burst"
    run(live, 2.5, 1)
    assert live.now().head[VARIANT] == pytest.approx(2.5)
    run(live, 1.0, 3)
    assert live.now().head[VARIANT] == 1.0


def test_a_wrong_profile_of_the_cloud_is_corrected_apart_from_the_heads():
    live = corrections()
    run(live, 1.0, 5, cut="early", tail_ratio=1.8)
    assert live.now().tail == pytest.approx(1.8)
    assert live.now().head[VARIANT] == 1.0


def test_what_was_not_timed_or_takes_no_time_teaches_nothing():
    live = corrections()
    for _ in range(10):
        live.observe(VARIANT, "0", head_s=1e-5)
        live.observe(VARIANT, "late", tail_s=0.003)
        live.observe("another-variant", "late", head_s=9.0)
        live.observe(VARIANT, "no such cut", head_s=9.0, tail_s=9.0)
    assert live.now() == Correction()


def test_each_variant_has_its_own():
    live = Corrections([profile("edge", HEADS_S), profile("edge", HEADS_S, "onnxruntime-int8-any")])
    for _ in range(4):
        live.observe(VARIANT, "late", head_s=0.04)
        live.observe("onnxruntime-int8-any", "late", head_s=0.02)
    assert live.now().head == {VARIANT: pytest.approx(2.0), "onnxruntime-int8-any": 1.0}


def test_a_head_that_is_no_longer_run_is_tried_again_after_a_while():
    live = corrections()
    run(live, 6.0, 5)
    for _ in range(LIFE):
        live.observe(VARIANT, "0", head_s=0.0, tail_s=0.03)
    assert live.now().head[VARIANT] == pytest.approx(6.0)
    live.observe(VARIANT, "0", head_s=0.0, tail_s=0.03)
    assert live.now().head[VARIANT] == 1.0
    run(live, 6.0, 1)
    assert live.now().head[VARIANT] == 1.0, "what was known before counts no more"
    run(live, 6.0, 2)
    assert live.now().head[VARIANT] == pytest.approx(6.0)


@given(
    ratio=st.floats(0.2, 5.0),
    outlier=st.floats(0.0, 1e6),
    place=st.integers(0, WINDOW - 1),
    noise=st.lists(st.floats(0.97, 1.03), min_size=WINDOW, max_size=WINDOW),
)
def test_a_single_outlier_is_not_believed(ratio, outlier, place, noise):
    live = corrections()
    for i, scatter in enumerate(noise):
        live.observe(VARIANT, "late", head_s=0.02 * (outlier if i == place else ratio * scatter))
    found = live.now().head[VARIANT]
    if found == 1.0:
        assert abs(ratio - 1) < TOLERANCE * 1.5
    else:
        assert found == pytest.approx(ratio, rel=0.04)


@given(st.lists(st.tuples(st.sampled_from(["0", "early", "late"]), st.floats(0, 1e9), st.floats(0, 1e9)), max_size=80))
def test_whatever_is_measured_the_correction_is_a_sane_number(requests):
    live = corrections()
    for cut, head_s, tail_s in requests:
        live.observe(VARIANT, cut, head_s=head_s, tail_s=tail_s)
    now = live.now()
    for ratio in (*now.head.values(), now.tail):
        assert math.isfinite(ratio)
        assert BOUNDS[0] <= ratio <= BOUNDS[1]
