"""The agent's configuration: defaults, paths, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture_edge.config import KEYS, AgentConfig, load_config
from suture_protocol.errors import UsageError

LEAST = '[unit]\nbundle = "b"\n[folder]\nwatch = "in"\nout = "out"\n'


def load(tmp_path: Path, text: str) -> AgentConfig:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_what_is_left_out_takes_its_default_and_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST)
    assert (config.bundle, config.watch, config.out) == (tmp_path / "b", tmp_path / "in", tmp_path / "out")
    for key in KEYS:
        if not key.required:
            assert getattr(config, key.name) == key.default


def test_absolute_paths_stay_and_whole_numbers_are_seconds_as_well(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST.replace('"in"', '"/srv/in"') + "settle_s = 3\n")
    assert config.watch == Path("/srv/in")
    assert config.settle_s == 3.0


def test_the_example_that_ships_is_valid() -> None:
    config = load_config(Path(__file__).parents[2] / "deploy" / "edge.toml")
    assert config.cut == "auto"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[unit", "is not TOML"),
        (LEAST.replace("bundle", "bundel"), r"\[unit\] has no key 'bundel'; it has: bundle"),
        (LEAST + "[clouds]\n", "unknown 'clouds'; the tables are: cloud, folder, unit"),
        ("unit = 3\n", "unknown 'unit'"),
        (LEAST.replace('watch = "in"\n', ""), "folder.watch is missing: folder to take files from"),
        (LEAST.replace('"in"', "3"), "folder.watch = 3: give a path in quotes"),
        (LEAST + "poll_s = 0\n", "folder.poll_s = 0: give seconds, more than 0"),
        (LEAST + "poll_s = true\n", "folder.poll_s = True: give a number of seconds"),
        (LEAST + '[cloud]\ninsecure = "yes"\n', "cloud.insecure = 'yes': give true or false"),
        (LEAST.replace("[folder]", "threads = 0\n[folder]"), "unit.threads = 0: give 1 or more"),
        (LEAST.replace('"out"', '"in/out"'), "folder.out lies within folder.watch"),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        load(tmp_path, text)
    assert str(tmp_path / "edge.toml") in str(refused.value)


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
