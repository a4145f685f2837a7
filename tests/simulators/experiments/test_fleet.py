"""`fleet`: what counts as throughput, a switch and a swing, from runs made up; and a small fleet for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT
from suture_protocol.errors import CapabilityMissing
from suture_simulators.experiments.fleet import PLANNED, Arm, Fleets
from suture_simulators.experiments.fleet_report import figures, read, sections, table
from suture_simulators.experiments.fleet_scores import remote_units, scores, swings, switches
from suture_simulators.experiments.types import PointRecord, Results, Sample, Settings, device_of
from tests.processes import CHESTS, Command
from tests.simulators.experiments.results_made import point

WHERE = point(100e6, scenario="2-units")
PHASES = {"counted_s": 2.0, "busy_s": 12.0, "calm_s": 22.0, "end_s": 32.0}


def image(unit: int, start_s: float, cut: str, *, took_s: float = 1.0, run: int = 0, arm: str = PLANNED) -> Sample:
    return Sample(
        point=WHERE.key,
        arm=arm,
        turn=0,
        total_s=took_s,
        cut=cut,
        at_s=start_s,
        where="edge" if cut == LAST_CUT else "cloud",
        extra={"unit": unit, "run": run, "end_s": start_s + took_s, "note": ""},
    )


def stream(unit: int, cuts: dict[tuple[float, float], str], **fields: Any) -> list[Sample]:
    """An image each second, by (from, to) → cut."""
    return [image(unit, float(at), cut, **fields) for (a, b), cut in cuts.items() for at in range(int(a), int(b))]


def run_of(number: int, arm: Arm) -> dict[str, Any]:
    raw = {"name": arm.name, "on_edge": arm.on_edge, "cut": arm.cut, "codec": arm.codec, "load": arm.load}
    return {**raw, "run": number, "neighbour_s": [0.2, 0.4, 0.9], "neighbour_lost": 0, "load": [], "overrun": 0.0}


def results(samples: list[Sample], arms: list[Arm]) -> Results:
    runs = [run_of(number, arm) for number, arm in enumerate(arms)]
    notes = {"units": 2, "phases": PHASES, "neighbour_per_s": 5.0, "runs": runs}
    record = PointRecord(point=WHERE, sitting=1, valid=True, notes=notes)
    return Results(experiment="fleet", facts={}, records=(record,), samples={WHERE.key: tuple(samples)}, complete=True)


def test_units_count_as_on_the_cloud_from_the_beginning_of_an_image_to_its_end() -> None:
    samples = [image(0, 0.0, "0"), image(0, 1.0, LAST_CUT), image(1, 0.5, "relu", took_s=0.5)]
    counts = dict(remote_units(samples, 0.0, 2.0))
    assert [counts[at] for at in (0.0, 0.25, 0.5, 0.75, 1.0, 1.75)] == [1, 1, 2, 2, 0, 0]


def test_a_switch_is_an_image_cut_elsewhere_than_the_one_before() -> None:
    samples = stream(0, {(0, 4): "0", (4, 5): "relu", (5, 9): LAST_CUT}) + stream(1, {(0, 9): "0"})
    assert switches(samples, 0.0, 9.0) == {0: 2, 1: 0}
    assert switches(samples, 5.0, 9.0) == {0: 1, 1: 0}


def test_one_undecided_unit_makes_no_swing_and_a_herd_does() -> None:
    assert swings([4, 5, 4, 5, 4, 5, 4, 5]) == 0
    assert swings([8, 8, 0, 0, 8, 8, 0, 0]) == 3
    assert swings([]) == 0


def test_throughput_counts_what_is_done_in_each_phase_after_the_lead_in() -> None:
    both = stream(0, {(0, 12): "0", (12, 22): LAST_CUT, (22, 32): "0"}) + stream(1, {(0, 32): LAST_CUT})
    (score,) = scores(results(both, [Arm(name=PLANNED)]), results(both, [Arm(name=PLANNED)]).records[0])
    assert score.by_phase == pytest.approx((2.0, 2.0, 2.0))
    assert score.per_s == pytest.approx(2.0)
    assert score.remote == pytest.approx((1.0, 0.0, 1.0))
    assert score.switches_per_minute_max == pytest.approx(4.0)
    assert (score.neighbour_s, score.lost) == (0.4, 0)


def test_the_rival_is_the_static_arm_that_does_most() -> None:
    arms = [Arm(name=PLANNED), Arm(name="static-2", on_edge=2), Arm(name="static-0-0", on_edge=0, cut="0")]
    samples = [s for n, gap in enumerate((1, 1, 2)) for s in stream(0, {(0, 32): "0"}, run=n) if s.at_s % gap == 0]
    found = read(results(samples, arms))[0]
    assert found.best.arm == "static-2"
    made = figures(results(samples, arms))
    assert made["fleet_throughput_vs_static"] == pytest.approx(1.0)
    assert made["fleet_switches_per_minute_max"] == 0
    head, rows = table(results(samples, arms))
    assert len(rows) == 3
    assert all(len(row) == len(head) for row in rows)


@pytest.fixture(scope="module")
def ran(command: Command, pneumonia_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two units, a second per phase; shares the profiles that other experiments' tests measured."""
    pytest.importorskip("matplotlib", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
    from suture_simulators.experiments.runner import run_experiment
    from suture_simulators.link import EmulatedLink
    from suture_simulators.link_profile import LinkProfile

    try:
        EmulatedLink(LinkProfile()).__enter__().close()
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")
    out = tmp_path_factory.mktemp("fleet")
    settings = Settings(
        experiment="fleet",
        out=out,
        bundles={pneumonia_bundle.name: pneumonia_bundle.path},
        devices=(device_of("8"),),
        rates_bps=(100e6,),
        rtts_s=(0.01,),
        images={CHESTS[0].stem.lower(): CHESTS[0]},
        samples=2,
        quick=True,
    )
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(command.cache))
        found = run_experiment(
            Fleets(units=2), settings, {pneumonia_bundle.name: pneumonia_bundle}, lambda *_: None, said.append
        )
    return {"results": found, "raw": json.loads((out / "results.json").read_text(encoding="utf-8")), "out": out}


def test_a_small_fleet_does_images_in_every_arm_and_loses_none(ran: dict[str, Any]) -> None:
    (record,) = ran["results"].records
    samples = ran["results"].samples[record.point.key]
    arms = {run["name"] for run in record.notes["runs"]}
    assert arms == {PLANNED, "static-2", *(f"static-{n}-{_cut(record)}" for n in (0, 1))}
    assert {(s.arm, s.extra["unit"]) for s in samples} == {(arm, unit) for arm in arms for unit in (0, 1)}
    assert all(s.ok and not s.extra["note"] for s in samples)
    assert {s.where for s in samples if s.arm == "static-2"} == {"edge"}
    assert {s.where for s in samples if s.arm.startswith("static-0")} == {"cloud"}


def test_the_neighbour_is_answered_and_the_clouds_load_is_seen(ran: dict[str, Any]) -> None:
    (record,) = ran["results"].records
    for run in record.notes["runs"]:
        assert run["neighbour_s"]
        assert run["neighbour_lost"] == 0
        assert run["load"]
    assert max(one[2] for run in record.notes["runs"] for one in run["load"]) > 0.1  # utilisation


def test_results_say_what_the_report_needs(ran: dict[str, Any], tmp_path: Path) -> None:
    made = figures(ran["results"])
    if not ran["results"].valid:
        pytest.skip(f"the machine was too busy: {ran['results'].records[0].why_invalid}")
    assert made["fleet_throughput_vs_static"] > 0
    assert ran["raw"]["figures"]["fleet_switches_per_minute_max"] >= 0
    titles = [section.title for section in sections(ran["results"])]
    assert titles[0] == "Results"
    assert titles[-1] == "What was measured"


def _cut(record: PointRecord) -> str:
    return next(run["cut"] for run in record.notes["runs"] if run["on_edge"] == 0)
