"""What is told of a study: of several images only, the highest with its image, the mean over those with a finding."""

from __future__ import annotations

import json
from typing import Any

import pytest

from suture_edge.record import Inference
from suture_edge.studies import Studies


def record(index: int, study: str = "1.2", error: str = "", **outputs: Any) -> Inference:
    made = {"bundle": "b", "weights": "trained", "sop_instance_uid": f"9.{index}"}
    return Inference(path=f"{index}.dcm", study_instance_uid=study, outputs=outputs, error=error, **made)


def told(*records: Inference) -> list[dict[str, Any]]:
    studies = Studies()
    for one in records:
        studies.add(one)
    return [json.loads(json.dumps(study.to_json())) for study in studies.results()]


def test_a_classifiers_study_is_its_highest_probabilities_where_they_are_and_their_means() -> None:
    (study,) = told(record(1, ill=0.2, well=0.8), record(2, ill=0.9, well=0.1), record(3, ill=0.1, well=0.9))
    assert (study["study"], study["instances"], study["failed"]) == ("1.2", 3, 0)
    assert study["outputs"]["ill"] == {
        "highest": 0.9,
        "mean": pytest.approx(0.4),
        "path": "2.dcm",
        "sop_instance_uid": "9.2",
    }
    assert study["outputs"]["well"]["path"] == "3.dcm"


def test_a_masks_study_lists_the_masks() -> None:
    (study,) = told(*(record(n, area_fraction=n / 10, mask=f"{n}_mask.png") for n in (1, 2)))
    assert study["masks"] == ["1_mask.png", "2_mask.png"]
    assert study["outputs"]["area_fraction"]["highest"] == 0.2
    assert study["outputs"].keys() == {"area_fraction"}


def test_images_without_a_finding_are_counted_and_lower_no_mean() -> None:
    (study,) = told(record(1, ill=0.5), record(2, error="not finite"), record(3, ill=0.7))
    assert (study["instances"], study["failed"]) == (3, 1)
    assert study["outputs"]["ill"]["mean"] == pytest.approx(0.6)


def test_studies_are_kept_apart_and_single_images_tell_nothing_more() -> None:
    mixed = [
        record(1, "a", x=0.1),
        record(2, "b", x=0.2),
        record(3, "a", x=0.3),
        record(4, "", x=0.4),
        record(5, "", x=1.0),
    ]
    (study,) = told(*mixed)
    assert (study["study"], study["instances"]) == ("a", 2)
    assert study["outputs"]["x"]["mean"] == pytest.approx(0.2)
