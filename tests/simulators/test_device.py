"""The emulated slow device: exact against clocks of the test's own, near enough against the real ones."""

from __future__ import annotations

import hashlib

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.device import PRESETS, Dilated, calibrate, device_preset, dilate


class Clocks:
    """Time that passes only when something is done."""

    def __init__(self) -> None:
        self.wall_s = 100.0
        self.processor_s = 5.0

    def wall(self) -> float:
        self.wall_s += 1e-6
        return self.wall_s

    def processor(self) -> float:
        return self.processor_s

    def sleep(self, duration_s: float) -> None:
        self.wall_s += duration_s

    def compute(self, duration_s: float, waiting_s: float = 0.0) -> str:
        self.wall_s += duration_s + waiting_s
        self.processor_s += duration_s
        return "done"


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def slow(clocks: Clocks, factor: float) -> Dilated:
    return Dilated(factor, wall=clocks.wall, processor=clocks.processor, sleep=clocks.sleep)


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("duration_s", [0.0003, 0.005, 0.05])
def test_operation_takes_factor_times_as_long(clocks, factor, duration_s):
    began_s = clocks.wall_s
    assert slow(clocks, factor)(clocks.compute)(duration_s) == "done"
    assert clocks.wall_s - began_s == pytest.approx(factor * duration_s, rel=0.02)


def test_time_lost_to_others_is_made_up_for(clocks):
    began_s = clocks.wall_s
    slow(clocks, 10)(clocks.compute)(0.01, waiting_s=0.02)
    assert clocks.wall_s - began_s == pytest.approx(0.1, rel=0.01)


def test_operation_that_waits_longer_than_the_slow_device_would_take_is_left_alone(clocks):
    began_s = clocks.wall_s
    slow(clocks, 10)(clocks.compute)(0.001, waiting_s=0.5)
    assert clocks.wall_s - began_s == pytest.approx(0.501, rel=0.01)


def test_another_threads_processor_time_counts_at_most_as_the_time_that_passed(clocks):
    def operation() -> None:
        clocks.wall_s += 0.01
        clocks.processor_s += 5.0

    began_s = clocks.wall_s
    slow(clocks, 3)(operation)()
    assert clocks.wall_s - began_s == pytest.approx(0.03, rel=0.01)


def test_exception_passes_at_once(clocks):
    def fail() -> None:
        clocks.compute(1.0)
        raise KeyError("lost")

    began_s = clocks.wall_s
    with pytest.raises(KeyError):
        slow(clocks, 8)(fail)()
    assert clocks.wall_s - began_s == pytest.approx(1.0, rel=0.01)


def test_factor_one_changes_nothing():
    assert dilate(1.0)(len) is len


@pytest.mark.parametrize("factor", [0.5, 0.0, -2.0, float("nan"), float("inf")])
def test_factor_below_one_is_refused(factor):
    with pytest.raises(ValueError, match="1 or more"):
        dilate(factor)


@pytest.mark.parametrize("factor", [2.0, 8.0])
def test_real_operation_is_slowed_by_the_factor_set(factor):
    block = bytes(1_000_000)

    def operation() -> bytes:
        return hashlib.sha256(block).digest()

    # Another process on the same core shows in single calibrations; a wrong wrapper shows in all of them.
    measured = [calibrate(dilate(factor), operation, budget_s=0.3).measured_factor for _ in range(5)]
    assert min(abs(value / factor - 1) for value in measured) < 0.1


def test_calibration_says_what_was_set_and_measured():
    text = str(calibrate(dilate(2.0), budget_s=0.1))
    assert "emulated device: set to 2 times slower, measured" in text


@pytest.mark.parametrize("name", PRESETS)
def test_preset_names_its_source_and_gives_a_factor(name):
    preset = device_preset(name)
    assert "https://" in preset.source
    here_s = preset.published_ms["mobilenet_v2", "float"] / 1e3 / 12
    assert preset.factor("mobilenet_v2", "float", here_s) == pytest.approx(12)
    assert preset.factor("mobilenet_v2", "float", 1000.0) == 1.0


def test_unknown_preset_and_unpublished_network_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match="pi-4"):
        device_preset("abacus")
    with pytest.raises(UsageError, match="resnet50 int8"):
        device_preset("pi-4").factor("vit_s16", "int8", 0.01)
