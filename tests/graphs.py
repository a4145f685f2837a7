"""Small graphs as a manifest holds them: written by hand or drawn at random, and every way to divide them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from hypothesis import strategies as st

from suture_models.manifest import GraphNode


def node(name: str, inputs: Sequence[str], size: int = 8, macs: int = 0) -> GraphNode:
    """A node with one row of `size` numbers."""
    return GraphNode(name=name, op="aten.op", inputs=tuple(inputs), shape=(1, size), dtype="float32", macs=macs)


@st.composite
def graphs(draw: st.DrawFn) -> list[GraphNode]:
    """Up to eight nodes, each reading one to three of all earlier tensors; so some are read by many, some by none."""
    graph: list[GraphNode] = []
    for place in range(draw(st.integers(1, 8))):
        names = ["image", *(n.name for n in graph)]
        inputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        size, macs = draw(st.integers(1, 20)), draw(st.sampled_from([0, 0, 1, 10, 100]))
        graph.append(node(f"n{place}", inputs, size, macs))
    return graph


def down_sets(graph: Sequence[GraphNode]) -> Iterator[frozenset[str]]:
    """Every set of nodes that holds all it needs of the graph, by trying every set."""
    needs = {n.name: set(n.inputs) - {"image"} for n in graph}
    for count in range(len(graph) + 1):
        for chosen in combinations(needs, count):
            if all(needs[name] <= set(chosen) for name in chosen):
                yield frozenset(chosen)
