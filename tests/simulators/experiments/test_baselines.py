"""`baselines`: its figures from made-up times, and which ways a network's input can go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suture_simulators.experiments.baselines import ARMS, Baselines, arms_for
from tests.simulators.experiments.hand_made import IMAGE, conv, manifest_of
from tests.simulators.experiments.results_made import point, results

SLOW, FAST = point(1e6), point(50e6)
TIMES = {
    SLOW: {"split": [1.0, 1.0], "dicom_upload": [4.0, 4.0], "image_upload": [2.0, 2.0], "edge_only": [1.25, 1.25]},
    FAST: {"split": [0.3, 0.3], "dicom_upload": [0.3, 0.3], "image_upload": [0.2, 0.2], "edge_only": [1.2, 1.2]},
}


def test_ratios_are_split_over_rival_and_the_best_rival_is_that_of_each_point() -> None:
    figures = Baselines().figures(results(TIMES, experiment="baselines"))
    assert figures["split_vs_best_rival_max"] == pytest.approx(1.5)
    assert figures["split_vs_dicom_upload_median"] == pytest.approx((0.25 + 1.0) / 2)
    assert figures["split_vs_image_upload_median"] == pytest.approx((0.5 + 1.5) / 2)
    assert figures["split_vs_edge_only_median"] == pytest.approx((0.8 + 0.25) / 2)
    assert figures["split_as_good_as_best_share"] == 0.5


def test_an_invalid_point_is_in_no_figure_but_in_the_table() -> None:
    found = results(TIMES, experiment="baselines", invalid=[FAST])
    assert Baselines().figures(found)["split_vs_best_rival_max"] == pytest.approx(0.8)
    _, rows = Baselines().table(found)
    assert [row[-1] for row in rows] == ["split as planned", "INVALID"]


def test_results_of_a_run_that_has_measured_nothing_yet_have_no_figures() -> None:
    assert Baselines().figures(results({}, experiment="baselines")) == {}


def test_the_report_has_the_crossings_of_the_lines() -> None:
    longer = {place: {arm: 3 * times for arm, times in arms.items()} for place, arms in TIMES.items()}
    sections = Baselines().sections(results(longer, experiment="baselines"))
    crossings = [
        block for section in sections for block in section.blocks if "Crossings" in getattr(block, "caption", "")
    ]
    assert crossings
    assert any({row[0], row[1]} == {"split as planned", "lossless image"} for row in crossings[0].rows)


def test_a_grey_image_can_go_every_way() -> None:
    assert arms_for(manifest_of([conv("conv", "image", 8, 32, 1000)])) == ARMS


def test_a_network_of_twelve_bit_images_is_not_compared_with_codecs_of_eight() -> None:
    described = manifest_of([conv("conv", "image", 8, 32, 1000)])
    deep = replace(described.network, input=replace(IMAGE, dtype="uint16"))
    ways = [arm.name for arm in arms_for(replace(described, network=deep))]
    assert ways == ["split", "dicom_upload", "image_upload", "edge_only"]
