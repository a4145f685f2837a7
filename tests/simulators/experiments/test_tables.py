"""The table of tests: what a paper prints, and dashes where a test has nothing to say."""

import numpy as np

from suture_simulators.experiments.tables import comparison_of_ways, p_text

TITLES = {"split": "Split", "edge": "Edge only"}


def times(seed: int, middle_s: float) -> list[float]:
    return (middle_s * np.random.default_rng(seed).lognormal(0, 0.1, 20)).tolist()


def test_each_way_has_a_row_and_the_tests_over_all_ways_stand_with_the_reference():
    points = {"1 Mbit/s": {"split": times(1, 0.3), "edge": times(2, 0.6)}}
    table = comparison_of_ways(points, "split", titles=TITLES, folded="Tests")
    split, edge = table.rows
    assert {len(row) for row in table.rows} == {len(table.head)}
    assert (split[1], edge[1]) == ("Split", "Edge only")
    assert split[5:9] == ["–"] * 4
    assert split[9].endswith(", < 0.001")
    assert "(1, 38)" in split[9]
    assert edge[6:8] == ["< 0.001"] * 2
    assert edge[9:] == ["", ""]
    assert edge[3].endswith("ms") is False
    assert 550 < float(edge[3].split(" ± ")[0]) < 650


def test_one_sample_and_constants_leave_dashes():
    row = comparison_of_ways({"p": {"split": [0.1, 0.1], "edge": [0.2]}}, "split", titles=TITLES).rows
    assert row[0][9:] == ["–", "2.00, 0.157"]
    assert row[1][3:9] == ["200.0 ± –", "200.0 [200.0, 200.0]", "–", "–", "–", "–"]


def test_points_without_a_comparison_are_left_out():
    assert not comparison_of_ways({"p": {"edge": [0.1]}, "q": {"split": [0.1]}}, "split", titles=TITLES).rows


def test_p_values_read_as_in_papers():
    assert [p_text(p) for p in (None, 0.0001, 0.0314)] == ["–", "< 0.001", "0.031"]
