"""results.json: what is written reads back, and what is no run's is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suture_simulators.experiments.baselines import Baselines
from suture_simulators.experiments.results import read, to_json
from tests.simulators.experiments.results_made import point, results

MADE = results(
    {point(1e6): {"split": [1.0, 1.5], "edge_only": [2.0, 2.5]}}, experiment="baselines", notes={"plan": "0"}
)


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(to_json(Baselines(), MADE)), encoding="utf-8")
    assert read(path) == MADE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"experiment": "oracle", "samples": [{"x": 1}]}'])
def test_what_is_no_run_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json"):
        read(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        read(tmp_path / "nowhere")
