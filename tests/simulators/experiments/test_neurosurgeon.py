"""Neurosurgeon's rule: exact where its model of the world holds, and blind where the paper's rule is blind."""

import dataclasses

import pytest

from suture_models.manifest import GraphNode
from suture_partitioner.types import LinkEstimate
from suture_protocol.errors import PlanError
from suture_simulators.experiments.rivals.costs import side_times
from suture_simulators.experiments.rivals.neurosurgeon import neurosurgeon_cut, neurosurgeon_times
from suture_simulators.experiments.rivals.regression import layer_times
from tests.simulators.experiments.hand_made import add, chain, conv, every_prefix, manifest_of, profile_of, relu

RATES_BPS = (1e5, 1e6, 1e7, 1e8)


def network() -> list[GraphNode]:
    """A chain whose middle is narrow."""
    return chain([16, 24, 4, 8, 64, 64], [32, 16, 8, 8, 8, 4], [200_000, 900_000, 400_000, 300_000, 5_000_000, 800_000])


def linear_s(graph, per_mac_s: float, per_number_s: float) -> dict[str, float]:
    """Times that are linear in the work, which is what the rule supposes."""
    made = {"image": 1024} | {node.name: node.shape[1] * node.shape[2] * node.shape[3] for node in graph}
    return {
        node.name: per_mac_s * node.macs + per_number_s * (made[node.inputs[0]] + made[node.name]) for node in graph
    }


@pytest.mark.parametrize("rate_bps", RATES_BPS)
@pytest.mark.parametrize("slow", [0.3, 5.0, 40.0])
def test_on_a_chain_with_linear_times_it_finds_the_best_cut(rate_bps, slow):
    graph = network()
    manifest = manifest_of(graph, every_prefix(graph))
    cloud_s = linear_s(graph, 1e-9, 2e-9)
    edge = profile_of(manifest, "edge", {name: slow * spent_s for name, spent_s in cloud_s.items()}, fixed_s=1e-4)
    cloud = profile_of(manifest, "cloud", cloud_s, fixed_s=2e-4, codec_s_per_byte=1e-9)
    link = LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.002)
    truth_s = {}
    for cut in manifest.cuts:
        truth_s[cut.id] = edge.cuts[cut.id].compute_s
        if cut.id != "last":
            way_s = link.rtt_s + 8 * cut.bytes_codes / rate_bps + 1e-9 * cut.bytes_codes
            truth_s[cut.id] += way_s + cloud.cuts[cut.id].compute_s
    assert neurosurgeon_times(manifest, edge, cloud, link) == pytest.approx(truth_s, rel=1e-6)
    assert truth_s[neurosurgeon_cut(manifest, edge, cloud, link)] == pytest.approx(min(truth_s.values()), rel=1e-6)


def test_every_kind_of_answer_occurs():
    graph = network()
    manifest = manifest_of(graph, every_prefix(graph))
    cloud_s = linear_s(graph, 1e-9, 2e-9)
    cloud = profile_of(manifest, "cloud", cloud_s)
    answers = {
        neurosurgeon_cut(
            manifest,
            profile_of(manifest, "edge", {name: slow * spent_s for name, spent_s in cloud_s.items()}),
            cloud,
            LinkEstimate(bandwidth_bps=rate_bps, rtt_s=0.001),
        )
        for rate_bps in RATES_BPS
        for slow in (0.3, 5.0, 40.0)
    }
    assert {"0", "conv2", "last"} <= answers


def test_a_cut_that_two_tensors_cross_is_out_of_its_reach():
    graph = [
        conv("stem", "image", 8, 32, 100_000),
        conv("left", "stem", 8, 32, 100_000),
        conv("right", "left", 2, 4, 100_000),
        conv("skip", "stem", 2, 4, 100_000),
        add("sum", "right", "skip", 2, 4),
        conv("end", "sum", 8, 4, 9_000_000),
    ]
    manifest = manifest_of(graph, every_prefix(graph))
    node_s = {node.name: 1e-9 * node.macs for node in graph}
    edge, cloud = (profile_of(manifest, side, node_s) for side in ("edge", "cloud"))
    link = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.001)
    assert set(neurosurgeon_times(manifest, edge, cloud, link)) == {"0", "stem", "sum", "last"}


def test_types_of_layers_have_times_of_their_own():
    """Depthwise convolutions have few multiply-accumulates and take long for them; one rate for both fits neither."""
    graph, node_s, before = list[GraphNode](), dict[str, float](), "image"
    for place in range(6):
        full = conv(f"full{place}", before, 16, 16, 400_000 * (place + 1))
        deep = conv(f"depthwise{place}", full.name, 16, 16, 9 * 16 * 256)
        after = relu(f"relu{place}", deep.name, 16, 16)
        graph += [full, deep, after]
        node_s |= {full.name: 1e-9 * full.macs, deep.name: 30e-9 * deep.macs, after.name: 0.0}
        before = after.name
    manifest = manifest_of(graph, every_prefix(graph))
    found = layer_times(manifest, side_times(manifest, profile_of(manifest, "edge", node_s)))
    assert found == pytest.approx(node_s, rel=0.02, abs=1e-5)


def test_noise_that_makes_a_deeper_head_faster_gives_no_negative_time():
    graph = network()
    manifest = manifest_of(graph, every_prefix(graph))
    edge = profile_of(manifest, "edge", linear_s(graph, 1e-9, 2e-9))
    cuts = dict(edge.cuts)
    cuts["relu3"] = dataclasses.replace(cuts["relu3"], compute_s=cuts["relu2"].compute_s / 2)
    noisy = dataclasses.replace(edge, cuts=cuts)
    assert min(stretch.time_s for stretch in side_times(manifest, noisy).stretches) >= 0.0
    assert min(layer_times(manifest, side_times(manifest, noisy)).values()) >= 0.0


def test_interpolated_cuts_teach_it_nothing():
    graph = network()
    manifest = manifest_of(graph, every_prefix(graph))
    edge = profile_of(manifest, "edge", linear_s(graph, 1e-9, 2e-9))
    wrong = dataclasses.replace(edge.cuts["conv4"], compute_s=99.0, samples=0)
    guessed = dataclasses.replace(edge, cuts={**edge.cuts, "conv4": wrong})
    assert max(stretch.time_s for stretch in side_times(manifest, guessed).stretches) < 1.0


def test_where_the_outermost_cuts_were_not_measured_the_layers_beyond_count_too():
    graph = network()
    manifest = manifest_of(graph, every_prefix(graph))
    node_s = linear_s(graph, 1e-9, 2e-9)
    for side, missing in (("edge", "0"), ("cloud", "last")):
        whole = profile_of(manifest, side, node_s)
        cuts = {cut_id: timing for cut_id, timing in whole.cuts.items() if cut_id != missing}
        times = side_times(manifest, dataclasses.replace(whole, cuts=cuts))
        assert sum(stretch.time_s for stretch in times.stretches) == pytest.approx(sum(node_s.values()), rel=1e-6)
        assert times.fixed_s == 0.0


def test_profiles_that_share_no_cut_are_refused():
    graph = network()
    manifest = manifest_of(graph)
    node_s = linear_s(graph, 1e-9, 2e-9)
    edge, cloud = (profile_of(manifest, side, node_s) for side in ("edge", "cloud"))
    edge = dataclasses.replace(edge, cuts={name: t for name, t in edge.cuts.items() if name in ("relu0", "relu1")})
    cloud = dataclasses.replace(cloud, cuts={name: t for name, t in cloud.cuts.items() if name not in edge.cuts})
    with pytest.raises(PlanError, match="Neurosurgeon"):
        neurosurgeon_cut(manifest, edge, cloud, LinkEstimate(bandwidth_bps=1e6, rtt_s=0.01))
