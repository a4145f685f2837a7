"""DADS' rule: where its costs hold it takes the best cut, and its minimum cut finds its way to a cut of the bundle."""

import dataclasses
import random

import pytest

from suture_models.manifest import GraphNode
from suture_partitioner.mincut import LayerGraph
from suture_partitioner.types import LinkEstimate
from suture_partitioner.wire import Wire
from suture_protocol.errors import PlanError
from suture_simulators.experiments.rivals.costs import side_times
from suture_simulators.experiments.rivals.dads import dads_cut, listed_cut
from suture_simulators.experiments.rivals.regression import shared_out
from tests.simulators.experiments.hand_made import add, chain, conv, every_prefix, manifest_of, profile_of, relu


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
