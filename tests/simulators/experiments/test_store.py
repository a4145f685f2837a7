"""What a run keeps: resuming, half-written lines, sittings, and the refusal of another configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.experiments.store import CONFIGURATION, SAMPLES, Store, differences
from suture_simulators.experiments.types import Point, PointRecord, Sample

POINT = Point(network="tiny", device="x8", rate_bps=2e6, rtt_s=0.04, image="chest")
CONFIG = {"seed": 1, "bundles": {"tiny": "d" * 64}}


def sample(turn: int, total_s: float = 0.5) -> Sample:
    return Sample(point=POINT.key, arm="split", turn=turn, total_s=total_s, cut="0", steps_s={"head": 0.1})


def record(sitting: int, *, valid: bool = True) -> PointRecord:
    return PointRecord(point=POINT, sitting=sitting, valid=valid, notes={"before_s": 0.01})


def measured(out: Path, turns: int, *, finished: bool = True) -> None:
    with Store(out, CONFIG) as store:
        sitting = store.begin(POINT)
        for turn in range(turns):
            store.add(sample(turn), sitting)
        if finished:
            store.finish(record(sitting))


def test_a_second_run_finds_what_the_first_one_finished(tmp_path: Path) -> None:
    measured(tmp_path, 3)
    with Store(tmp_path, CONFIG) as again:
        assert again.records[POINT.key] == record(1)
        assert again.samples() == {POINT.key: (sample(0), sample(1), sample(2))}


def test_every_sample_is_in_the_file_before_the_next_is_taken(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        sitting = store.begin(POINT)
        for turn in range(3):
            store.add(sample(turn), sitting)
            lines = (tmp_path / SAMPLES).read_text(encoding="utf-8").splitlines()
            assert json.loads(lines[-1])["turn"] == turn


def test_a_point_that_was_not_finished_is_measured_again_and_its_first_samples_do_not_count(tmp_path: Path) -> None:
    measured(tmp_path, 2, finished=False)
    with Store(tmp_path, CONFIG) as again:
        assert not again.records
        sitting = again.begin(POINT)
        assert sitting == 2
        again.add(sample(0, 0.7), sitting)
        again.finish(record(sitting))
        assert again.samples() == {POINT.key: (sample(0, 0.7),)}


@pytest.mark.parametrize("cut_bytes", [1, 7, 40])
def test_a_half_written_last_line_is_dropped_and_the_file_goes_on_behind_it(tmp_path: Path, cut_bytes: int) -> None:
    measured(tmp_path, 3)
    path = tmp_path / SAMPLES
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    with Store(tmp_path, CONFIG) as again:
        assert POINT.key not in again.records
        sitting = again.begin(POINT)
        again.finish(record(sitting))
    with Store(tmp_path, CONFIG) as third:
        assert third.records[POINT.key].sitting == 2


def test_another_configuration_in_the_same_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    measured(tmp_path, 1)
    with pytest.raises(UsageError, match=r"seed was 1, is 2"), Store(tmp_path, {**CONFIG, "seed": 2}):
        pass


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    measured(tmp_path, 1)
    path = tmp_path / SAMPLES
    path.write_text("{}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"samples.jsonl: line 1 is damaged"), Store(tmp_path, CONFIG):
        pass


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    measured(tmp_path, 1)
    (tmp_path / CONFIGURATION).write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"configuration.json is damaged"), Store(tmp_path, CONFIG):
        pass


def test_samples_without_their_configuration_are_not_gone_on_with(tmp_path: Path) -> None:
    measured(tmp_path, 1)
    (tmp_path / CONFIGURATION).unlink()
    with pytest.raises(UsageError, match="samples without"), Store(tmp_path, CONFIG):
        pass


def test_facts_of_a_later_run_replace_those_of_the_same_name(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.note({"took_s": 1.0, "kernel": "Linux"})
    with Store(tmp_path, CONFIG) as store:
        store.note({"took_s": 3.0})
        assert store.facts == {"took_s": 3.0, "kernel": "Linux"}


def test_differences_name_the_innermost_value() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": "same"}
    now = {"a": {"b": 2, "c": [1, 2]}, "d": "same", "e": True}
    assert differences(before, now) == ["a.b was 1, is 2", "e was not set, is true"]
