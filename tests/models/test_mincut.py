"""The minimum cut against brute force over every down-set of random graphs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_models.manifest import GraphNode
from suture_models.mincut import Costs, cheapest_head, crossing
from tests.graphs import down_sets, graphs, node

pytest.importorskip("networkx", reason="minimum cuts need networkx: pip install 'suture[experiment]'")

COST = st.sampled_from([0, 0, 1, 2, 5, 17, 10**12])


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[GraphNode], set[str], Costs]:
    """A graph, its results, and costs; some tensors cannot cross."""
    graph = draw(graphs())
    names = [n.name for n in graph]
    outputs = {names[-1], *draw(st.sets(st.sampled_from(names), max_size=2))}
    stuck = draw(st.sets(st.sampled_from(names[:-1]))) if len(names) > 1 else set()
    costs = Costs(
        head={name: draw(COST) for name in names},
        tail={name: draw(COST) for name in names},
        way={name: draw(COST) for name in ["image", *names] if name not in stuck - outputs},
    )
    return graph, outputs, costs


def cost_of(graph: Sequence[GraphNode], outputs: Collection[str], costs: Costs, head: frozenset[str]) -> float:
    """By looking at every tensor and every reader of it."""
    total = sum(costs.head[n.name] if n.name in head else costs.tail[n.name] for n in graph)
    for name in {"image"} | head:
        read = any(name in n.inputs for n in graph if n.name not in head)
        if read or name in outputs:
            total += costs.way.get(name, float("inf"))
    return total


@settings(deadline=None)
@given(problems())
def test_no_down_set_is_cheaper_and_of_equals_the_deepest_is_found(problem):
    graph, outputs, costs = problem
    found = cheapest_head(graph, "image", outputs, costs)
    all_of_them = {head: cost_of(graph, outputs, costs, head) for head in down_sets(graph)}
    least = min(all_of_them.values())
    assert all_of_them[found] == least
    assert found == frozenset[str]().union(*(head for head, cost in all_of_them.items() if cost == least))


@settings(deadline=None)
@given(problems(), st.data())
def test_what_must_lie_in_the_head_does_and_no_such_down_set_is_cheaper(problem, data):
    graph, outputs, costs = problem
    within = data.draw(st.sets(st.sampled_from([n.name for n in graph])))
    found = cheapest_head(graph, "image", outputs, costs, within=within)
    least = min(cost_of(graph, outputs, costs, head) for head in down_sets(graph) if within <= head)
    assert within <= found
    assert cost_of(graph, outputs, costs, found) == least


@settings(deadline=None)
@given(problems())
def test_what_crosses_is_what_the_tail_reads_of_the_head_and_its_results(problem):
    graph, outputs, costs = problem
    free = Costs(head=costs.tail, tail=costs.tail, way=costs.way)
    same = sum(costs.tail.values())
    for head in down_sets(graph):
        names = crossing(graph, "image", outputs, head)
        assert len(set(names)) == len(names)
        sent = sum(costs.way.get(name, float("inf")) for name in names)
        assert same + sent == cost_of(graph, outputs, free, head)


def test_a_tensor_that_many_read_is_paid_once():
    graph = [node("a", ["image"]), *(node(f"b{i}", ["a"]) for i in range(5)), node("c", [f"b{i}" for i in range(5)])]
    names = [n.name for n in graph]
    costs = Costs(head=dict.fromkeys(names[1:], 10), tail={}, way={"image": 99, "a": 9, **dict.fromkeys(names[1:], 2)})
    # Five narrow tensors cost 10 together and as much again to make; the one they are made from costs 9.
    assert cheapest_head(graph, "image", {"c"}, costs) == {"a"}


def test_nothing_that_can_cross_is_told_apart_from_a_dear_cut():
    graph = [node("a", ["image"]), node("b", ["a"])]
    with pytest.raises(ValueError, match="cannot"):
        cheapest_head(graph, "image", {"b"}, Costs(head={}, tail={}, way={"image": 1}), within=("b",))
