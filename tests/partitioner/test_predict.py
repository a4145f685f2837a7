"""Predicting heads and tails: what each computes, the fit over what was measured, and that it runs through that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_models.manifest import Cut, GraphNode, TensorSpec
from suture_partitioner.predict import layer_nodes, part, predicted, terms


class Graph:
    """a → b → c, with a skip from a over b to the sum at c, and an output d behind it."""

    outputs = (TensorSpec(name="d", shape=(1, 10), dtype="float32"),)
    graph = tuple(
        GraphNode(name=name, op="conv", inputs=inputs, shape=(1, 10, 10, 10), dtype="float32", macs=1_000_000)
        for name, inputs in (("a", ("image",)), ("b", ("a",)), ("c", ("a", "b")), ("d", ("c",)))
    )


def cut(cut_id: str, *names: str, index: int = 1) -> Cut:
    boundary = tuple(TensorSpec(name=name, shape=(1, 10, 10, 10), dtype="float32") for name in names)
    return Cut(id=cut_id, index=index, boundary=boundary, head_macs=1, tail_macs=1)


INPUT = cut("0", "image", index=0)
CUTS = (INPUT, cut("a", "a"), cut("a+b", "a", "b", index=2), cut("c", "c", index=3), cut("last", "d", index=4))


@pytest.mark.parametrize(
    ("side", "parts"),
    [
        ("edge", [set(), {"a"}, {"a", "b"}, {"a", "b", "c"}, {"a", "b", "c", "d"}]),
        ("cloud", [{"a", "b", "c", "d"}, {"b", "c", "d"}, {"c", "d"}, {"d"}, set()]),
    ],
)
def test_a_part_is_what_the_head_or_the_tail_needs(side, parts):
    assert [set(part(Graph, one, side)) for one in CUTS] == parts


def test_a_layer_counts_where_any_of_its_nodes_is_computed():
    layers_s = {"a+b#node_Conv_1": 0.003, "c#node_Conv_2": 0.005, "#Reorder": 0.001, "c#node_Conv_2_reorder": 0.001}
    found = terms(Graph, CUTS, "edge", layers_s)
    assert [row[0] for row in found.values()] == pytest.approx([0.0, 0.003, 0.003, 0.009, 0.009])
    assert found["0"] == (0.0, 0.0, 0.0, 0.0)
    assert found["a+b"][1:] == (1.0, pytest.approx(0.002), pytest.approx(0.002))


def test_without_counters_arithmetic_and_bytes_describe_a_part():
    found = terms(Graph, CUTS, "cloud", {})
    assert found["last"] == (0.0,) * 5
    assert found["0"][0] == pytest.approx(0.004)
    assert all(len(row) == 5 for row in found.values())


def test_a_layers_name_gives_its_nodes():
    assert layer_nodes("conv2d+relu#node_Conv_1") == ("conv2d", "relu")
    assert layer_nodes("conv2d") == ("conv2d",)


def network(count: int, seed: int) -> dict[str, tuple[float, ...]]:
    generator = np.random.default_rng(seed)
    counted = np.cumsum(generator.uniform(0.1e-3, 1e-3, count))
    return {f"n{i}": (counted[i], 1.0, generator.uniform(0, 1), 0.1 * i) for i in range(count)}


def true_s(row: tuple[float, ...]) -> float:
    return 1.05 * row[0] + 0.1e-3 + 0.7e-3 * row[2]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_times_made_of_the_figures_are_predicted_from_a_third_of_them(seed):
    described = network(36, seed)
    measured = {cut_id: true_s(row) for cut_id, row in list(described.items())[::3]}
    found = predicted(described, measured)
    for cut_id, row in described.items():
        assert found[cut_id] == pytest.approx(true_s(row), rel=0.02)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_what_was_measured_keeps_its_value_and_all_predictions_are_sane(seed, count):
    generator = np.random.default_rng(seed)
    described = network(12, seed)
    measured = {cut_id: float(generator.uniform(1e-4, 1e-2)) for cut_id in list(described)[:count]}
    found = predicted(described, measured)
    assert found.keys() == described.keys()
    assert all(found[cut_id] == seconds for cut_id, seconds in measured.items())
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in found.values())


def test_one_measurement_gone_wrong_spoils_its_neighbourhood_only():
    described = network(30, 1)
    measured = {cut_id: true_s(row) for cut_id, row in list(described.items())[::2]}
    measured["n14"] *= 4
    found = predicted(described, measured)
    far = [i for i in range(1, 30, 2) if abs(i - 14) > 2]
    errors = [abs(found[f"n{i}"] / true_s(described[f"n{i}"]) - 1) for i in far]
    assert max(errors) < 0.05


def test_a_part_that_computes_nothing_takes_nothing_unless_that_was_measured():
    described = {"0": (0.0, 0.0), "a": (0.001, 1.0), "b": (0.002, 1.0)}
    found = predicted(described, {"a": 0.0011})
    assert found["0"] == 0.0
    assert found["b"] == pytest.approx(0.0022)
    assert predicted(described, {"0": 1e-6, "a": 0.0011})["0"] == 1e-6


def test_where_no_part_that_computes_was_measured_the_measured_time_stands_in():
    assert predicted({"0": (0.0,), "a": (0.5,)}, {"0": 0.002}) == {"0": 0.002, "a": 0.002}


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        predicted({"a": (1.0,)}, {})
