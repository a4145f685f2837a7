"""Cuts over random graphs: boundaries against a brute-force oracle, and the promise made about candidates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_models.cuts import WINDOW, enumerate_cuts
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, GraphNode, TensorSpec

INPUT = TensorSpec(name="image", shape=(1, 64), dtype="uint8")


def node(name: str, inputs: Sequence[str], size: int = 8, macs: int = 0) -> GraphNode:
    return GraphNode(name=name, op="aten.op", inputs=tuple(inputs), shape=(1, size), dtype="float32", macs=macs)


def spec(of: GraphNode) -> TensorSpec:
    return TensorSpec(name=of.name, shape=of.shape, dtype=of.dtype)


def cuts_of(graph: Sequence[GraphNode], crossable: frozenset[str] | None = None) -> tuple[Cut, ...]:
    everything = frozenset({INPUT.name, *(n.name for n in graph)})
    return enumerate_cuts(graph, INPUT, (spec(graph[-1]),), everything if crossable is None else crossable)


def chain(macs: Sequence[int], sizes: Sequence[int]) -> list[GraphNode]:
    names = ["image", *(f"n{i}" for i in range(len(macs)))]
    return [node(names[i + 1], [names[i]], size, m) for i, (m, size) in enumerate(zip(macs, sizes, strict=True))]


@st.composite
def graphs(draw: st.DrawFn) -> list[GraphNode]:
    """Directed acyclic graphs in topological order, in which each node reads one to three earlier tensors."""
    graph: list[GraphNode] = []
    for place in range(draw(st.integers(2, 14))):
        names = ["image", *(n.name for n in graph)]
        inputs = draw(st.lists(st.sampled_from(names[-5:]), min_size=1, max_size=3, unique=True))
        size, macs = draw(st.integers(1, 20)), draw(st.sampled_from([0, 0, 1, 10, 100]))
        graph.append(node(f"n{place}", inputs, size, macs))
    return graph


def live_set(graph: Sequence[GraphNode], index: int) -> set[str]:
    """What the first `index` nodes make, or the input is, and the rest reads: by looking at every pair."""
    made = {"image", *(n.name for n in graph[:index])}
    read = {name for n in graph[index:] for name in n.inputs} | {graph[-1].name}
    return made & read


@given(graphs())
def test_a_boundary_is_what_the_head_makes_and_the_tail_reads(graph):
    for cut in cuts_of(graph)[1:-1]:
        assert {t.name for t in cut.boundary} == live_set(graph, cut.index)
        assert cut.id == "+".join(t.name for t in cut.boundary)


@given(graphs())
def test_cuts_are_ordered_told_apart_and_share_out_the_arithmetic(graph):
    cuts = cuts_of(graph)
    total = sum(n.macs for n in graph)
    assert (cuts[0].id, cuts[-1].id) == (INPUT_CUT, LAST_CUT)
    assert len({cut.id for cut in cuts}) == len(cuts)
    assert [cut.index for cut in cuts] == sorted({cut.index for cut in cuts})
    assert {cut.head_macs + cut.tail_macs for cut in cuts} == {total}
    assert all(cut.head_macs == sum(n.macs for n in graph[: cut.index]) for cut in cuts)
    assert cuts[0].candidate
    assert cuts[-1].candidate


@given(graphs())
def test_of_each_stretch_between_products_the_prefix_with_the_fewest_bytes_is_listed(graph):
    listed = {cut.index: cut for cut in cuts_of(graph)[1:-1]}
    sizes = {n.name: n.shape[1] for n in graph}
    stretches: dict[int, list[tuple[int, int]]] = {}
    products = 0
    for index in range(1, len(graph)):
        products += graph[index - 1].macs > 0
        live = live_set(graph, index)
        made = graph[index - 1].name
        if products and made in live and "image" not in live and live != {graph[-1].name}:
            stretches.setdefault(products, []).append((sum(sizes[name] for name in live), -index))
    assert {-min(stretch)[1] for stretch in stretches.values()} == set(listed)


@given(graphs(), st.sets(st.integers(0, 13)))
def test_what_may_not_cross_never_does(graph, forbidden):
    crossable = frozenset({"image", *(n.name for i, n in enumerate(graph) if i not in forbidden)})
    for cut in cuts_of(graph, crossable)[1:-1]:
        assert {t.name for t in cut.boundary} <= crossable


@given(
    macs=st.lists(st.integers(1, 100), min_size=3, max_size=30),
    sizes=st.lists(st.sampled_from([4, 8, 8, 8, 16, 32]), min_size=30, max_size=30),
    edge=st.floats(0.01, 10),
    cloud=st.floats(0.01, 10),
    per_byte=st.floats(0, 100),
)
def test_under_constant_speeds_the_best_cut_is_a_candidate_or_equals_one(macs, sizes, edge, cloud, per_byte):
    cuts = cuts_of(chain(macs, sizes[: len(macs)]))

    def cost(cut: Cut) -> float:
        return edge * cut.head_macs + cloud * cut.tail_macs + per_byte * cut.bytes_codes

    best = min(cost(cut) for cut in cuts[1:])
    assert min(cost(cut) for cut in cuts[1:] if cut.candidate) <= best * (1 + 1e-9)


@given(
    macs=st.lists(st.integers(1, 100), min_size=3, max_size=60),
    sizes=st.lists(st.sampled_from([4, 8, 8, 8, 16, 32]), min_size=60, max_size=60),
)
def test_a_cut_that_is_no_candidate_lies_between_two_near_ones_that_send_no_more(macs, sizes):
    """So under speeds that vary it loses at most by what they vary within that window."""
    cuts = cuts_of(chain(macs, sizes[: len(macs)]))
    for cut in cuts[1:-1]:
        if not cut.candidate:
            no_more = [c for c in cuts[1:] if c.candidate and c.bytes_codes <= cut.bytes_codes]
            earlier = max(c.head_macs for c in no_more if c.index < cut.index)
            later = min(c.head_macs for c in no_more if c.index > cut.index)
            assert later - earlier <= WINDOW * sum(macs)


def test_a_long_run_of_equal_cuts_keeps_candidates_all_along_it():
    cuts = cuts_of(chain([10] * 100, [8] * 100))
    kept = [cut.head_macs for cut in cuts[1:] if cut.candidate]
    assert max(b - a for a, b in pairwise(kept)) <= WINDOW * 1000
    assert len(kept) < 25


def test_a_cut_that_sends_more_than_its_near_neighbours_is_no_candidate_but_a_far_one_is():
    near = chain([100, 5, 5, 5, 100], [8, 8, 64, 8, 8])
    assert [cut.candidate for cut in cuts_of(near) if cut.id == "n2"] == [False]
    far = chain([100, 5, 50, 5, 100], [8, 8, 64, 8, 8])
    assert [cut.candidate for cut in cuts_of(far) if cut.id == "n2"] == [True]


def test_a_skip_that_stays_live_crosses_with_the_rest():
    graph = [node("a", ["image"], macs=1), node("b", ["a"], macs=1), node("c", ["b"], macs=1), node("d", ["c", "a"])]
    assert [cut.id for cut in cuts_of([*graph, node("e", ["d"], macs=1)])] == ["0", "a", "a+b", "d", "last"]


def test_integers_cross_at_their_own_width():
    labels = TensorSpec(name="labels", shape=(1, 10), dtype="int64")
    cut = Cut(id="x", index=1, boundary=(labels, spec(node("a", []))), head_macs=0, tail_macs=0)
    assert (cut.bytes_codes, cut.bytes_float32) == (80 + 8, 80 + 32)


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_of_a_node_or_two_has_its_two_ends(count):
    cuts = cuts_of(chain([5] * count, [4] * count))
    assert [cut.id for cut in cuts] == ["0", *(["n0"] if count == 2 else []), "last"]
