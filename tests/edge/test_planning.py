"""The plan in force against a real cloud: a cut moves only when its head is ready, a late cloud holds nothing up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from suture_edge.beside import FinishedAlone, first_of
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.engines.base import Head
from suture_edge.heads import Heads
from suture_edge.heartbeat import Pulse
from suture_edge.record import Inference
from suture_edge.results import PendingResult
from suture_edge.unit import Unit, UnitSettings
from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT, Cut, Variant
from suture_models.picture import Picture
from suture_partitioner.link import LinkEstimator
from suture_partitioner.load import CloudLoad
from suture_partitioner.profile_file import profile_to_json
from suture_partitioner.types import Constraints, CutTiming, LinkEstimate, Profile
from suture_protocol.errors import Refused
from suture_protocol.events import Load, Priority
from tests.cloud.harness import SIDE, VARIANT, NumpyHead, RunningCloud, mid_request, until, write_bundle

FAST = LinkEstimate(bandwidth_bps=50e6, rtt_s=0.001, samples=1)
SLOW = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.001, samples=1)
DEAD_SLOW = LinkEstimate(bandwidth_bps=1e3, rtt_s=0.001, samples=1)
RAMP = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
PICTURE = Picture(name="ramp", kind="image", values=RAMP, bits=8, value_range=(0.0, 255.0))


class NumpyEngine:
    """Heads of the small network, in numpy. `gate` holds up loading, `loading` tells that it has begun."""

    name = "numpy"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loading = threading.Event()
        self.threads: dict[str, threading.Thread] = {}

    def version(self) -> str:
        return "1"

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> Head:
        self.threads[cut.id] = threading.current_thread()
        self.loading.set()
        assert self.gate.wait(30)
        return NumpyHead(cut.id)


class ToldLink(LinkEstimator):
    """A link that is what the test says, whatever crosses it."""

    told = FAST

    def estimate(self, now_s: float | None = None) -> LinkEstimate:
        return self.told


class HeardLink(ToldLink):
    """Notes of each heartbeat that it is told of whether a payload may have been before it."""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[bool] = []

    def on_heartbeat(self, rtt_s: float, now_s: float, *, uploading: bool = False) -> None:
        self.beside.append(uploading)


class ToldLoad(CloudLoad):
    """A load that is what the test says, whatever the cloud reports."""

    def __init__(self, told: Load) -> None:
        super().__init__(seed=1)
        super().on_report(told, time.monotonic())

    def on_report(self, load: Load, now_s: float, *, waited_s: float | None = None) -> None:
        pass


class Served:
    """A cloud's profile that is there from the start."""

    def __init__(self, profile: Profile) -> None:
        self._text = profile_to_json(profile)

    def profile_json(self, bundle_digest: str) -> str:
        return self._text


def profile_of(bundle: Bundle, side: Any, cuts: dict[str, CutTiming]) -> Profile:
    return Profile(
        side=side,
        bundle_digest=bundle.digest,
        network=bundle.name,
        engine="numpy",
        variant_id=VARIANT if side == "edge" else "",
        device={},
        versions={},
        threads=1,
        device_factor=1.0,
        measured_at="2026-01-01T00:00:00+00:00",
        preprocess_s=0.0,
        cuts=cuts,
    )


def timing(compute_s: float, size: int | None = None) -> CutTiming:
    codec_s, sizes = ({}, {}) if size is None else ({"zstd": 0.0}, {"zstd": size})
    return CutTiming(compute_s=compute_s, compute_min_s=compute_s, samples=3, codec_s=codec_s, payload_bytes=sizes)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    tails = {"0": timing(0.001, 0), "mid": timing(0.001, 0)}
    with RunningCloud(bundle, profiles=Served(profile_of(bundle, "cloud", tails))) as running:
        yield running


@pytest.fixture
def engine() -> NumpyEngine:
    return NumpyEngine()


@pytest.fixture
def link() -> ToldLink:
    return ToldLink()


@pytest.fixture
def unit(
    bundle: Bundle,
    cloud: RunningCloud,
    engine: NumpyEngine,
    link: ToldLink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Unit]:
    """Sends the image over a fast link, codes over a slow one, and nothing over one that is as good as dead."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    heads = {"0": timing(0.0, 40_000), "mid": timing(0.02, 2_000), "last": timing(0.4)}
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_, **__: profile_of(bundle, "edge", heads))
    variant = bundle.manifest.variants[0]
    with CloudClient(str(cloud.address), PlainChannels(insecure=True)) as client:
        made = Unit(Heads(bundle, engine, variant), client, UnitSettings(constraints=Constraints()), link=link)
        yield made
        engine.gate.set()
        made.close()


def infer(unit: Unit, cut: str = "auto") -> Inference:
    found = unit.infer("ramp", lambda: PICTURE, cut)
    assert found.error == ""
    return found


def test_a_cut_moves_when_its_head_is_ready_and_no_image_waits_for_that(
    unit: Unit, engine: NumpyEngine, link: ToldLink
) -> None:
    assert infer(unit).cut == "0"
    until(lambda: "last" in unit.heads.held_bytes())
    engine.gate.clear()
    engine.loading.clear()
    link.told = SLOW
    # The head for the slow link cannot be loaded yet: images go on at the cut in force, none fails, none waits.
    during = [infer(unit) for _ in range(5)]
    assert engine.loading.wait(10)
    assert {(found.cut, found.where, found.note) for found in during} == {("0", "cloud", "")}
    assert not unit.heads.ready(unit.bundle.cut("mid"))
    engine.gate.set()
    until(lambda: unit.heads.ready(unit.bundle.cut("mid")))
    after = infer(unit)
    assert (after.cut, after.where, after.note) == ("mid", "cloud", "")
    assert engine.threads["mid"] is not threading.current_thread()


def test_the_last_cut_is_made_ready_as_soon_as_there_is_a_plan(unit: Unit, engine: NumpyEngine) -> None:
    infer(unit)
    until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
    assert engine.threads[LAST_CUT] is not threading.current_thread()
    assert unit.held_bytes()[VARIANT].keys() >= {LAST_CUT}


def test_a_cloud_that_is_late_is_overtaken_by_the_unit(unit: Unit, cloud: RunningCloud) -> None:
    infer(unit)
    until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
    cloud.executor.hold()
    try:
        found = infer(unit)
    finally:
        cloud.executor.let_go()
    assert (found.cut, found.where) == (LAST_CUT, "edge")
    assert "no answer from the cloud" in found.note
    assert found.steps is not None
    assert found.steps.transfer_s > 0
    # The cloud is not given up: the next image goes there.
    assert infer(unit).where == "cloud"


def test_heartbeats_beside_a_request_are_told_apart_from_those_on_a_free_link(
    bundle: Bundle, cloud: RunningCloud, engine: NumpyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {"0": timing(0.0, 40_000), "last": timing(3.0)}
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_, **__: profile_of(bundle, "edge", heads))
    heard, image = HeardLink(), RAMP[np.newaxis, np.newaxis]
    with CloudClient(str(cloud.address), PlainChannels(insecure=True), pulse=Pulse(interval_s=0.02)) as client:
        unit = Unit(Heads(bundle, engine, bundle.manifest.variants[0]), client, link=heard)

        def until_told(beside: bool) -> None:
            """The first few may have been on their way before."""
            until(lambda: unit.choose("auto", [image], 0.0) is not None and heard.beside[-4:] == [beside] * 4)

        until_told(False)
        cloud.executor.hold()
        pending = client.submit(mid_request(bundle)[0])
        until_told(True)
        cloud.executor.let_go()
        pending.wait(10)
        until_told(False)
        unit.close()


def test_what_others_would_wait_is_in_no_prediction_no_deadline_and_no_patience(
    bundle: Bundle, cloud: RunningCloud, engine: NumpyEngine, link: ToldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait of 0.2 s behind tails of 50 ms costs the others a second, and this image 0.2 s."""
    heads = {"0": timing(0.0, 40_000), "last": timing(3.0)}
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_, **__: profile_of(bundle, "edge", heads))
    busy = ToldLoad(Load(routine_wait_s=0.2, stat_wait_s=0.2, service_s=0.05, units=1))
    settings = UnitSettings(constraints=Constraints(deadline_s=1.0))
    variant = bundle.manifest.variants[0]
    with CloudClient(str(cloud.address), PlainChannels(insecure=True)) as client:
        unit = Unit(Heads(bundle, engine, variant), client, settings, link=link, load=busy)
        image = RAMP[np.newaxis, np.newaxis]
        choice = unit.choose("auto", [image], 0.0)
        assert choice is not None
        assert choice.cut_id == "0"
        assert choice.steps.queue_s == pytest.approx(0.2)
        assert choice.steps.total_s < 0.3
        assert choice.others_s == pytest.approx(1.0)
        assert unit._planning.patience_s < 0.5
        unit.close()


def test_a_cloud_that_is_late_says_nothing_of_the_link(
    bundle: Bundle, cloud: RunningCloud, engine: NumpyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {"mid": timing(0.0, 2_000), "last": timing(3.0)}
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_, **__: profile_of(bundle, "edge", heads))
    # Two pings in ten seconds: on a busy machine they may be late themselves.
    with CloudClient(str(cloud.address), PlainChannels(insecure=True), pulse=Pulse(interval_s=5.0)) as client:
        unit = Unit(Heads(bundle, engine, bundle.manifest.variants[0]), client, link=LinkEstimator())
        until(lambda: infer(unit).where == "cloud" and unit.link.estimate().samples > 0)  # of the first probe
        until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
        before = unit.link.estimate()
        cloud.executor.hold()
        try:
            assert infer(unit).where == "edge"
        finally:
            cloud.executor.let_go()
        after = unit.link.estimate()
        assert after.bandwidth_bps == before.bandwidth_bps
        assert after.stall_s == before.stall_s
        unit.close()


def test_an_image_that_something_urgent_holds_back_is_not_taken_for_late(
    bundle: Bundle, cloud: RunningCloud, engine: NumpyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {"mid": timing(0.0, 2_000), "last": timing(3.0)}
    monkeypatch.setattr("suture_edge.planning.cached_profile", lambda *_, **__: profile_of(bundle, "edge", heads))
    with CloudClient(str(cloud.address), PlainChannels(insecure=True), pulse=Pulse(interval_s=5.0)) as client:
        unit = Unit(Heads(bundle, engine, bundle.manifest.variants[0]), client, link=LinkEstimator())
        until(lambda: infer(unit).where == "cloud" and unit.link.estimate().samples > 0)  # of the first probe
        until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
        # The hold ends by itself after a second; the unit alone would be done in a moment.
        with client.way(Priority.STAT):
            held_s = client.held_s
            found = infer(unit)
            assert (found.where, found.note) == ("cloud", "")
            assert client.held_s - held_s > 2 * unit._planning.patience_s
        assert unit.link.estimate().stall_s < 0.05
        unit.close()


def test_a_forced_cut_waits_for_the_cloud(unit: Unit, cloud: RunningCloud) -> None:
    infer(unit)
    until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
    cloud.executor.hold()
    cloud.executor.started.clear()
    releaser = threading.Thread(target=lambda: (cloud.executor.started.wait(10), cloud.executor.let_go()))
    releaser.start()
    found = infer(unit, "mid")
    releaser.join()
    assert (found.cut, found.where) == ("mid", "cloud")


def test_a_link_that_the_plan_leaves_unused_is_probed_with_the_images(
    unit: Unit, link: ToldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suture_edge.planning.PROBE_AFTER_S", 0.0)
    infer(unit)
    until(lambda: unit.heads.ready(unit.bundle.cut(LAST_CUT)))
    assert unit.cloud is not None
    before = len(unit.cloud.probes())
    link.told = DEAD_SLOW
    assert infer(unit).where == "edge"
    until(lambda: infer(unit).where == "edge" and len(unit.cloud.probes()) > before)  # type: ignore[union-attr]
    probe = unit.cloud.probes()[-1]
    assert probe.padding_bytes == 12_000
    assert 0 <= probe.spacing_s < probe.round_trip_s


def test_heads_run_and_change_in_many_threads_at_once(bundle: Bundle) -> None:
    heads = Heads(bundle, NumpyEngine(), bundle.manifest.variants[0], kept=2)
    cuts = [bundle.cut(name) for name in ("mid", "wide", "bulk", "last")]
    image = RAMP[np.newaxis, np.newaxis]
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for turn in range(200):
                cut = cuts[(first + turn) % len(cuts)]
                heads.want(cuts[(first + turn + 1) % len(cuts)])
                heads.run(cut, image)
        except BaseException as error:  # noqa: BLE001 handed to the test's thread
            failures.append(error)

    workers = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert len(heads.held_bytes()) <= 3
    assert LAST_CUT in heads.held_bytes()
    heads.close()
    assert not heads.held_bytes()


def test_a_head_that_cannot_be_made_is_told_of_once_and_never_ready(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    from suture_protocol.errors import BundleError

    class Broken(NumpyEngine):
        def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> Head:
            raise BundleError("damaged")

    heads = Heads(bundle, Broken(), bundle.manifest.variants[0])
    heads.want(bundle.cut("mid"))
    until(lambda: "cannot be made ready" in caplog.text)
    heads.want(bundle.cut("mid"))
    assert not heads.ready(bundle.cut("mid"))
    assert caplog.text.count("cannot be made ready") == 1
    heads.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_heads_are_still_made_after_an_error_that_nobody_foresaw(bundle: Bundle) -> None:
    class Surprising(NumpyEngine):
        def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> Head:
            if cut.id == "mid":
                raise ZeroDivisionError
            return super().load(bundle, variant, cut, threads=threads)

    heads = Heads(bundle, Surprising(), bundle.manifest.variants[0])
    heads.want(bundle.cut("mid"))
    until(lambda: heads._maker._thread is None)
    heads.want(bundle.cut("wide"))
    until(lambda: heads.ready(bundle.cut("wide")))
    heads.close()


def test_a_cloud_that_never_measures_its_tails_is_waited_for_once(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("suture_edge.planning.PROFILE_WAIT_S", 0.5)
    asked: list[str] = []
    fetch = CloudClient.fetch_profile
    monkeypatch.setattr(CloudClient, "fetch_profile", lambda self, digest: asked.append(digest) or fetch(self, digest))
    with RunningCloud(bundle) as cloud, CloudClient(str(cloud.address), PlainChannels(insecure=True)) as client:
        made = Unit(Heads(bundle, NumpyEngine(), bundle.manifest.variants[0]), client)
        counts, notes = [], []
        for rest_is_over in (False, False, True):
            if rest_is_over:
                monkeypatch.setattr(made._uplink._reach, "_rest_until_s", 0.0)
            asked.clear()
            notes.append(infer(made).note)
            counts.append(len(asked))
        made.close()
    assert counts[0] > 1
    assert counts[1:] == [0, 1]
    assert "has not measured its tails" in notes[0]
    assert "rest" in notes[1]
    assert "has not measured its tails" in notes[2]


def test_what_the_cloud_answered_while_the_unit_finished_alone_is_kept() -> None:
    pending = PendingResult(lambda: None, "cloud:7000")
    refused = Refused("internal", "the cloud failed to compute the tail")

    def finish() -> tuple[NDArray[Any], ...]:
        pending.fail(refused)
        return (np.ones(1, np.float32),)

    found = first_of(pending, finish, patience_s=lambda: 0.0, timeout_s=10.0)
    assert isinstance(found, FinishedAlone)
    assert found.instead is refused
    faster = first_of(
        PendingResult(lambda: None, "cloud:7000"),
        lambda: (np.ones(1, np.float32),),
        patience_s=lambda: 0.0,
        timeout_s=10.0,
    )
    assert isinstance(faster, FinishedAlone)
    assert faster.instead is None
