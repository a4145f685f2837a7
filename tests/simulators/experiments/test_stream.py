"""Streams: when images come, what drives are made of, what a clairvoyant knows; a real stream while the link drops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from suture_models.manifest import LAST_CUT
from suture_partitioner.plan import Planner
from suture_partitioner.types import LinkEstimate
from suture_protocol.errors import CapabilityMissing, UsageError
from suture_simulators.experiments import scenarios
from suture_simulators.experiments.adapt import Adapt
from suture_simulators.experiments.adapt_scores import account
from suture_simulators.experiments.bench import Bench
from suture_simulators.experiments.clairvoyant import best_at, line_from_json, options, options_from_json
from suture_simulators.experiments.page import Provenance, page
from suture_simulators.experiments.stream import Camera
from suture_simulators.experiments.streaming import Arm, Pace, replay
from suture_simulators.experiments.trace import Trace
from suture_simulators.experiments.types import (
    Experiment,
    Point,
    PointRecord,
    Results,
    Sample,
    Settings,
    device_of,
)
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE, LinkProfile
from suture_simulators.rate_trace import RateTrace
from tests.nets import images
from tests.simulators.experiments.hand_made import chain, manifest_of, profile_of

if TYPE_CHECKING:
    from suture_models.bundle import Bundle

STEP = "step-20-2"
DRIVE = RateTrace(name="drive", steps=((0.0, 4e6), (20.0, 0.0), (20.5, 4e6), (50.0, 0.0), (53.0, 8e6)), period_s=100.0)


def test_a_unit_that_keeps_up_gets_an_image_each_period() -> None:
    camera, due_s = Camera(first_s=0.5, period_s=1.0, room=2), list[float]()
    for _ in range(4):
        due_s.append(camera.due_s)
        camera.done(camera.due_s + 0.3)
    assert due_s == [0.5, 1.5, 2.5, 3.5]
    assert camera.images == 4


def test_where_the_room_is_full_the_camera_waits_until_an_image_is_begun() -> None:
    camera, waiting, ends_s, due_s = Camera(first_s=0.0, period_s=1.0, room=2), list[int](), [0.0], list[float]()
    for _ in range(30):
        due_s.append(camera.due_s)
        # The unit is slower than the camera: 3 s an image.
        begins_s = [*ends_s[:-1], max(ends_s[-1], camera.due_s)]
        waiting.append(sum(begin_s > camera.due_s for begin_s in begins_s))
        ends_s.append(begins_s[-1] + 3.0)
        camera.done(ends_s[-1])
    assert max(waiting) == 2
    assert due_s[-1] - due_s[-2] == pytest.approx(3.0)


def test_rates_are_paired_from_outside_in() -> None:
    assert scenarios.pairs([1e6, 2e6, 20e6, 50e6]) == [(50e6, 1e6), (20e6, 2e6)]
    with pytest.raises(UsageError, match="at least two"):
        scenarios.pairs([1e6])


def test_phases_follow_each_other_and_the_last_rate_stays() -> None:
    found = scenarios.phased("drop", [(5.0, 20e6), (10.0, 0.0), (5.0, 20e6)])
    assert [(p.start_s, p.end_s, p.rate_bps) for p in found.phases] == [(0, 5, 20e6), (5, 15, 0), (15, 20, 20e6)]
    assert found.length_s == 20.0
    assert found.trace.mean_between(20.0, 60.0) == 20e6
    assert scenarios.outages(found.to_json()["steps"], found.length_s) == [(5.0, 15.0)]


def test_a_part_of_a_drive_holds_its_first_real_outage() -> None:
    found = scenarios.window(DRIVE, 12.0)
    assert found.length_s == 12.0
    assert scenarios.outages(found.to_json()["steps"], found.length_s) == [(4.0, 7.0)]
    assert "46.0 to 58.0" in found.note


def test_a_drive_that_is_short_enough_is_taken_whole() -> None:
    assert scenarios.window(DRIVE, 200.0).length_s == DRIVE.period_s
    steady = RateTrace(name="steady", steps=((0.0, 1e6),), period_s=100.0)
    assert scenarios.window(steady, 10.0).trace == steady


def test_traces_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("t_s,mbps\n0,1\n1,2\n")
    assert scenarios.trace_path(str(file)) == file
    assert [t.name for t in scenarios.traces([file])] == ["mine"]
    assert [t.name for t in scenarios.traces([])] == [scenarios.DEFAULT_TRACE]
    with pytest.raises(UsageError, match="no bundled trace of that name"):
        scenarios.trace_path("nowhere")


@pytest.mark.parametrize("rate_bps", [0.3e6, 2e6, 20e6, 200e6])
def test_the_clairvoyant_is_the_planner_with_the_true_rate(rate_bps: float) -> None:
    manifest = manifest_of(chain([4, 8, 8], [32, 16, 4], [10, 10, 10]))
    node_s = {node.name: 0.02 for node in manifest.graph}
    edge = profile_of(manifest, "edge", node_s)
    cloud = profile_of(manifest, "cloud", {name: seconds / 50 for name, seconds in node_s.items()}, fixed_s=0.001)
    known = options(Planner(manifest, [edge], cloud))
    best = best_at(known, rate_bps, 0.01)
    link = LinkEstimate(bandwidth_bps=rate_bps * TCP_PAYLOAD_SHARE, rtt_s=0.01)
    chosen = Planner(manifest, [edge], cloud).choose(link)
    assert (best.cut, best.at(rate_bps, 0.01)) == (chosen.cut_id, pytest.approx(chosen.steps.total_s))
    assert best_at(known, 0.0, 0.01).cut == LAST_CUT
    assert options_from_json([option.to_json() for option in known]) == known


def test_a_transfer_over_a_drive_waits_out_the_outage_within_it() -> None:
    line = line_from_json([[0.0, 1e6], [1.0, 0.0], [6.0, 2e6]])
    manifest = manifest_of(chain([4], [32], [10]))
    edge = profile_of(manifest, "edge", {node.name: 1.0 for node in manifest.graph})
    known = options(
        Planner(manifest, [edge], profile_of(manifest, "cloud", {node.name: 0.0 for node in manifest.graph}))
    )
    # 1.5 Mbit on the line: one until second 1, the rest from second 6 on.
    payload = round(1.5e6 / 8 * TCP_PAYLOAD_SHARE)
    sent = dataclasses.replace(next(o for o in known if not o.local), payload_bytes=payload, edge_s=0.0, cloud_s=0.0)
    assert sent.over(line, 0.0, 0.0) == pytest.approx(6.25, abs=1e-4)
    local = next(o for o in known if o.local)
    assert local.over(line, 0.0, 0.0) == local.edge_s


@pytest.fixture(scope="module")
def bench(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A cloud process, a link and a slowed unit at its near end, with a small network and one image."""
    folder = tmp_path_factory.mktemp("bench")
    Image.fromarray(images(1)[0][0, 0]).save(folder / "drawn.png")
    made = Bench(bundles={"tiny": tiny_bundle}, images={"drawn": folder / "drawn.png"}, scratch=folder)
    try:
        with EmulatedLink(LinkProfile()):
            pass
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with made:
            yield made


def _point(**fields: Any) -> Point:
    return Point(network="tiny", device="x16", rate_bps=20e6, rtt_s=0.02, image="drawn", **fields)


def test_no_image_is_lost_while_the_link_is_gone_and_the_cloud_is_used_again_afterwards(bench: Bench) -> None:
    point, samples = _point(), list[Sample]()
    bench.begin(point, device_of("16"), seed=1)
    scenario = scenarios.phased("drop", [(1.5, 20e6), (3.0, 0.0), (10.0, 20e6)])
    run = replay(
        bench,
        point,
        scenario,
        name="fixed",
        arm=Arm(cut="0", codec="zstd"),
        paced=Pace(period_s=0.5, deadline_s=2.0),
        record=samples.append,
        seed=1,
    )
    assert run.samples == samples
    assert [sample.turn for sample in samples] == list(range(run.images))
    found = account(samples, run.images, 2.0)
    assert found.lost == 0
    assert found.cloud + found.alone == found.images
    assert [samples[0].where, samples[-1].where] == ["cloud", "cloud"]
    alone = [sample for sample in samples if sample.extra["note"]]
    assert alone
    assert all(sample.extra["end_s"] > 1.5 for sample in alone)
    assert all(sample.total_s >= sample.extra["end_s"] - sample.extra["start_s"] - 1e-6 for sample in samples)


@pytest.mark.parametrize(("experiment", "scenario"), [(Adapt(), STEP), (Trace(), "drive")])
def test_a_real_point_gives_all_figures_and_a_report(
    bench: Bench, experiment: Experiment, scenario: str, tmp_path: Path
) -> None:
    (tmp_path / "drive.csv").write_text("t_s,mbps\n0,20\n1,5\n2,20\n")
    settings = Settings(
        experiment=experiment.name,
        out=tmp_path,
        bundles={"tiny": bench.bundles["tiny"].path},
        devices=(device_of("16"),),
        rates_bps=(2e6, 20e6) if scenario == STEP else (),
        rtts_s=(0.02,),
        images={"drawn": tmp_path},
        traces=(tmp_path / "drive.csv",),
        samples=4,
        quick=True,
    )
    point = next(point for point in experiment.points(settings) if point.scenario == scenario)
    bench.begin(point, device_of("16"), seed=1)
    samples: list[Sample] = []
    assert experiment.estimate_s(point, bench, settings) > 0
    notes = json.loads(json.dumps(experiment.run(point, bench, samples.append, settings)))
    record = PointRecord(point=point, sitting=1, valid=True, notes=notes)
    results = Results(
        experiment=experiment.name, facts={}, records=(record,), samples={point.key: tuple(samples)}, complete=True
    )
    figures = experiment.figures(results)
    assert figures["images_lost"] == 0
    assert ("settle_requests_max" if scenario == STEP else "vs_clairvoyant") in figures
    header, rows = experiment.table(results)
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    html = page(
        title="t", subtitle="", provenance=Provenance(emulated=["all"], points=1), sections=experiment.sections(results)
    )
    assert "<svg" in html
