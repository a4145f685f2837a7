"""`oracle`: which cuts are measured, and its figures from made-up times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suture_simulators.experiments.oracle import Oracle, exhaustive_keys
from tests.simulators.experiments.results_made import point, results

SLOW, FAST = point(1e6), point(50e6)
TIMES = {
    SLOW: {"0": [2.0] * 4, "relu": [1.0] * 4, "last": [1.5] * 4},
    FAST: {"0": [0.2] * 4, "relu": [0.4] * 4, "last": [1.5] * 4},
}
NOTES = {
    "chosen": {"plan": "relu", "neurosurgeon": "0", "dads": "last"},
    "predicted": {
        cut: {"total_s": 0.9, "payload_bytes": 1000, "steps_s": {"head": 0.5, "transfer": 0.4}}
        for cut in ("0", "relu", "last")
    },
    "before_s": 0.1,
    "exhaustive": True,
}


def test_regret_is_the_chosen_cuts_time_over_the_best_ones_less_one() -> None:
    figures = Oracle().figures(results(TIMES, experiment="oracle", notes=NOTES))
    assert figures["regret_median"] == pytest.approx((0.0 + 1.0) / 2)
    assert figures["regret_neurosurgeon_median"] == pytest.approx((1.0 + 0.0) / 2)
    assert figures["regret_dads_median"] == pytest.approx((0.5 + 6.5) / 2)
    assert figures["regret_noise_median"] == 0
    assert figures["distinct_best_cuts"] == 2
    assert figures["middle_cut_best_share"] == 0.5


def test_the_best_single_cut_is_the_one_whose_regret_over_all_points_is_least() -> None:
    figures = Oracle().figures(results(TIMES, experiment="oracle", notes=NOTES))
    assert figures["regret_best_fixed_p95"] == pytest.approx(0.95)


def test_the_prediction_is_held_against_what_was_measured_reading_included() -> None:
    times = {SLOW: {"relu": [1.0] * 4, "0": [2.0] * 4}}
    figures = Oracle().figures(results(times, experiment="oracle", notes=NOTES))
    assert figures["prediction_mape"] == pytest.approx((0.0 + 0.5) / 2)


def test_a_rule_whose_cut_was_not_measured_has_no_regret_there() -> None:
    chosen = {**NOTES["chosen"], "dads": "elsewhere"}
    figures = Oracle().figures(results(TIMES, experiment="oracle", notes={**NOTES, "chosen": chosen}))
    assert "regret_dads_median" not in figures


def test_invalid_points_and_points_without_two_halves_are_in_no_figure() -> None:
    times = {**TIMES, point(5e6): {"0": [1.0]}}
    figures = Oracle().figures(results(times, experiment="oracle", notes=NOTES, invalid=[FAST]))
    assert figures["distinct_best_cuts"] == 1
    assert Oracle().figures(results({SLOW: {"0": [1.0]}}, experiment="oracle", notes=NOTES)) == {}


def test_sections_and_table_can_be_made_of_it() -> None:
    found = results(TIMES, experiment="oracle", notes=NOTES)
    assert next(section.title for section in Oracle().sections(found)) == "Regret"
    _, rows = Oracle().table(found)
    assert [row[2] for row in rows] == ["relu", "0"]
    assert Oracle().sections(replace(found, records=(), samples={}))


@pytest.mark.parametrize(("points", "wanted", "places"), [(3, 6, {0, 1, 2}), (11, 6, {0, 2, 4, 6, 8, 10}), (5, 1, {0})])
def test_exhaustive_points_are_spread_over_the_grid(points: int, wanted: int, places: set[int]) -> None:
    grid = [point(1e6 * (i + 1)) for i in range(points)]
    assert exhaustive_keys(grid, wanted) == {grid[place].key for place in places}
