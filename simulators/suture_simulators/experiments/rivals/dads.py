"""DADS' rule for light load (Hu et al., INFOCOM 2019): the minimum cut of the layer graph, by measured layer times.

Light load is the paper's problem for one image at a time, where the sum of all times counts; its other one, for heavy
load, maximises throughput and does not belong here. Given to the rule beyond the paper: our codes, our codecs with
their times, the round trip, and each side's fixed cost.
"""

from __future__ import annotations

from suture_models.manifest import Cut, Manifest
from suture_partitioner.mincut import LayerGraph, minimum_cut
from suture_partitioner.types import LinkEstimate, Profile
from suture_partitioner.wire import Wire
from suture_protocol.errors import PlanError
from suture_simulators.experiments.rivals.costs import side_times
from suture_simulators.experiments.rivals.regression import shared_out


def dads_cut(manifest: Manifest, edge: Profile, cloud: Profile, link: LinkEstimate) -> str:
    """The id of the cut that the rule comes to.

    The minimum cut may divide the graph where the bundle lists no cut, or where none was profiled. Then it is the one
    of two that the rule's own costs favour: the deepest prefix within it, or the shallowest around it.

    Raises:
        PlanError: the profiles share no cut.
        CapabilityMissing: networkx or scipy is not installed.
    """
    wire = Wire(manifest=manifest, edge=edge, cloud=cloud, link=link)
    edge_times, cloud_times = side_times(manifest, edge), side_times(manifest, cloud)
    graph = LayerGraph(
        manifest=manifest,
        edge_s=shared_out(manifest, edge_times),
        cloud_s=shared_out(manifest, cloud_times),
        tensor_s=wire.tensors_s(),
        rtt_s=link.rtt_s,
        cloud_fixed_s=cloud_times.fixed_s,
    )
    return listed_cut(graph, minimum_cut(graph), wire.usable()).id


def listed_cut(graph: LayerGraph, on_edge: frozenset[str], cuts: list[Cut]) -> Cut:
    """The listed cut that has just these nodes on the edge, else the cheaper of its two neighbours; see `dads_cut`.

    Raises:
        PlanError: there is no cut to choose from.
    """
    prefixes = {cut.id: frozenset(node.name for node in graph.manifest.graph[: cut.index]) for cut in cuts}
    within = [cut for cut in cuts if prefixes[cut.id] <= on_edge]
    around = [cut for cut in cuts if prefixes[cut.id] >= on_edge]
    nearest = [
        *([max(within, key=lambda cut: cut.index)] if within else []),
        *([min(around, key=lambda cut: cut.index)] if around else []),
    ]
    if not nearest:
        raise PlanError(f"DADS' rule finds no cut of {graph.manifest.network.name} that both profiles hold")
    return min(nearest, key=lambda cut: graph.total_s(prefixes[cut.id]))
