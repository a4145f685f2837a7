"""The agent on real folders with a real unit: complete files only, nothing lost, nothing twice, nothing stops it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from suture_edge.agent import WRITE_RETRY_S, Agent
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.folder import Inbox, ResultFolder
from suture_edge.heads import Heads
from suture_edge.unit import Unit
from suture_models.bundle import Bundle, open_bundle
from suture_partitioner.device import processor_class
from suture_protocol.errors import UsageError
from tests.processes import CHESTS

SETTLE_S = 1.0


class Clock:
    """Time that passes only where someone sleeps; what happens meanwhile is queued."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events: list[Callable[[], object]] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.events:
            self.events.pop(0)()


class Place:
    """An inbox, a folder of results and an agent between them."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.inbox, self.out, self.clock = folder / "inbox", folder / "out", Clock()
        self.inbox.mkdir(exist_ok=True)
        variant = choose_variant(bundle, "openvino", processor_class())
        self.unit = Unit(Heads(bundle, get_engine("openvino"), variant), None)
        self.start()

    def start(self) -> None:
        """A new agent that remembers nothing but what lies in the folders."""
        self.results = ResultFolder(self.out, self.inbox)
        inbox = Inbox(self.inbox, SETTLE_S, self.clock)
        self.agent = Agent(self.unit, inbox, self.results, cut="last", clock=self.clock, sleep=self.clock.sleep)

    def restart(self) -> None:
        self.results.close()
        self.start()

    def once(self) -> None:
        self.agent.run_once(SETTLE_S)

    def result(self, name: str) -> dict[str, Any] | None:
        path = self.out / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


@contextmanager
def place_for(bundle: Bundle, folder: Path) -> Iterator[Place]:
    made = Place(folder, bundle)
    try:
        yield made
    finally:
        made.results.close()
        made.unit.close()


@pytest.fixture
def place(tmp_path: Path, pneumonia_bundle: Bundle) -> Iterator[Place]:
    with place_for(pneumonia_bundle, tmp_path) as made:
        yield made


def test_a_file_that_grows_is_left_until_it_is_complete(place: Place) -> None:
    target, data = place.inbox / "a.dcm", CHESTS[0].read_bytes()
    target.write_bytes(data[:1000])
    place.clock.events = [lambda: target.write_bytes(data[: len(data) // 2]), lambda: target.write_bytes(data)]
    place.once()
    assert place.result("a.dcm") is None
    place.once()
    found = place.result("a.dcm")
    assert found is not None
    assert found["error"] == ""
    assert place.agent.done == 1


def test_hidden_files_are_not_taken(place: Place) -> None:
    shutil.copy(CHESTS[0], place.inbox / ".a.dcm")
    place.once()
    assert list(place.out.glob("*.json")) == []


def test_a_file_that_is_changed_after_its_result_is_done_again(place: Place) -> None:
    shutil.copy(CHESTS[0], place.inbox / "a.dcm")
    place.once()
    place.once()
    assert place.agent.done == 1
    shutil.copy(CHESTS[2], place.inbox / "a.dcm")
    place.once()
    found = place.result("a.dcm")
    assert found is not None
    assert found["outputs"]["normal"] > 0.5
    assert place.agent.done == 2


def test_a_new_agent_knows_what_is_done(place: Place) -> None:
    shutil.copy(CHESTS[0], place.inbox / "a.dcm")
    (place.inbox / "bad").write_text("text", encoding="utf-8")
    place.once()
    place.restart()
    place.once()
    assert place.agent.done == 0


def test_a_half_written_or_foreign_result_counts_as_none(place: Place) -> None:
    shutil.copy(CHESTS[0], place.inbox / "a.dcm")
    (place.out / "a.dcm.json").write_text('{"path": "a.d', encoding="utf-8")
    place.once()
    found = place.result("a.dcm")
    assert found is not None
    assert found["outputs"]["pneumonia"] > 0.5


def test_a_damaged_bundle_is_each_files_error_until_it_is_mended(tmp_path: Path, pneumonia_bundle: Bundle) -> None:
    shutil.copytree(pneumonia_bundle.path, tmp_path / "bundle")
    variant = choose_variant(pneumonia_bundle, "openvino", processor_class())
    weights = tmp_path / "bundle" / variant.files["weights"].path
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with place_for(open_bundle(tmp_path / "bundle"), tmp_path) as place:
        for name in ("a.dcm", "b.dcm"):
            shutil.copy(CHESTS[0], place.inbox / name)
        place.once()
        place.once()
        assert (place.agent.done, place.agent.refused) == (2, 2)
        for name in ("a.dcm", "b.dcm"):
            found = place.result(name)
            assert found is not None
            assert "was changed since the build" in found["error"]
            assert found["source"] is None
        weights.write_bytes(whole)
        place.restart()
        place.once()
        assert (place.agent.done, place.agent.refused) == (2, 0)


def test_a_result_that_cannot_be_written_is_tried_again_later_and_the_others_go_on(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("study/a.dcm", "z.dcm"):
        (place.inbox / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHESTS[0], place.inbox / name)
    (place.out / "study").write_text("in the way", encoding="utf-8")
    with caplog.at_level(logging.INFO, "suture_edge"):
        place.once()
        place.once()
    assert place.result("z.dcm") is not None
    assert sum("cannot be written" in message for message in caplog.messages) == 1
    (place.out / "study").unlink()
    place.clock.now_s += WRITE_RETRY_S
    place.once()
    assert place.result("study/a.dcm") is not None
    assert place.agent.done == 2


def test_files_of_one_name_and_several_endings_have_results_of_their_own(place: Place) -> None:
    shutil.copy(CHESTS[0], place.inbox / "a.dcm")
    shutil.copy(CHESTS[2], place.inbox / "a")
    place.once()
    first, second = place.result("a.dcm"), place.result("a")
    assert first is not None
    assert second is not None
    assert first["sop_instance_uid"] != second["sop_instance_uid"]


def test_a_folder_of_results_belongs_to_one_agent_until_it_is_let_go(place: Place) -> None:
    with pytest.raises(UsageError, match="another agent"):
        ResultFolder(place.out, place.inbox)
    place.results.close()
    place.results = ResultFolder(place.out, place.inbox)
