"""The emulated slow device: exact against clocks of the test's own, near enough against the real ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time

import pytest

from suture_partitioner.device import processor_class
from suture_protocol.errors import UsageError
from suture_simulators.device import (
    PRESETS,
    Dilated,
    device_preset,
    dilate,
    emulate,
    limit_isa,
    parse_device,
)
from suture_simulators.devices.calibration import judged

#: What `/proc/cpuinfo` says on a processor that has all of them.
EVERYTHING = "flags : avx2 avx_vnni avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_int8 amx_bf16"


class Clocks:
    """Time that passes only when something is done; a core that is as cold as its last sleep was long."""

    def __init__(self, *, cold: float = 1.0) -> None:
        self.wall_s = 100.0
        self.processor_s = 5.0
        self.slept_s = 0.0
        self.runs = 0
        self._cold = cold
        self._penalty = cold

    def wall(self) -> float:
        self.wall_s += 1e-6
        return self.wall_s

    def processor(self) -> float:
        return self.processor_s

    def sleep(self, duration_s: float) -> None:
        self.wall_s += duration_s
        self.slept_s += duration_s
        self._penalty = max(self._penalty, 1 + (self._cold - 1) * min(duration_s / 0.02, 1.0))

    def compute(self, duration_s: float, waiting_s: float = 0.0) -> int:
        took_s = duration_s * self._penalty
        self._penalty = 1 + (self._penalty - 1) / 4
        self.wall_s += took_s + waiting_s
        self.processor_s += took_s
        self.runs += 1
        return self.runs


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def slow(clocks: Clocks, factor: float) -> Dilated:
    return Dilated(factor, wall=clocks.wall, processor=clocks.processor, sleep=clocks.sleep)


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("duration_s", [0.0003, 0.005, 0.05])
def test_operation_takes_factor_times_as_long(clocks, factor, duration_s):
    began_s = clocks.wall_s
    assert slow(clocks, factor)(clocks.compute)(duration_s)
    assert clocks.wall_s - began_s == pytest.approx(factor * duration_s, rel=0.02)


@pytest.mark.parametrize("factor", [8, 16, 32])
@pytest.mark.parametrize("duration_s", [0.0003, 0.002, 0.012])
def test_factor_multiplies_the_warm_time_although_the_core_was_cold(factor, duration_s):
    clocks = Clocks(cold=1.5)
    slowed = slow(clocks, factor)(clocks.compute)
    for _ in range(3):
        clocks.sleep(0.1)
        began_s = clocks.wall_s
        slowed(duration_s)
        assert clocks.wall_s - began_s == pytest.approx(factor * duration_s, rel=0.05)


def test_core_is_left_warm_for_what_follows():
    clocks = Clocks(cold=1.5)
    slow(clocks, 20)(clocks.compute)(0.002)
    before_s = clocks.processor_s
    clocks.compute(0.002)
    assert clocks.slept_s > 0.01
    assert clocks.processor_s - before_s == pytest.approx(0.002, rel=0.2)


def test_long_operation_runs_once(clocks):
    assert slow(clocks, 10)(clocks.compute)(0.05) == 1
    assert clocks.runs == 1


def test_core_is_left_to_others_for_most_of_a_long_wait(clocks):
    began_s = clocks.wall_s
    slow(clocks, 32)(clocks.compute)(0.005)
    assert clocks.slept_s > 0.8 * (clocks.wall_s - began_s)


def test_time_lost_to_others_is_made_up_for(clocks):
    began_s = clocks.wall_s
    slow(clocks, 10)(clocks.compute)(0.01, waiting_s=0.02)
    assert clocks.wall_s - began_s == pytest.approx(0.1, rel=0.25)


def test_what_a_neighbour_took_from_one_run_is_not_multiplied(clocks):
    durations = iter([0.007, 0.005, 0.0052, *[0.009] * 20])
    began_s = clocks.wall_s
    slow(clocks, 20)(lambda: clocks.compute(next(durations)))()
    assert clocks.wall_s - began_s == pytest.approx(0.1, rel=0.02)


def test_named_work_takes_its_usual_time_however_fast_the_core_is_at_the_moment(clocks):
    slowed, took_s = slow(clocks, 20), []
    for duration_s in (0.005, 0.0052, 0.0048, 0.005, 0.0065, 0.0038):
        began_s = clocks.wall_s
        slowed(clocks.compute, work="head")(duration_s)
        took_s.append(clocks.wall_s - began_s)
    assert took_s[-2:] == pytest.approx([0.1, 0.1], rel=0.02)


def test_other_work_and_unnamed_work_do_not_count_to_the_usual_time(clocks):
    slowed = slow(clocks, 20)
    slowed(clocks.compute, work="head")(0.005)
    slowed(clocks.compute, work="other")(0.001)
    slowed(clocks.compute)(0.009)
    began_s = clocks.wall_s
    slowed(clocks.compute, work="head")(0.005)
    assert clocks.wall_s - began_s == pytest.approx(0.1, rel=0.02)


def test_usual_time_follows_a_processor_that_stays_slower(clocks):
    slowed = slow(clocks, 20)
    for duration_s in [0.002] * 60 + [0.003] * 400:
        slowed(clocks.compute, work="head")(duration_s)
    began_s = clocks.wall_s
    slowed(clocks.compute, work="head")(0.003)
    assert clocks.wall_s - began_s == pytest.approx(0.06, rel=0.02)


def test_works_that_are_remembered_are_bounded(clocks):
    slowed = slow(clocks, 2)
    for number in range(3000):
        slowed(clocks.compute, work=number)(0.0003)
    assert len(slowed._works) <= 1024


def test_work_whose_time_is_known_mostly_runs_once_and_takes_as_long(clocks):
    slowed = slow(clocks, 20)(clocks.compute, work="head")
    for _ in range(16):
        slowed(0.002)
    before = clocks.runs
    for _ in range(32):
        began_s = clocks.wall_s
        slowed(0.002)
        assert clocks.wall_s - began_s == pytest.approx(0.04, rel=0.02)
    assert 32 < clocks.runs - before < 64


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
def test_real_operation_takes_at_least_factor_times_its_processor_time(factor):
    block = bytes(1_000_000)
    used_s: list[float] = []

    def operation() -> None:
        began_s = time.process_time()
        hashlib.sha256(block).digest()
        used_s.append(time.process_time() - began_s)

    # Not at most: another process on the core makes it longer; `docs/benchmarks/bench_device.py` has the other bound.
    took_s = dilate(factor).timed(operation)
    assert took_s >= factor * min(used_s)


def test_calibration_says_what_was_set_and_measured():
    device = emulate(2.0)
    found = device.calibrate(budget_s=0.1)
    assert "emulated device: set to 2 times slower, measured" in str(found)
    assert device.to_json()["calibration"] == found.to_json()
    assert found.to_json()["valid"] is found.valid


def judge(slowed: list[float], plain_wall_s: float = 0.01):
    return judged(set_factor=8, plain_s=0.01, plain_wall_s=plain_wall_s, slowed=slowed, operation="an inference")


def test_calibration_that_misses_by_more_than_a_tenth_is_invalid_and_says_why():
    assert judge([0.08, 0.081, 0.079, 0.12]).valid
    off = judge([0.065, 0.066, 0.067], plain_wall_s=0.02)
    assert not off.valid
    assert "differ by -17%" in off.invalid_reason
    assert "other processes took 50% of the core" in off.invalid_reason
    assert "INVALID" in str(off)


def test_calibration_whose_median_hides_late_calls_is_invalid():
    assert "40% of the slowed calls" in judge([0.08, 0.08, 0.08, 0.12, 0.12]).invalid_reason


@pytest.mark.parametrize("name", PRESETS)
def test_preset_names_its_source_and_gives_a_factor(name):
    preset = device_preset(name)
    assert "https://" in preset.source
    here_s = preset.published_ms["mobilenet_v2", "float"] / 1e3 / 12
    assert preset.factor("mobilenet_v2", "float", here_s) == pytest.approx(12)
    assert preset.factor("mobilenet_v2", "float", 1000.0) == 1.0


def test_presets_reach_beyond_factor_32_from_a_server_core():
    # A server's core takes 5 to 10 ms for MobileNetV2 in float.
    assert device_preset(next(iter(PRESETS))).factor("mobilenet_v2", "float", 0.01) > 32


@pytest.mark.parametrize(("name", "artefact"), [("pi-4", "plain"), ("rk3588", "vnni")])
def test_preset_limits_the_processor_to_its_boards_class(name, artefact):
    environ = device_preset(name).environment()
    assert processor_class(EVERYTHING, {}) == "vnni"
    assert processor_class(EVERYTHING, environ) == artefact


def test_board_is_put_in_force_before_openvino_is_loaded():
    environ = {"PATH": "/bin"}
    limit_isa("AVX2", environ=environ, modules={})
    assert environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    limit_isa("AVX2", environ=environ, modules={"openvino": pytest})


def test_board_is_refused_where_openvino_runs_under_another_class_already():
    with pytest.raises(UsageError, match="started with ONEDNN_MAX_CPU_ISA=AVX2"):
        limit_isa("AVX2", environ={}, modules={"openvino": pytest})


def test_emulated_board_has_its_class_its_factor_and_its_origin():
    pytest.importorskip("openvino")
    code = (
        "import os; from suture_simulators.device import emulate; d = emulate('pi-4', measured_s=0.00935);"
        "print(d.factor, os.environ['ONEDNN_MAX_CPU_ISA'], d.basis, d.source)"
    )
    environ = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    said = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert said.startswith("10.0 AVX2 MobileNetV2 in float, one thread: 93 ms published for the Raspberry Pi 4")
    assert "github.com/Tencent/ncnn" in said


@pytest.mark.parametrize(("text", "factor", "means"), [("12", 12, "dilation"), ("cgroup:8.5", 8.5, "cgroup")])
def test_factor_is_read(text, factor, means):
    spec = parse_device(text)
    assert (spec.preset, spec.factor, spec.means) == (None, factor, means)


def test_board_is_read():
    spec = parse_device("cgroup:pi-4")
    assert spec.preset is device_preset("pi-4")
    assert (spec.means, spec.environment()) == ("cgroup", {"ONEDNN_MAX_CPU_ISA": "AVX2"})


@pytest.mark.parametrize("text", ["0.5", "-2", "nan", "inf", "cgroup:2000", "1e9", "abacus", "", "cgroup:"])
def test_other_devices_are_refused_with_what_there_is(text):
    with pytest.raises(UsageError, match=r"pi-4|so 1 to"):
        parse_device(text)


def test_unknown_preset_and_unpublished_network_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match="pi-4"):
        device_preset("abacus")
    with pytest.raises(UsageError, match="resnet50 int8"):
        device_preset("pi-4").factor("vit_s16", "int8", 0.01)
