"""`suture edge` as a process: a folder done once and for all, a cloud that dies and returns, a clean end, usage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest

from suture.app import main
from suture_edge.config import KEYS
from suture_models.bundle import Bundle
from tests.processes import CHESTS, Command, middle_cut, running_cloud, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path


def write_config(folder: Path, bundle: Bundle, cloud: str = "", **unit: object) -> Path:
    """A configuration with paths relative to its folder."""
    lines = ["[unit]", f"bundle = {json.dumps(str(bundle.path))}", *(f"{k} = {json.dumps(v)}" for k, v in unit.items())]
    if cloud:
        lines += ["[cloud]", f'address = "{cloud}"', "insecure = true"]
    lines += ["[folder]", 'watch = "inbox"', 'out = "results"', "poll_s = 0.05", "settle_s = 0.1"]
    path = folder / "edge.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def put(source: Path, folder: Path, name: str) -> Path:
    """Brings a file in as a careful sender does: under a hidden name first."""
    hidden = folder / "inbox" / f".{name}"
    shutil.copy(source, hidden)
    return hidden.rename(folder / "inbox" / name)


def result(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_once_does_what_is_there_keeps_reasons_and_does_nothing_twice(
    command: Command, pneumonia_bundle: Bundle, folder: Path
) -> None:
    config = write_config(folder, pneumonia_bundle)
    (folder / "inbox" / "study").mkdir()
    put(CHESTS[0], folder, "a.dcm").rename(folder / "inbox" / "study" / "a.dcm")
    put(CHESTS[2], folder, "b.dcm")
    (folder / "inbox" / "bad.dcm").write_text("not an image", encoding="utf-8")

    first = command.run("edge", "--config", config, "--once")
    assert first.returncode == 1, first.stderr
    assert first.stdout == ""
    good = result(folder, "study/a.dcm")
    assert good["outputs"]["pneumonia"] > 0.5
    assert (good["error"], good["where"], good["bundle"]) == ("", "edge", pneumonia_bundle.digest)
    assert good["path"] == str(folder / "inbox" / "study" / "a.dcm")
    assert good["source"]["bytes"] == CHESTS[0].stat().st_size
    assert result(folder, "b.dcm")["outputs"]["normal"] > 0.5
    bad = result(folder, "bad.dcm")
    assert "neither DICOM" in bad["error"]
    assert bad["outputs"] == {}
    assert sum(": finished on the edge" in line for line in first.stderr.splitlines()) == 2
    assert "bad.dcm: refused: is neither DICOM" in first.stderr
    assert "pneumonia 0" not in first.stderr, "findings are for the results, not for the log"

    os.utime(folder / "inbox" / "b.dcm")  # touched, not changed
    shutil.copy(CHESTS[1], folder / "inbox" / "bad.dcm")  # mended
    second = command.run("edge", "--config", config, "--once")
    assert second.returncode == 0, second.stderr
    assert "bad.dcm: finished" in second.stderr
    assert "ended; 1 done, 0 of them refused" in second.stderr
    assert result(folder, "bad.dcm")["error"] == ""
    assert not list((folder / "results").rglob("*.part"))


def test_a_cloud_that_dies_costs_no_image_and_is_used_again_when_it_is_back(
    command: Command, pneumonia_bundle: Bundle, folder: Path
) -> None:
    with running_cloud(command, folder, pneumonia_bundle) as cloud:
        config = write_config(folder, pneumonia_bundle, cloud.address, cut=middle_cut(pneumonia_bundle))
        with command.started("edge", "--config", config) as agent:

            def done(name: str) -> dict[str, Any]:
                put(CHESTS[0], folder, name)
                until(lambda: (folder / "results" / f"{name}.json").exists() or agent.poll() is not None)
                return result(folder, name)

            assert done("1.dcm")["where"] == "cloud"
            cloud.end(signal.SIGKILL)
            alone = done("2.dcm")
            assert (alone["where"], alone["error"]) == ("edge", "")
            assert cloud.address in alone["note"]
            assert alone["outputs"]["pneumonia"] > 0.5
            assert done("3.dcm")["timings_s"]["transfer"] < 0.5, "a second image does not wait for it again"

            cloud.start()
            names = (f"{number}.dcm" for number in range(4, 200))
            until(lambda: done(next(names))["where"] == "cloud")

            agent.send_signal(signal.SIGTERM)
            _, said = agent.communicate(timeout=30)
    assert agent.returncode == 0
    lines = said.splitlines()
    assert "watching" in lines[0]
    assert "ended; " in lines[-1]
    assert sum("2.dcm: finished on the edge" in line for line in lines) == 1
    assert "Traceback" not in said


def test_it_finishes_the_image_at_hand_and_leaves_the_rest_when_told_to_end(
    command: Command, pneumonia_bundle: Bundle, folder: Path
) -> None:
    for number in range(1500):
        target = folder / "inbox" / f"{number:04}.dcm"
        os.link(CHESTS[0], target) if _same_device(CHESTS[0], folder) else shutil.copy(CHESTS[0], target)
    config = write_config(folder, pneumonia_bundle, cut="last")
    results = folder / "results"
    with command.started("edge", "--config", config) as agent:
        until(lambda: (results / "0000.dcm.json").exists() or agent.poll() is not None)
        agent.send_signal(signal.SIGINT)
        _, said = agent.communicate(timeout=30)
    written = sorted(results.glob("*.json"))
    assert agent.returncode == 0
    assert 0 < len(written) < 1500
    assert all(json.loads(path.read_text(encoding="utf-8"))["outputs"] for path in written)
    assert f"ended; {len(written)} done, 0 of them refused" in said


def _same_device(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def test_two_agents_do_not_share_a_folder_of_results(command: Command, pneumonia_bundle: Bundle, folder: Path) -> None:
    config = write_config(folder, pneumonia_bundle, cut="last")
    with command.started("edge", "--config", config) as first:
        assert first.stderr is not None
        assert "watching" in first.stderr.readline()
        second = command.run("edge", "--config", config, "--once")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
    assert second.returncode == 2
    assert "another agent" in second.stderr


def test_what_the_unit_cannot_do_is_told_at_the_start(
    pneumonia_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, status, message in (
        ({"cut": "nowhere"}, 2, "no cut 'nowhere'"),
        ({"cut": "0"}, 2, "needs a cloud"),
        ({"engine": "litert"}, 3, "no int8 artefact for litert"),
    ):
        config = write_config(folder, pneumonia_bundle, **settings)
        assert main(["edge", "--config", str(config), "--once"]) == status
        assert message in capsys.readouterr().err
    (folder / "inbox").rmdir()
    assert main(["edge", "--config", str(write_config(folder, pneumonia_bundle)), "--once"]) == 2
    assert "inbox is no folder" in capsys.readouterr().err


def test_every_key_is_in_the_help_the_readme_and_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "--help"]) == 0
    shown = capsys.readouterr().out
    readme = (ROOT / "edge" / "README.md").read_text(encoding="utf-8")
    example = (ROOT / "deploy" / "edge.toml").read_text(encoding="utf-8")
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in example.splitlines())
    everything = tomllib.loads("\n".join(line for line in uncommented.splitlines() if not line.startswith("#")))
    for key in KEYS:
        assert f"{key.table}.{key.name}:" in shown
        assert f"| `{key.table}.{key.name}` | {key.help} |" in readme
        assert key.name in everything[key.table]
