"""`overhead`: bounds and ratios from results made up; and a small run for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_protocol.errors import CapabilityMissing
from suture_simulators.experiments.overhead import Overhead, sized_cuts
from suture_simulators.experiments.overhead_report import sections, table
from suture_simulators.experiments.overhead_scores import cells, figures, pipelines
from suture_simulators.experiments.types import Point, PointRecord, Results, Sample, Settings, device_of
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE
from tests.processes import CHESTS, Command
from tests.simulators.experiments.results_made import point

RATE_BPS = 10e6
STEPS = {"preprocess": 0.05, "head": 0.02, "encode": 0.0, "transfer": 0.1, "queue": 0.0, "decode": 0.0, "tail": 0.03}


#: Of every cut by the profiles: a core that did not wait is faster.
SIDES = dict.fromkeys(("relu", "cut 0", "cut 1", "cut 2"), 0.04)


def single(where: Point, arm: str, total_s: float, payload: int = 100_000, **steps: float) -> Sample:
    both = {**STEPS, **steps}
    return Sample(point=where.key, arm=arm, turn=0, total_s=total_s, payload_bytes=payload, steps_s=both)


def results(samples: dict[Point, list[Sample]], notes: dict[str, Any] | None = None) -> Results:
    records = tuple(
        PointRecord(point=where, sitting=1, valid=True, notes={"rtt_s": where.rtt_s, "sides_s": SIDES, **(notes or {})})
        for where in samples
    )
    by_key = {where.key: tuple(found) for where, found in samples.items()}
    return Results(experiment="overhead", facts={}, records=records, samples=by_key, complete=True)


def test_the_bound_is_both_sides_the_bytes_at_the_lines_rate_and_a_round_trip() -> None:
    where = point(RATE_BPS, rtt_s=0.04, scenario="warm")
    bound_s = 0.02 + 0.03 + 0.04 + 8e5 / (RATE_BPS * TCP_PAYLOAD_SHARE)
    made = figures(results({where: [single(where, "relu", 0.05 + 1.2 * bound_s)]}))
    assert made["overhead_ratio_median"] == made["overhead_ratio_p95"] == pytest.approx(1.2)
    assert made["overhead_cells_beyond"] == 1
    assert made["overhead_vs_profiles_median"] == pytest.approx(1.2 * bound_s / (bound_s - 0.01))
    made = figures(results({where: [single(where, "relu", 0.05 + 1.07 * bound_s)]}))
    assert made["overhead_cells_beyond"] == 0


def test_the_round_trip_is_the_one_that_was_measured_not_the_one_set() -> None:
    where = point(RATE_BPS, rtt_s=0.04, scenario="warm")
    bound_s = 0.02 + 0.03 + 0.05 + 8e5 / (RATE_BPS * TCP_PAYLOAD_SHARE)
    made = figures(results({where: [single(where, "relu", 0.05 + bound_s)]}, {"rtt_s": 0.05}))
    assert made["overhead_ratio_median"] == pytest.approx(1.0)


def test_a_short_bound_may_be_missed_by_four_milliseconds() -> None:
    where = point(RATE_BPS, rtt_s=0.0, scenario="warm")
    fast = {"head": 0.0, "tail": 0.001, "preprocess": 0.0}
    for over_s, beyond in ((0.0039, 0), (0.0041, 1)):
        samples = [single(where, "relu", 0.001 + over_s, payload=0, **fast)]
        assert figures(results({where: samples}))["overhead_cells_beyond"] == beyond


def test_each_sample_is_set_against_the_bound_of_its_own_sides() -> None:
    where = point(RATE_BPS, rtt_s=0.0, scenario="warm")
    samples = [
        single(where, "relu", tail_s + over_s, payload=0, head=0.0, tail=tail_s, preprocess=0.0)
        for tail_s, over_s in ((0.01, 0.003), (0.02, 0.009), (0.03, 0.003))
    ]
    (cell,) = cells(results({where: samples}), "warm")
    assert (cell.measured_s, cell.bound_s) == (pytest.approx(0.029), pytest.approx(0.02))
    assert (cell.over_s, cell.ratio) == (pytest.approx(0.003), pytest.approx(1.3))
    assert cell.within


def test_payloads_of_ten_kilobytes_and_more_are_counted_apart() -> None:
    where = point(RATE_BPS, rtt_s=0.04, scenario="warm")
    made = figures(results({where: [single(where, f"cut {n}", 1.0, payload=9_999 + n) for n in (0, 1)]}))
    assert (made["overhead_cells"], made["overhead_cells_beyond"]) == (2, 2)
    assert (made["overhead_cells_10kb"], made["overhead_cells_10kb_beyond"]) == (1, 1)


def test_idle_counts_by_its_worst_and_lossy_by_its_median() -> None:
    idle, lossy = (point(RATE_BPS, rtt_s=0.04, scenario=part) for part in ("idle", "lossy"))
    bound_s = 0.02 + 0.03 + 0.04 + 8e5 / (RATE_BPS * TCP_PAYLOAD_SHARE)
    samples = {
        where: [single(where, f"cut {n}", 0.05 + ratio * bound_s) for n, ratio in enumerate((1.0, 1.1, 1.5))]
        for where in (idle, lossy)
    }
    made = figures(results(samples))
    assert made["overhead_idle_ratio"] == pytest.approx(1.5)
    assert made["overhead_lossy_ratio"] == pytest.approx(1.1)
    head, rows = table(results(samples))
    assert {len(row) for row in rows} == {len(head)}
    assert sections(results(samples))


def test_a_series_is_held_against_its_slowest_stage() -> None:
    where = point(RATE_BPS, rtt_s=0.04, scenario="series")
    rate_bps = 8e5 / (0.06 * TCP_PAYLOAD_SHARE)  # 60 ms on the wire; reading takes 50, the head 20, the tail 30
    samples = [single(where, "one_by_one", 10 * 0.2), single(where, "pipeline", 10 * 0.066, head=0.063)]
    notes = {"cut": "relu", "slices": 10, "rate_bps": rate_bps}
    made = figures(results({where: samples}, notes))
    assert made["series_slice_vs_slowest_stage"] == pytest.approx(1.1)
    assert made["series_speedup"] == pytest.approx(0.2 / 0.066)
    (line,) = pipelines(results({where: samples}, notes))
    assert line.slowest_together_s == pytest.approx(0.063)


def test_cuts_span_the_sizes_and_never_are_the_last(pneumonia_bundle: Bundle) -> None:
    cuts = sized_cuts(pneumonia_bundle.manifest)
    sizes = [cut.bytes_codes for cut in cuts]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes) >= 3
    assert LAST_CUT not in {cut.id for cut in cuts}
    assert pneumonia_bundle.cut(INPUT_CUT).bytes_codes == 224 * 224


def test_a_small_run(command: Command, pneumonia_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
    from suture_simulators.experiments.runner import run_experiment
    from suture_simulators.link import EmulatedLink
    from suture_simulators.link_profile import LinkProfile

    try:
        EmulatedLink(LinkProfile()).__enter__().close()
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")
    settings = Settings(
        experiment="overhead",
        out=tmp_path,
        bundles={pneumonia_bundle.name: pneumonia_bundle.path},
        devices=(device_of("1"), device_of("8")),
        rates_bps=(50e6,),
        rtts_s=(0.02,),
        images={CHESTS[0].stem.lower(): CHESTS[0]},
        samples=3,
        quick=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(command.cache))
        patch.setattr("suture_simulators.experiments.overhead.SLICES", 6)
        patch.setattr("suture_simulators.experiments.overhead.IDLE_S", 1.0)
        bundles = {pneumonia_bundle.name: pneumonia_bundle}
        found = run_experiment(Overhead(), settings, bundles, lambda *_: None, lambda _: None)
    assert [record.point.scenario for record in found.records] == ["warm", "idle", "stat", "lossy", "series"]
    (series,) = (record for record in found.records if record.point.scenario == "series")
    arms = found.by_arm(series.point)
    assert arms.keys() == {"one_by_one", "pipeline"}
    (stat,) = (record for record in found.records if record.point.scenario == "stat")
    assert stat.notes["routine_done"] > 0
    assert stat.notes["routine_failed"] == 0
    assert min(stat.notes["routine_bps"].values()) > 0
    if any(record.valid for record in found.records):
        assert sections(found)
