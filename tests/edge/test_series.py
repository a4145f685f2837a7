"""A series as a pipeline against a real cloud: the same records in the same order, bounded, nothing lost, cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.record import Inference
from suture_edge.series import infer_series
from suture_edge.unit import Unit, UnitSettings
from suture_models.bundle import Bundle
from suture_models.manifest import LAST_CUT
from suture_models.picture import Picture
from suture_protocol.errors import InputRefused
from suture_protocol.events import Priority
from tests.cloud.harness import SIDE, NumpyEngine, NumpyHead, RunningCloud, until, wide_request, write_bundle

COUNT = 7


class Source:
    """Different images; notes how many were asked for."""

    def __init__(self, count: int = COUNT) -> None:
        self.asked = 0
        self._count = count

    def __iter__(self) -> Iterator[tuple[str, Callable[[], Picture]]]:
        for index in range(self._count):
            self.asked += 1
            yield f"image {index}", lambda index=index: picture(index)  # type: ignore[misc]


def picture(index: int) -> Picture:
    values = np.random.default_rng(index).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return Picture(name=f"{index}", kind="image", values=values, bits=8, value_range=(0.0, 255.0))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    with RunningCloud(bundle) as running:
        try:
            yield running
        finally:
            running.executor.let_go()


@pytest.fixture
def client(cloud: RunningCloud) -> Iterator[CloudClient]:
    with CloudClient(str(cloud.address), PlainChannels(insecure=True)) as made:
        yield made


@pytest.fixture
def unit(bundle: Bundle, client: CloudClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Unit(Heads(bundle, NumpyEngine(), bundle.manifest.variants[0]), client)
    yield made
    made.close()


class Running:
    """A series on a thread of its own."""

    def __init__(self, unit: Unit, source: Source, in_flight: int) -> None:
        self.found: list[Inference] = []
        self._thread = threading.Thread(target=lambda: self._run(unit, source, in_flight))
        self._thread.start()

    def _run(self, unit: Unit, source: Source, in_flight: int) -> None:
        for record in infer_series(unit, source, "mid", in_flight=in_flight):
            self.found.append(record)

    def join(self) -> list[Inference]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.found


def names(found: list[Inference]) -> list[str]:
    return [record.path for record in found]


@pytest.mark.parametrize("in_flight", [1, 2, 4, 100])
def test_it_gives_what_one_after_the_other_gives(unit: Unit, in_flight: int) -> None:
    alone = [unit.infer(name, read, "mid") for name, read in Source()]
    found = list(infer_series(unit, Source(), "mid", in_flight=in_flight))
    assert names(found) == names(alone) == [f"image {index}" for index in range(COUNT)]
    assert [record.outputs for record in found] == [record.outputs for record in alone]
    assert {record.where for record in found} == {"cloud"}
    for record in found:
        assert record.steps is not None
        assert record.total_s == pytest.approx(record.steps.total_s)


def test_no_more_than_the_bound_are_under_way_and_the_source_waits(unit: Unit, cloud: RunningCloud) -> None:
    source = Source()
    cloud.executor.hold()
    running = Running(unit, source, 3)
    # Three heads ran and no answer came: that the third was begun is the overlap.
    until(lambda: source.asked == 3)
    threading.Event().wait(0.2)
    assert (source.asked, running.found) == (3, [])
    cloud.executor.let_go()
    assert len(running.join()) == source.asked == COUNT


def test_a_cloud_that_goes_away_loses_nothing(unit: Unit, cloud: RunningCloud, client: CloudClient) -> None:
    source = Source()
    cloud.executor.hold()
    running = Running(unit, source, 3)
    until(lambda: source.asked == 3)
    client.close()
    found = running.join()
    assert names(found) == [f"image {index}" for index in range(COUNT)]
    assert {record.where for record in found} == {"edge"}
    assert all(record.note and not record.error for record in found)
    first = unit.infer("again", lambda: picture(0), LAST_CUT)
    assert first.outputs == found[0].outputs


def test_a_refused_input_keeps_its_place(unit: Unit) -> None:
    def refuse() -> Picture:
        raise InputRefused("bad", "is no image")

    inputs = list(Source(3))
    found = list(infer_series(unit, [inputs[0], ("bad", refuse), *inputs[1:]], "mid", in_flight=3))
    assert names(found) == ["image 0", "bad", "image 1", "image 2"]
    assert [bool(record.error) for record in found] == [False, True, False, False]


def test_what_is_under_way_is_cancelled_where_the_source_fails(unit: Unit, cloud: RunningCloud) -> None:
    class SourceFailed(Exception):
        pass

    def two_then_none() -> Iterator[tuple[str, Callable[[], Picture]]]:
        yield from Source(2)
        raise SourceFailed

    cloud.executor.hold()
    with pytest.raises(SourceFailed):
        list(infer_series(unit, two_then_none(), "mid", in_flight=3))
    cloud.executor.let_go()
    after = unit.infer("after", lambda: picture(5), "mid")
    assert after.where == "cloud"
    # The first was with the executor already; the second was taken out of the line.
    assert sum(map(len, cloud.executor.ran)) <= 2


class WaitingEngine(NumpyEngine):
    """Its heads wait to be let go."""

    def __init__(self) -> None:
        self.running, self.go = threading.Event(), threading.Event()

    def load(self, *given: Any, **more: Any) -> NumpyHead:
        made = super().load(*given, **more)
        run = made.run

        def waiting(image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
            self.running.set()
            assert self.go.wait(10)
            return run(image)

        made.run = waiting  # type: ignore[method-assign]
        return made


def test_routine_images_hold_back_while_the_head_of_an_urgent_one_runs(
    bundle: Bundle, cloud: RunningCloud, client: CloudClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = WaitingEngine()
    client.connect()
    urgent = Unit(Heads(bundle, engine, bundle.manifest.variants[0]), client, UnitSettings(priority=Priority.STAT))
    done: list[Inference] = []
    thread = threading.Thread(target=lambda: done.append(urgent.infer("urgent", lambda: picture(1), "mid")))
    thread.start()
    assert engine.running.wait(10)
    routine = client.submit(wide_request(bundle))
    assert not routine.settled(0.2)  # it would be answered in a few ms
    engine.go.set()
    thread.join(20)
    routine.wait(20)
    urgent.close()
    assert [record.where for record in done] == ["cloud"]
    assert [batch[0].cut_id for batch in cloud.executor.ran] == ["mid", "wide"]


def test_no_images_and_no_room(unit: Unit) -> None:
    assert list(infer_series(unit, [], "mid")) == []
    with pytest.raises(ValueError, match="0 images in flight"):
        list(infer_series(unit, Source(), "mid", in_flight=0))


def test_a_cloud_that_hangs_costs_a_series_the_time_out_once(
    bundle: Bundle, cloud: RunningCloud, client: CloudClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = UnitSettings(timeout_s=1.5)
    unit = Unit(Heads(bundle, NumpyEngine(), bundle.manifest.variants[0]), client, settings)
    cloud.executor.hold()
    found = list(infer_series(unit, Source(4), "mid", in_flight=4))
    unit.close()
    assert [record.where for record in found] == ["edge"] * 4
    lost_s = [record.steps.transfer_s for record in found if record.steps is not None]
    # All were sent before the first was given up: none waits for longer than it would have alone.
    assert len(lost_s) == 4
    assert max(lost_s) < 2 * settings.timeout_s
