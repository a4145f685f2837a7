"""DADS' minimum cut against brute force over every division of random graphs, and its way to a cut of the bundle."""

import dataclasses
import random
from itertools import combinations

import pytest

from suture_models.manifest import GraphNode
from suture_partitioner.types import LinkEstimate
from suture_protocol.errors import PlanError
from suture_simulators.experiments.rivals.costs import Wire, side_times
from suture_simulators.experiments.rivals.dads import LayerGraph, dads_cut, listed_cut, minimum_cut
from suture_simulators.experiments.rivals.regression import shared_out
from tests.simulators.experiments.hand_made import IMAGE, add, chain, conv, every_prefix, manifest_of, profile_of, relu


def random_graph(seed: int) -> LayerGraph:
    """Up to nine nodes, each reading one to three earlier tensors; some make a tuple, which cannot travel."""
    generator = random.Random(seed)
    names = [IMAGE.name]
    nodes = []
    for place in range(generator.randint(3, 9)):
        read = tuple(generator.sample(names, min(len(names), generator.randint(1, 3))))
        kind = "tuple" if generator.random() < 0.15 else "float32"
        nodes.append(GraphNode(name=f"n{place}", op="aten.add.Tensor", inputs=read, shape=(1, 4), dtype=kind))
        names.append(f"n{place}")
    manifest = manifest_of(nodes)
    return LayerGraph(
        manifest=manifest,
        edge_s={node.name: generator.choice((0.0, generator.uniform(0, 0.1))) for node in nodes},
        cloud_s={node.name: generator.choice((0.0, generator.uniform(0, 0.02))) for node in nodes},
        tensor_s={IMAGE.name: generator.uniform(0, 0.3)}
        | {node.name: generator.uniform(0, 0.3) for node in nodes if node.dtype != "tuple"},
        rtt_s=generator.choice((0.0, 0.04)),
        cloud_fixed_s=0.001,
    )


def divisions(graph: LayerGraph):
    """Every set of nodes that holds all it needs of the graph."""
    nodes = graph.manifest.graph
    needs = {node.name: {name for name in node.inputs if name != IMAGE.name} for node in nodes}
    for count in range(len(nodes) + 1):
        for chosen in combinations(needs, count):
            if all(needs[name] <= set(chosen) for name in chosen):
                yield frozenset(chosen)


@pytest.mark.parametrize("seed", range(150))
def test_the_minimum_cut_costs_what_the_best_of_all_divisions_costs(seed):
    graph = random_graph(seed)
    found = minimum_cut(graph)
    assert found in set(divisions(graph))
    assert graph.total_s(found) == pytest.approx(min(map(graph.total_s, divisions(graph))), abs=1e-9)


def test_a_tensor_that_two_nodes_read_crosses_once():
    graph = [conv("a", "image", 4, 8, 10), conv("b", "a", 4, 8, 10), conv("c", "a", 4, 8, 10), add("d", "b", "c", 4, 8)]
    costs = dict.fromkeys("abcd", 1.0)
    layers = LayerGraph(
        manifest=manifest_of(graph),
        edge_s=costs | {"a": 0.0},
        cloud_s=dict.fromkeys("abcd", 0.0),
        tensor_s={"image": 9.0, "a": 1.0, "b": 5.0, "c": 5.0, "d": 5.0},
        rtt_s=0.0,
    )
    assert minimum_cut(layers) == {"a"}
    assert layers.total_s(frozenset({"a"})) == 1.0


def residual(macs: int = 50_000) -> list[GraphNode]:
    """A stem that makes more than it reads, a block with a skip connection, a narrow end."""
    return [
        conv("stem", "image", 16, 32, macs),
        relu("wide", "stem", 16, 32),
        conv("left", "wide", 16, 32, macs),
        add("sum", "left", "wide", 16, 32),
        conv("narrow", "sum", 2, 8, macs),
        relu("small", "narrow", 2, 8),
        conv("deep", "small", 32, 8, 40 * macs),
    ]


@pytest.mark.parametrize("rate_bps", [1e5, 1e6, 1e7, 1e8, 1e9])
@pytest.mark.parametrize("slow", [0.5, 4.0, 30.0])
def test_where_costs_are_additive_the_chosen_cut_is_the_best_of_all_listed(rate_bps, slow):
    graph = residual()
    manifest = manifest_of(graph, every_prefix(graph))
    cloud_s = {node.name: 1e-9 * node.macs + 1e-6 for node in graph}
    edge = profile_of(manifest, "edge", {name: slow * spent_s for name, spent_s in cloud_s.items()}, fixed_s=2e-4)
    cloud = profile_of(manifest, "cloud", cloud_s, fixed_s=1e-4)
    link = LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.001)
    wire = Wire(manifest=manifest, edge=edge, cloud=cloud, link=link)

    def true_s(cut_id: str) -> float:
        tail_s = 0.0 if cut_id == "last" else cloud.cuts[cut_id].compute_s
        return edge.cuts[cut_id].compute_s + wire.cut_s(manifest.cut(cut_id)) + tail_s

    best_s = min(map(true_s, edge.cuts))
    assert true_s(dads_cut(manifest, edge, cloud, link)) == pytest.approx(best_s, rel=1e-6)


def test_all_three_kinds_of_answer_occur():
    graph = residual()
    manifest = manifest_of(graph, every_prefix(graph))
    cloud_s = {node.name: 1e-9 * node.macs for node in graph}
    cloud = profile_of(manifest, "cloud", cloud_s)
    answers = {
        dads_cut(
            manifest,
            profile_of(manifest, "edge", {name: slow * spent_s for name, spent_s in cloud_s.items()}),
            cloud,
            LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.001),
        )
        for rate_bps in (1e5, 1e6, 1e7, 1e9)
        for slow in (0.5, 4.0, 30.0)
    }
    assert {"0", "small", "last"} <= answers


def test_a_division_that_no_cut_matches_goes_to_the_cheaper_neighbour():
    graph = residual()
    cuts = [cut for cut in every_prefix(graph) if cut.id in ("0", "sum", "small", "last")]
    manifest = manifest_of(graph, cuts)
    layers = LayerGraph(
        manifest=manifest,
        edge_s=dict.fromkeys((node.name for node in graph), 0.01),
        cloud_s=dict.fromkeys((node.name for node in graph), 0.001),
        tensor_s={"image": 0.5, "wide": 0.2, "sum": 0.2, "small": 0.1},
        rtt_s=0.0,
    )
    between = frozenset(node.name for node in graph[:5])
    assert listed_cut(layers, between, cuts).id == "small"
    dear = dataclasses.replace(layers, tensor_s={**layers.tensor_s, "small": 9.0})
    assert listed_cut(dear, between, cuts).id == "sum"
    assert listed_cut(layers, frozenset(node.name for node in graph[:4]), cuts).id == "sum"


def test_shared_out_times_meet_what_was_measured_at_every_cut():
    graph = chain([8, 8, 4, 2], [32, 16, 16, 8], [10_000, 90_000, 40_000, 70_000])
    manifest = manifest_of(graph)
    spent_s = {node.name: random.Random(node.name).uniform(0.001, 0.02) for node in graph}
    for side in ("edge", "cloud"):
        profile = profile_of(manifest, side, spent_s, fixed_s=0.003)
        times = side_times(manifest, profile)
        found = shared_out(manifest, times)
        for cut in manifest.cuts:
            held = graph[: cut.index] if side == "edge" else graph[cut.index :]
            total_s = times.fixed_s + sum(found[node.name] for node in held)
            assert total_s == pytest.approx(profile.cuts[cut.id].compute_s, rel=1e-6)


def test_profiles_without_a_common_cut_are_refused():
    manifest = manifest_of(chain([8, 4], [16, 8], [10_000, 10_000]))
    node_s = dict.fromkeys((node.name for node in manifest.graph), 0.01)
    edge, cloud = (profile_of(manifest, side, node_s) for side in ("edge", "cloud"))
    link = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.01)
    alone = dataclasses.replace(edge, cuts={"last": edge.cuts["last"]})
    with pytest.raises(PlanError, match="fewer than two cuts"):
        dads_cut(manifest, alone, cloud, link)
