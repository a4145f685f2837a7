"""The order of a graph: which down-sets become prefixes, and that no other does better at any price of a byte."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_models.cuts import enumerate_cuts
from suture_models.manifest import GraphNode, TensorSpec
from suture_models.mincut import crossing
from suture_models.order import best_heads, in_cutting_order
from tests.graphs import down_sets, graphs, node

pytest.importorskip("networkx", reason="minimum cuts need networkx: pip install 'suture[experiment]'")

IMAGE = TensorSpec(name="image", shape=(1, 64), dtype="uint8")
PRICE = st.sampled_from([0.0, 0.1, 1.0, 3.7, 20.0, 1e6])


def names_of(graph: Sequence[GraphNode]) -> list[str]:
    return [n.name for n in graph]


def prefixes(graph: Sequence[GraphNode]) -> list[frozenset[str]]:
    return [frozenset(names_of(graph[:index])) for index in range(len(graph) + 1)]


def cost_of(graph: Sequence[GraphNode], stuck: set[str], head: frozenset[str], price: float) -> float:
    """Multiply-accumulates of a head and the price of what it sends; infinite where it multiplies nothing."""
    sizes = {n.name: n.shape[1] for n in graph}
    sent = crossing(graph, "image", {graph[-1].name}, head)
    first = next((n.name for n in graph if n.macs), None)
    if first not in head or "image" in sent or stuck & set(sent):
        return float("inf")
    return sum(n.macs for n in graph if n.name in head) + price * sum(sizes[name] for name in sent)


@settings(deadline=None)
@given(graphs(), st.data(), PRICE)
def test_at_any_price_of_a_byte_a_prefix_of_the_new_order_is_the_best_of_all_down_sets(graph, data, price):
    stuck = data.draw(st.sets(st.sampled_from(names_of(graph)[:-1]))) if len(graph) > 1 else set()
    ordered = in_cutting_order(graph, "image", {graph[-1].name}, {*names_of(graph), "image"} - stuck)
    best = min(cost_of(graph, stuck, head, price) for head in down_sets(graph))
    found = min(cost_of(graph, stuck, head, price) for head in prefixes(ordered))
    assert found == pytest.approx(best, rel=1e-9)


@settings(deadline=None)
@given(graphs())
def test_the_new_order_holds_the_same_nodes_each_after_what_it_reads(graph):
    ordered = in_cutting_order(graph, "image", {graph[-1].name}, names_of(graph))
    assert sorted(names_of(ordered)) == sorted(names_of(graph))
    known = {"image"}
    for each in ordered:
        assert known.issuperset(each.inputs)
        known.add(each.name)


@settings(deadline=None)
@given(graphs())
def test_the_best_heads_lie_one_within_the_other(graph):
    heads = best_heads(graph, "image", {graph[-1].name}, names_of(graph))
    assert all(shallow < deep for shallow, deep in pairwise(heads))


def chain_beside(wide: int) -> list[GraphNode]:
    """A stem and two branches off it, which each narrow at once and then work hard; exported one after the other."""
    return [
        node("stem", ["image"], wide, macs=10),
        node("narrow_a", ["stem"], 4, macs=5),
        node("hard_a", ["narrow_a"], 4, macs=1000),
        node("narrow_b", ["stem"], 4, macs=5),
        node("hard_b", ["narrow_b"], 4, macs=1000),
        node("join", ["hard_a", "hard_b"], 8),
        node("end", ["join"], 2, macs=10),
    ]


def test_two_branches_that_narrow_early_are_cut_where_both_have_narrowed():
    graph = chain_beside(wide=400)
    ordered = in_cutting_order(graph, "image", {"end"}, {"image", *names_of(graph)})
    assert names_of(ordered)[:3] == ["stem", "narrow_a", "narrow_b"]
    end = TensorSpec(name="end", shape=(1, 2), dtype="float32")
    everything = frozenset({"image", *names_of(graph)})
    before = {cut.id: cut for cut in enumerate_cuts(graph, IMAGE, (end,), everything)}
    after = {cut.id: cut for cut in enumerate_cuts(ordered, IMAGE, (end,), everything)}
    assert "narrow_a+narrow_b" in after.keys() - before.keys()
    cut = after["narrow_a+narrow_b"]
    assert (cut.index, cut.head_macs, cut.bytes_codes) == (3, 20, 8)
    assert cut.candidate


def test_the_exported_order_stays_where_it_serves_as_well():
    one_way = [node("a", ["image"], 9, macs=3), node("b", ["a"], 4, macs=3), node("c", ["b", "a"], 4, macs=3)]
    assert in_cutting_order(one_way, "image", {"c"}, names_of(one_way)) == tuple(one_way)
    narrow_stem = chain_beside(wide=4)
    assert in_cutting_order(narrow_stem, "image", {"end"}, names_of(narrow_stem)) == tuple(narrow_stem)


def test_a_graph_without_products_keeps_its_order():
    graph = [node("a", ["image"]), node("b", ["image"]), node("c", ["a", "b"])]
    assert in_cutting_order(graph, "image", {"c"}, names_of(graph)) == tuple(graph)
