"""`adapt`: when a plan counts as right again, from streams made up; what becomes of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suture_simulators.experiments.adapt import Adapt, scenario_of
from suture_simulators.experiments.adapt_scores import account, right_share, settlings
from suture_simulators.experiments.clairvoyant import Option, line_from_json
from suture_simulators.experiments.scenarios import Scenario, phased
from suture_simulators.experiments.types import PointRecord, Results, Sample, Settings, device_of
from tests.simulators.experiments.results_made import point

#: At 20 Mbit/s the cloud is best, at 2 Mbit/s and below the unit.
LOCAL = Option(cut="last", codec="", payload_bytes=0, edge_s=0.3, cloud_s=0.0)
CLOUD = Option(cut="relu", codec="zstd", payload_bytes=100_000, edge_s=0.1, cloud_s=0.02)
KNOWN = (CLOUD, LOCAL)
RTT_S = 0.04
STEP = phased("step-20-2", [(5.0, 20e6), (5.0, 2e6), (5.0, 20e6)])
WHERE = point(20e6, scenario="step-20-2")


def image(start_s: float, option: Option, *, took_s: float = 0.3, **fields: Any) -> Sample:
    """One image begun when it was due; `lost_s` makes it one that the unit finished alone after a failure."""
    lost_s = fields.pop("lost_s", None)
    extra = {"start_s": start_s, "end_s": start_s + took_s, "note": "", "bandwidth_bps": 20e6, "rtt_s": RTT_S}
    steps = {"preprocess": 0.0}
    if lost_s is not None:
        extra["note"], steps["transfer"] = "no sign of life", lost_s
    made: dict[str, Any] = {
        "point": WHERE.key,
        "arm": "split",
        "turn": round(2 * start_s),
        "total_s": took_s,
        "cut": option.cut,
        "codec": option.codec,
        "where": "edge" if option.local else "cloud",
        "at_s": start_s,
        "steps_s": steps,
        "extra": extra,
    }
    return Sample(**{**made, **fields})


def stream(*plans: tuple[float, float, Option]) -> list[Sample]:
    """An image each half second, by (from, to, option)."""
    return [
        image(half / 2, option)
        for start_s, end_s, option in plans
        for half in range(round(2 * start_s), round(2 * end_s))
    ]


def test_a_plan_that_follows_after_two_requests_is_settled_from_the_third_on() -> None:
    samples = stream((0, 6, CLOUD), (6, 10, LOCAL), (10, 15, CLOUD))
    down, up = settlings(samples, STEP.phases, KNOWN, RTT_S)
    assert (down.requests, down.seconds, down.settled, down.needed) == (2, pytest.approx(1.0), True, True)
    assert (down.before, down.after) == ("relu zstd", "last")
    # By its first image it was right already; the one before it was not, so the time until then counts.
    assert (up.requests, up.seconds, up.settled) == (0, pytest.approx(0.0), True)


def test_a_plan_that_never_follows_counts_with_all_of_the_phase() -> None:
    down, up = settlings(stream((0, 6, CLOUD), (6, 15, LOCAL)), STEP.phases, KNOWN, RTT_S)
    assert down.settled
    assert (up.requests, up.seconds, up.settled) == (10, pytest.approx(5.0), False)


def test_two_right_plans_by_chance_do_not_count_as_settled() -> None:
    samples = stream((0, 5, CLOUD), (5, 6, LOCAL), (6, 7, CLOUD), (7, 10, LOCAL), (10, 15, CLOUD))
    down, _ = settlings(samples, STEP.phases, KNOWN, RTT_S)
    assert (down.requests, down.seconds) == (2, pytest.approx(2.0))


def test_the_image_that_the_change_caught_under_way_counts_as_a_request() -> None:
    caught = image(4.5, CLOUD, took_s=2.0)
    samples = [*stream((0, 4.5, CLOUD)), caught, *stream((6.5, 10, LOCAL), (10, 15, CLOUD))]
    down, _ = settlings(samples, STEP.phases, KNOWN, RTT_S)
    assert (down.requests, down.seconds) == (1, pytest.approx(1.5))


def test_a_rate_that_leaves_the_best_plan_as_it_is_needs_no_other() -> None:
    slow = phased("step-2-1", [(5.0, 2e6), (5.0, 1e6), (5.0, 2e6)])
    found = settlings(stream((0, 15, LOCAL)), slow.phases, KNOWN, RTT_S)
    assert [(one.requests, one.seconds, one.settled, one.needed) for one in found] == [(0, 0.0, True, False)] * 2


def test_an_image_finished_alone_is_right_only_where_little_time_was_lost_on_the_link() -> None:
    drop = phased("drop", [(5.0, 20e6), (5.0, 0.0)])
    before = stream((0, 5, CLOUD))
    alone = [image(5.0 + i / 2, LOCAL, lost_s=lost_s) for i, lost_s in enumerate([1.2, 0.0, 0.001, 0.0, 0.0, 0.0])]
    (gone,) = settlings([*before, *alone], drop.phases, KNOWN, RTT_S)
    assert (gone.requests, gone.seconds, gone.settled) == (1, pytest.approx(0.5), True)


def test_every_image_of_a_stream_is_accounted_for() -> None:
    samples = [
        image(0.0, CLOUD),
        image(0.5, LOCAL),
        image(1.0, LOCAL, lost_s=1.0, took_s=2.5),
        image(1.5, CLOUD, error="no plan meets the deadline"),
    ]
    found = account(samples, 5, 2.0)
    assert (found.images, found.cloud, found.edge, found.alone, found.lost, found.late) == (5, 1, 1, 1, 2, 1)


def test_on_a_drive_a_plan_is_judged_by_the_rate_it_really_had() -> None:
    line = line_from_json([[0.0, 20e6], [5.0, 1e6]])
    samples = [image(0.0, CLOUD), image(1.0, LOCAL), image(6.0, CLOUD), image(7.0, LOCAL)]
    assert right_share(samples, KNOWN, line, RTT_S) == 0.5


def _results(samples: list[Sample], scenario: Scenario = STEP) -> Results:
    notes = {
        "scenario": scenario.to_json(),
        "options": [option.to_json() for option in KNOWN],
        "pace": {"period_s": 0.5, "deadline_s": 2.0},
        "images": {"split": len(samples)},
        "delivered": [],
    }
    record = PointRecord(point=WHERE, sitting=1, valid=True, notes=notes)
    return Results(experiment="adapt", facts={}, records=(record,), samples={WHERE.key: tuple(samples)}, complete=True)


def test_figures_take_the_worst_change_and_say_when_it_is_only_a_lower_bound() -> None:
    figures = Adapt().figures(_results(stream((0, 6, CLOUD), (6, 15, LOCAL))))
    assert (figures["settle_requests_max"], figures["settle_s_max"]) == (10, pytest.approx(5.0))
    assert figures["changes_never_settled"] == 1
    assert figures["settle_requests_median"] == 6.0
    assert (figures["images"], figures["images_lost"], figures["images_late"]) == (30, 0, 0)


def test_without_a_valid_point_there_are_no_figures_and_the_report_says_so() -> None:
    nothing = Results(experiment="adapt", facts={}, records=(), samples={}, complete=False)
    assert Adapt().figures(nothing) == {}
    assert [section.title for section in Adapt().sections(nothing)] == ["Nothing to show"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        experiment="adapt",
        out=tmp_path,
        bundles={"tiny": tmp_path, "other": tmp_path},
        devices=(device_of("16"),),
        rates_bps=(2e6, 20e6),
        rtts_s=(RTT_S,),
        images={"chest": tmp_path},
        samples=8,
    )


def test_a_full_run_has_steps_a_drop_a_steady_link_and_a_drive_and_a_quick_one_only_some(settings: Settings) -> None:
    full = Adapt().points(settings)
    names = {network: [p.scenario for p in full if p.network == network] for network in ("tiny", "other")}
    assert names["tiny"] == ["step-20-2", "drop", "first-step-20-2", "steady", "starlink_autobahn_up_0"]
    assert names["other"] == ["step-20-2", "drop", "starlink_autobahn_up_0"]
    quick = Adapt().points(replace(settings, quick=True))
    assert [(p.network, p.scenario) for p in quick] == [("tiny", "step-20-2"), ("tiny", "drop"), ("other", "step-20-2")]
    for where in full:
        scenario = scenario_of(where, settings, KNOWN)
        assert scenario.length_s > 0
        assert scenario.profile(RTT_S, seed=1)


def test_a_steady_link_is_one_on_which_two_plans_are_equally_good(settings: Settings) -> None:
    where = next(p for p in Adapt().points(settings) if p.scenario == "steady")
    mean_bps = scenario_of(where, settings, KNOWN).trace.mean_bps()
    assert CLOUD.at(mean_bps, RTT_S) == pytest.approx(LOCAL.at(mean_bps, RTT_S), rel=0.05)
    assert not scenario_of(where, settings, KNOWN).phases


def test_a_step_met_unprepared_is_in_figures_of_its_own() -> None:
    found = _results(stream((0, 6, CLOUD), (6, 10, LOCAL), (10, 15, CLOUD)))
    (record,) = found.records
    first = replace(record, point=replace(record.point, scenario="first-step-20-2"))
    samples = {first.point.key: tuple(found.samples[record.point.key])}
    figures = Adapt().figures(replace(found, records=(first,), samples=samples))
    assert figures["first_settle_requests_max"] == 2
    assert "settle_requests_max" not in figures
