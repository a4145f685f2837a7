"""The best division by measured times, against brute force over every down-set, and its costs against the profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture_models.manifest import GraphNode
from suture_partitioner.mincut import LayerGraph, best_division, layer_graph, minimum_cut, node_times
from suture_partitioner.types import LinkEstimate
from suture_protocol.errors import PlanError
from tests.graphs import down_sets, graphs
from tests.simulators.experiments.hand_made import add, chain, conv, every_prefix, manifest_of, profile_of, relu

pytest.importorskip("networkx", reason="minimum cuts need networkx: pip install 'suture[experiment]'")

TIME_S = st.one_of(st.just(0.0), st.floats(1e-6, 0.3))
LINKS = [LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.02) for rate_bps in (1e4, 1e5, 1e6, 1e7, 1e8)]


@st.composite
def layer_graphs(draw: st.DrawFn) -> LayerGraph:
    """Costs of any kind over a random graph; some of its nodes make a tuple, which cannot cross."""
    nodes = [replace(n, dtype=draw(st.sampled_from(["float32"] * 5 + ["tuple"]))) for n in draw(graphs())]
    nodes[-1] = replace(nodes[-1], dtype="float32")
    return LayerGraph(
        manifest=manifest_of(nodes),
        edge_s={node.name: draw(TIME_S) for node in nodes},
        cloud_s={node.name: draw(TIME_S) for node in nodes},
        tensor_s={"image": draw(TIME_S)} | {node.name: draw(TIME_S) for node in nodes if node.dtype != "tuple"},
        rtt_s=draw(st.sampled_from([0.0, 0.04])),
        cloud_fixed_s=0.001,
    )


@settings(deadline=None)
@given(layer_graphs())
def test_no_down_set_takes_less_time(graph):
    found = minimum_cut(graph)
    divisions = set(down_sets(graph.manifest.graph))
    assert found in divisions
    assert graph.total_s(found) == pytest.approx(min(map(graph.total_s, divisions)), abs=1e-9)


@settings(deadline=None)
@given(layer_graphs(), st.data())
def test_of_the_down_sets_that_keep_some_nodes_on_the_edge_none_takes_less_time(graph, data):
    within = data.draw(st.sets(st.sampled_from([node.name for node in graph.manifest.graph])))
    found = minimum_cut(graph, within=within)
    allowed = [division for division in down_sets(graph.manifest.graph) if within <= division]
    assert within <= found
    assert graph.total_s(found) == pytest.approx(min(map(graph.total_s, allowed)), abs=1e-9)


def test_a_tensor_that_two_nodes_read_crosses_once():
    graph = [conv("a", "image", 4, 8, 10), conv("b", "a", 4, 8, 10), conv("c", "a", 4, 8, 10), add("d", "b", "c", 4, 8)]
    layers = LayerGraph(
        manifest=manifest_of(graph),
        edge_s=dict.fromkeys("abcd", 1.0) | {"a": 0.0},
        cloud_s=dict.fromkeys("abcd", 0.0),
        tensor_s={"image": 9.0, "a": 1.0, "b": 5.0, "c": 5.0, "d": 5.0},
        rtt_s=0.0,
    )
    assert minimum_cut(layers) == {"a"}
    assert layers.total_s(frozenset({"a"})) == 1.0


def straight() -> list[GraphNode]:
    return chain([4, 2, 8, 4], [32, 16, 8, 4], [9000, 4000, 60_000, 5000])


@pytest.mark.parametrize("link", LINKS)
def test_the_bundles_cuts_cost_what_the_profiles_say(link):
    graph = straight()
    manifest = manifest_of(graph, every_prefix(graph))
    seconds = {node.name: 1e-8 * node.macs + 1e-6 for node in graph}
    edge = profile_of(manifest, "edge", {name: 8 * s for name, s in seconds.items()}, codec_s_per_byte=1e-9)
    cloud = profile_of(manifest, "cloud", seconds, codec_s_per_byte=1e-9)
    costs = layer_graph(manifest, edge, cloud, link)
    for cut in manifest.cuts[:-1]:
        size = cut.bytes_codes
        way_s = link.rtt_s + 8 * size / link.bandwidth_bps + 2e-9 * size
        told_s = edge.cuts[cut.id].compute_s + way_s + cloud.cuts[cut.id].compute_s
        assert costs.total_s([node.name for node in graph[: cut.index]]) == pytest.approx(told_s, rel=1e-6)
    best = best_division(manifest, edge, cloud, link)
    assert best.cut_id
    assert best.boundary == tuple(t.name for t in manifest.cut(best.cut_id).boundary if best.cut_id != "last")


def test_a_stretch_is_shared_out_by_the_engines_counters_and_a_fused_layer_counts_for_its_first_node():
    graph = straight()
    manifest = manifest_of(graph, [cut for cut in every_prefix(graph) if cut.id in ("0", "relu1", "last")])
    edge = profile_of(manifest, "edge", dict.fromkeys((node.name for node in graph), 0.5))
    layers_s = {"conv0+relu0#a": 0.3, "conv1+relu1#b": 0.1, "elsewhere#c": 9.0}
    times_s = node_times(manifest, replace(edge, layers_s=layers_s))
    assert [times_s[name] for name in ("conv0", "relu0", "conv1", "relu1")] == pytest.approx([1.5, 0.0, 0.5, 0.0])
    # Where nothing was counted, by multiply-accumulates.
    assert times_s["conv2"] == pytest.approx(2.0 * 60 / 65)


def test_noise_makes_no_layer_take_less_than_nothing():
    graph = straight()
    manifest = manifest_of(graph, every_prefix(graph))
    for side in ("edge", "cloud"):
        noisy = profile_of(manifest, side, dict.fromkeys((node.name for node in graph), 0.1))
        cuts = {
            cut_id: replace(timing, compute_s=timing.compute_s * (0.6 if place % 3 else 1.4))
            for place, (cut_id, timing) in enumerate(noisy.cuts.items())
        }
        times_s = node_times(manifest, replace(noisy, cuts=cuts))
        assert all(time_s >= 0 for time_s in times_s.values())
        assert sum(times_s.values()) == pytest.approx(max(timing.compute_s for timing in cuts.values()))


def forked() -> list[GraphNode]:
    return [
        conv("stem", "image", 16, 16, 10_000),
        conv("narrow_a", "stem", 1, 8, 5000),
        relu("relu_a", "narrow_a", 1, 8),
        conv("hard_a", "relu_a", 1, 8, 900_000),
        conv("narrow_b", "stem", 1, 8, 5000),
        relu("relu_b", "narrow_b", 1, 8),
        conv("hard_b", "relu_b", 1, 8, 900_000),
        add("join", "hard_a", "hard_b", 1, 8),
    ]


def test_across_two_branches_it_finds_what_no_prefix_of_the_graph_gives():
    graph = forked()
    manifest = manifest_of(graph, every_prefix(graph))
    seconds = {node.name: 1e-8 * node.macs for node in graph}
    edge = profile_of(manifest, "edge", {name: 30 * s for name, s in seconds.items()})
    cloud = profile_of(manifest, "cloud", seconds)
    link = LinkEstimate(bandwidth_bps=2e5, rtt_s=0.001)
    best = best_division(manifest, edge, cloud, link)
    assert best.boundary == ("relu_a", "relu_b")
    assert best.cut_id == ""
    costs = layer_graph(manifest, edge, cloud, link)
    prefixes = [frozenset(node.name for node in graph[: cut.index]) for cut in manifest.cuts]
    assert best.total_s < 0.6 * min(map(costs.total_s, prefixes))
    floored = best_division(manifest, edge, cloud, link, floor="stem+hard_a")
    assert {"hard_a", "stem"} <= floored.on_edge
    assert floored.boundary == ("hard_a", "relu_b")


def test_an_unknown_floor_or_an_empty_profile_is_told():
    graph = straight()
    manifest = manifest_of(graph, every_prefix(graph))
    edge, cloud = (profile_of(manifest, side, {node.name: 0.1 for node in graph}) for side in ("edge", "cloud"))
    with pytest.raises(PlanError, match="'nowhere' is no cut"):
        best_division(manifest, edge, cloud, LINKS[0], floor="nowhere")
    with pytest.raises(PlanError, match="cloud's profile of hand_made holds no cut"):
        best_division(manifest, edge, replace(cloud, cuts={}), LINKS[0])
