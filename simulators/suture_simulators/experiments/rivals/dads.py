"""DADS' rule for light load (Hu et al., INFOCOM 2019): the minimum cut of the layer graph, by measured layer times.

Light load is the paper's problem for one image at a time, where the sum of all times counts; its other one, for heavy
load, maximises throughput and does not belong here. Given to the rule beyond the paper: our codes, our codecs with
their times, the round trip, and each side's fixed cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from suture_models.manifest import Cut, Manifest
from suture_partitioner.types import LinkEstimate, Profile
from suture_protocol.errors import CapabilityMissing, PlanError
from suture_simulators.experiments.rivals.costs import Wire, side_times
from suture_simulators.experiments.rivals.regression import shared_out

#: Capacities are whole picoseconds: with fractions, a maximum flow may end short of its bound or not at all.
_UNITS_PER_S: Final = 10**12
_EDGE: Final = ("side", "edge")
_CLOUD: Final = ("side", "cloud")


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerGraph:
    """All costs of the rule, in seconds, by node; `input_name` has no time but a way through the link."""

    manifest: Manifest
    edge_s: dict[str, float]
    cloud_s: dict[str, float]
    tensor_s: dict[str, float]
    rtt_s: float
    cloud_fixed_s: float = 0.0

    def total_s(self, on_edge: frozenset[str]) -> float:
        """Time if these nodes run on the edge and all others in the cloud; infinite where a tuple would cross."""
        nodes = self.manifest.graph
        if len(on_edge) == len(nodes):
            return sum(self.edge_s.values())
        spent_s = sum(self.edge_s[n.name] if n.name in on_edge else self.cloud_s[n.name] for n in nodes)
        here = on_edge | {self.manifest.network.input.name}
        crossing = {name for node in nodes if node.name not in on_edge for name in node.inputs if name in here}
        way_s = sum(self.tensor_s.get(name, float("inf")) for name in crossing)
        return spent_s + way_s + self.rtt_s + self.cloud_fixed_s


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


def minimum_cut(graph: LayerGraph) -> frozenset[str]:
    """The nodes that run on the edge in the cheapest division of the graph, all of them if that is cheaper still.

    What the edge needs, it computes: nothing comes back from the cloud but the result. A tensor that several nodes
    read crosses once. The round trip is the same for every division, and weighed against the edge alone at the end.

    Raises:
        CapabilityMissing: networkx is not installed.
    """
    networkx = _networkx()
    flow = networkx.DiGraph()
    source = graph.manifest.network.input.name
    flow.add_edge(_EDGE, ("node", source))
    for node in graph.manifest.graph:
        here = ("node", node.name)
        flow.add_edge(here, _CLOUD, capacity=_units(graph.edge_s[node.name]))
        flow.add_edge(_EDGE, here, capacity=_units(graph.cloud_s[node.name]))
        for name in node.inputs:
            if name != source:
                flow.add_edge(here, ("node", name))
            flow.add_edge(("sent", name), here)
    for name in {name for node in graph.manifest.graph for name in node.inputs}:
        # Without a capacity an edge is never cut: so it is with what cannot travel.
        price = {"capacity": _units(graph.tensor_s[name])} if name in graph.tensor_s else {}
        flow.add_edge(("node", name), ("sent", name), **price)
    _, (near, _) = networkx.minimum_cut(flow, _EDGE, _CLOUD)
    divided = frozenset(node.name for node in graph.manifest.graph if ("node", node.name) in near)
    alone = frozenset(node.name for node in graph.manifest.graph)
    return min(alone, divided, key=graph.total_s)


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


def _units(time_s: float) -> int:
    return round(time_s * _UNITS_PER_S)


def _networkx() -> Any:
    try:
        import networkx
    except ImportError as error:
        raise CapabilityMissing("DADS' rule needs networkx: pip install 'suture[experiment]'") from error
    return networkx
