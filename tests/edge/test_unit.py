"""The unit with a real engine and a cloud in another process: splits, learns, and loses no image to the link."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.record import Inference
from suture_edge.unit import Unit, UnitSettings
from suture_models.bundle import Bundle
from suture_models.walk import read_file
from suture_partitioner.device import processor_class
from suture_partitioner.types import Constraints
from suture_protocol.errors import BundleError, UsageError
from tests.cloud.harness import RunningCloud
from tests.processes import CHESTS, CloudProcess, Command, middle_cut, running_cloud, until


@contextmanager
def unit_for(bundle: Bundle, address: str | None, **settings: object) -> Iterator[Unit]:
    """A unit, with a cloud at `address` or alone."""
    variant = choose_variant(bundle, "openvino", processor_class())
    client = None if address is None else CloudClient(address, PlainChannels(insecure=True))
    unit = Unit(Heads(bundle, get_engine("openvino"), variant), client, UnitSettings(**settings))  # type: ignore[arg-type]
    try:
        yield unit
    finally:
        unit.close()
        if client is not None:
            client.close()


def infer(unit: Unit, cut: str) -> Inference:
    return unit.infer(str(CHESTS[0]), lambda: read_file(CHESTS[0]), cut)


def timed(work: Callable[[], Inference]) -> tuple[Inference, float]:
    start_s = time.monotonic()
    return work(), time.monotonic() - start_s


def test_a_split_image_is_recorded_step_by_step_and_teaches_the_link(
    pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess
) -> None:
    cut = next(c for c in pneumonia_bundle.manifest.cuts if c.candidate and c.bytes_codes > 100_000 and c.id != "0")
    with unit_for(pneumonia_bundle, pneumonia_cloud.address) as unit:
        assert unit.link.estimate().samples == 0
        found, took_s = timed(lambda: infer(unit, cut.id))
        assert unit.link.estimate().samples == 1
    assert (found.cut, found.where, found.codec, found.error, found.note) == (cut.id, "cloud", "zstd", "", "")
    assert found.steps is not None
    assert found.total_s == found.steps.total_s <= took_s
    assert 0 < found.payload_bytes < cut.bytes_codes


def test_codes_narrowed_to_four_bits_take_fewer_bytes_and_hardly_change_the_answer(
    pneumonia_bundle: Bundle, pneumonia_cloud: CloudProcess
) -> None:
    cut = middle_cut(pneumonia_bundle)
    found = {}
    for spec in ("zstd", "zstd@4"):
        with unit_for(pneumonia_bundle, pneumonia_cloud.address, codec=spec) as unit:
            unit.check(cut)
            found[spec] = infer(unit, cut)
    full, narrow = found["zstd"], found["zstd@4"]
    assert (narrow.where, narrow.note, narrow.codec, narrow.to_json()["codec"]) == ("cloud", "", "zstd@4", "zstd@4")
    assert narrow.payload_bytes < 0.8 * full.payload_bytes
    assert 0 < abs(narrow.outputs["pneumonia"] - full.outputs["pneumonia"]) < 0.1


def test_a_killed_cloud_costs_no_image_and_little_time_and_is_used_again_when_it_returns(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path
) -> None:
    cut = middle_cut(pneumonia_bundle)
    with (
        running_cloud(command, tmp_path, pneumonia_bundle) as cloud,
        unit_for(pneumonia_bundle, cloud.address) as unit,
    ):
        before = infer(unit, cut)
        cloud.end(signal.SIGKILL)
        alone = infer(unit, cut)
        again, took_s = timed(lambda: infer(unit, cut))
        cloud.start()
        until(lambda: infer(unit, cut).where == "cloud")
    assert before.where == "cloud"
    for found in (alone, again):
        assert (found.where, found.cut, found.error) == ("edge", "last", "")
        assert cloud.address in found.note
        assert abs(found.outputs["pneumonia"] - before.outputs["pneumonia"]) < 0.15
    assert took_s < 0.5


def test_a_cloud_that_does_not_answer_is_given_a_rest(pneumonia_bundle: Bundle) -> None:
    cut = middle_cut(pneumonia_bundle)
    with RunningCloud(pneumonia_bundle) as cloud:
        cloud.executor.hold()
        try:
            with unit_for(pneumonia_bundle, str(cloud.address), timeout_s=0.3) as unit:
                first = infer(unit, cut)
                second, took_s = timed(lambda: infer(unit, cut))
        finally:
            cloud.executor.let_go()
    assert (first.where, second.where) == ("edge", "edge")
    assert "within 0.3 s" in first.note
    assert "rest" in second.note
    assert first.steps is not None
    assert first.steps.transfer_s >= 0.3
    assert took_s < 0.3


def test_a_refusal_of_the_cloud_is_a_note(pneumonia_bundle: Bundle) -> None:
    with RunningCloud(pneumonia_bundle) as cloud, unit_for(pneumonia_bundle, str(cloud.address)) as unit:
        cloud.executor.fail = lambda request: "no such tail"
        found = infer(unit, middle_cut(pneumonia_bundle))
    assert (found.where, found.error) == ("edge", "")
    assert found.note


def test_alone_it_needs_no_cloud_and_plans_nothing(pneumonia_bundle: Bundle) -> None:
    with unit_for(pneumonia_bundle, None) as unit:
        for cut in ("auto", "last"):
            found = infer(unit, cut)
            assert (found.cut, found.where, found.note) == ("last", "edge", "")
        assert infer(unit, "0").note == "no cloud was named"
        with pytest.raises(BundleError, match="no cut 'nowhere'"):
            infer(unit, "nowhere")


def test_an_input_that_cannot_be_used_is_an_error_in_the_record(pneumonia_bundle: Bundle, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("text", encoding="utf-8")
    with unit_for(pneumonia_bundle, None) as unit:
        found = unit.infer("bad", lambda: read_file(bad))
    assert found.error.startswith("is neither DICOM")
    assert found.to_json()["outputs"] == {}


def test_files_for_outputs_have_names_of_their_own(pneumonia_bundle: Bundle) -> None:
    with unit_for(pneumonia_bundle, None) as unit:
        stems = [unit._recorder.stem(name) for name in ("a/x.dcm", "b/x.dcm", "a/x.dcm", "x.png")]
    assert stems == ["x", "x-2", "x", "x-3"]


@pytest.mark.parametrize(
    ("settings", "cut", "message"),
    [
        ({}, "nowhere", "no cut 'nowhere'"),
        ({"constraints": Constraints(privacy_floor="nowhere")}, "auto", "the privacy floor"),
        ({"constraints": Constraints(privacy_floor="last")}, "0", "shallower"),
        ({"codec": "gif"}, "auto", "unknown codec"),
        ({"codec": "raw"}, "auto", "force a cut"),
        ({"codec": "zstd@9"}, "auto", "codes of 9 bits"),
        ({"codec": "zstd@4"}, "0", "cut 0 sends an image"),
    ],
)
def test_settings_that_cannot_work_are_told_beforehand(
    pneumonia_bundle: Bundle, settings: dict[str, object], cut: str, message: str
) -> None:
    with unit_for(pneumonia_bundle, "127.0.0.1:1", **settings) as unit, pytest.raises(UsageError, match=message):
        unit.check(cut)


def test_using_openvino_reports_to_nobody() -> None:
    script = (
        "import sys\n"
        "forks = []\n"
        "sys.addaudithook(lambda event, _: forks.append(event) if event in ('os.fork', 'subprocess.Popen') else None)\n"
        "from suture_edge.engines.registry import get_engine\n"
        "get_engine('openvino').version()\n"
        "sys.exit(str(forks) if forks or sys.modules.get('openvino_telemetry') else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
