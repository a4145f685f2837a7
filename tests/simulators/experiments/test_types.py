"""The plain data of experiments: stable keys, devices by text, and the way through JSON and back."""

from __future__ import annotations

import json

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.experiments.clock import Clock
from suture_simulators.experiments.types import (
    Device,
    Point,
    PointRecord,
    Sample,
    device_of,
    record_from_json,
    sample_from_json,
)


def test_a_points_key_names_all_that_is_fixed_at_it() -> None:
    point = Point(network="unet", device="pi-4", rate_bps=2.5e6, rtt_s=0.04, image="chest", scenario="drop")
    assert point.key == "unet/pi-4/2.5mbit/40ms/chest/drop"


def test_samples_and_records_come_back_from_json() -> None:
    sample = Sample(point="p", arm="split", turn=3, total_s=0.5, steps_s={"head": 0.1}, extra={"late": True})
    assert sample_from_json(json.loads(json.dumps(sample.to_json()))) == sample
    record = PointRecord(
        point=Point(network="unet", device="x8", rate_bps=1e6, rtt_s=0.04), sitting=1, valid=False, why_invalid="busy"
    )
    assert record_from_json(json.loads(json.dumps(record.to_json()))) == record


def test_something_else_is_no_sample() -> None:
    with pytest.raises(ValueError, match="not a Sample"):
        sample_from_json({"point": "p"})


def test_devices_are_factors_or_boards() -> None:
    assert device_of("12") == Device(name="x12", spec="12")
    assert device_of("pi-4") == Device(name="pi-4", spec="pi-4")
    for text in ("0.5", "cgroup:8", "no-such-board"):
        with pytest.raises(UsageError):
            device_of(text)


def test_the_remaining_time_learns_from_the_points_that_are_done() -> None:
    clock = Clock({"a": 10.0, "b": 10.0, "c": 20.0})
    assert clock.total_s == 40.0
    clock.done("a", 20.0)
    assert clock.total_s == 60.0
