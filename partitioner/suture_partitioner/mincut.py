"""The best division of a network between edge and cloud over all its down-sets, by measured times.

Plans choose among the bundle's cuts, which lie in a line. This says what any other down-set would bring, on the same
profiles and link. The conditions are those of `suture_models.mincut`; here they mean that times of nodes add up on
either side, that the sending of several tensors takes the sum of what each takes, and that nothing overlaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from suture_models.manifest import Cut, GraphNode, Manifest
from suture_models.mincut import Costs, cheapest_head, crossing
from suture_partitioner.predict import layer_nodes
from suture_partitioner.types import LinkEstimate, Profile
from suture_partitioner.wire import Wire
from suture_protocol.errors import PlanError

#: Costs are whole picoseconds.
_UNITS_PER_S: Final = 10**12
_NEVER_S: Final = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerGraph:
    """All costs of dividing a network, in seconds: by node on each side, by tensor through the link.

    The input has no time of its own but a way through the link; a tensor without a way cannot cross. `rtt_s` and
    `cloud_fixed_s` are paid by every division but the one that runs all on the edge.
    """

    manifest: Manifest
    edge_s: Mapping[str, float]
    cloud_s: Mapping[str, float]
    tensor_s: Mapping[str, float]
    rtt_s: float
    cloud_fixed_s: float = 0.0

    def total_s(self, on_edge: Collection[str]) -> float:
        """Time if these nodes run on the edge and all others in the cloud; infinite where something cannot cross."""
        nodes = self.manifest.graph
        if len(on_edge) == len(nodes):
            return sum(self.edge_s.values())
        spent_s = sum(self.edge_s[n.name] if n.name in on_edge else self.cloud_s[n.name] for n in nodes)
        way_s = sum(self.tensor_s.get(name, _NEVER_S) for name in self.crossing(on_edge))
        return spent_s + way_s + self.rtt_s + self.cloud_fixed_s

    def crossing(self, on_edge: Collection[str]) -> list[str]:
        """The tensors that cross, in the order of the graph."""
        outputs = {output.name for output in self.manifest.outputs}
        return crossing(self.manifest.graph, self.manifest.network.input.name, outputs, on_edge)


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Nodes on the edge, the tensors that cross, the time; `cut_id` where the bundle lists it as a cut, else empty."""

    on_edge: frozenset[str]
    boundary: tuple[str, ...]
    total_s: float
    cut_id: str


def best_division(
    manifest: Manifest, edge: Profile, cloud: Profile, link: LinkEstimate, *, floor: str | None = None
) -> Division:
    """The division that takes the least time by the profiles, of all down-sets; see `layer_graph`.

    Args:
        manifest: The bundle's.
        edge: The heads' times.
        cloud: The tails'.
        link: The link to plan with.
        floor: A cut all of whose head has to stay on the edge (a privacy floor).

    Raises:
        PlanError: a profile holds no cut, or `floor` is none of the bundle's.
        CapabilityMissing: networkx is not installed.
    """
    within = () if floor is None else _prefix(manifest, _cut(manifest, floor))
    graph = layer_graph(manifest, edge, cloud, link)
    on_edge = minimum_cut(graph, within=within)
    listed = [cut.id for cut in manifest.cuts if _prefix(manifest, cut) == on_edge]
    whole = len(on_edge) == len(manifest.graph)
    return Division(
        on_edge=on_edge,
        boundary=() if whole else tuple(graph.crossing(on_edge)),
        total_s=graph.total_s(on_edge),
        cut_id=listed[0] if listed else "",
    )


def minimum_cut(graph: LayerGraph, *, within: Collection[str] = ()) -> frozenset[str]:
    """The nodes that run on the edge in the cheapest division of the graph, all of them if that is cheaper still.

    What the edge needs, it computes: nothing comes back from the cloud but the result. A tensor that several nodes
    read crosses once. The round trip is the same for every division, and weighed against the edge alone at the end.

    Args:
        graph: The costs, none negative.
        within: Nodes that have to run on the edge.

    Raises:
        CapabilityMissing: networkx is not installed.
    """
    alone = frozenset(node.name for node in graph.manifest.graph)
    costs = Costs(head=_units(graph.edge_s), tail=_units(graph.cloud_s), way=_units(graph.tensor_s))
    outputs = {output.name for output in graph.manifest.outputs}
    try:
        divided = cheapest_head(graph.manifest.graph, graph.manifest.network.input.name, outputs, costs, within=within)
    except ValueError:
        return alone
    return min(alone, divided, key=graph.total_s)


def layer_graph(manifest: Manifest, edge: Profile, cloud: Profile, link: LinkEstimate) -> LayerGraph:
    """The costs of every node and tensor, such that the bundle's cuts cost what the profiles say of them.

    What a stretch between two cuts takes is the difference of their times, and is shared out among its nodes; see
    `node_times`. Cuts of several tensors are the exception: their parts are estimated, see `Wire.tensors_s`.

    Raises:
        PlanError: a profile holds no cut.
    """
    return LayerGraph(
        manifest=manifest,
        edge_s=node_times(manifest, edge),
        cloud_s=node_times(manifest, cloud),
        tensor_s=Wire(manifest=manifest, edge=edge, cloud=cloud, link=link).tensors_s(),
        rtt_s=link.rtt_s,
    )


def node_times(manifest: Manifest, profile: Profile) -> dict[str, float]:
    """Seconds of every node of the graph on the profile's side, none negative.

    Heads take longer the deeper they end, tails the earlier they begin; where noise says otherwise, the larger time
    holds on. A stretch's time is shared out by the engine's own counters. A layer into which several nodes were fused
    counts for the first of them: a head that ends in its midst runs the layer all but whole. Where the counters have
    nothing, multiply-accumulates share out, and where there are none, every node gets as much.

    Raises:
        PlanError: the profile holds no cut.
    """
    on_edge = profile.side == "edge"
    found = [(cut.index, profile.cuts[cut.id].compute_s) for cut in manifest.cuts if cut.id in profile.cuts]
    if not found:
        raise PlanError(f"the {profile.side}'s profile of {profile.network} holds no cut; profile again")
    nothing = (0 if on_edge else len(manifest.graph), 0.0)
    points = sorted({nothing[0]: nothing[1], **dict(found)}.items(), reverse=not on_edge)
    rising_s = accumulate((time_s for _, time_s in points), max)
    steps = list(zip((index for index, _ in points), rising_s, strict=True))
    weights = _counted(manifest.graph, profile.layers_s)
    times_s = dict.fromkeys(weights, 0.0)
    for (index, before_s), (other, after_s) in pairwise(steps):
        nodes = manifest.graph[min(index, other) : max(index, other)]
        times_s |= _shared_out(nodes, weights, after_s - before_s)
    return times_s


def _counted(graph: Sequence[GraphNode], layers_s: Mapping[str, float]) -> dict[str, float]:
    place = {node.name: position for position, node in enumerate(graph)}
    found = dict.fromkeys(place, 0.0)
    for layer, time_s in layers_s.items():
        nodes = [name for name in layer_nodes(layer) if name in place]
        if nodes:
            found[min(nodes, key=place.__getitem__)] += time_s
    return found


def _shared_out(nodes: Sequence[GraphNode], counted: Mapping[str, float], total_s: float) -> dict[str, float]:
    for weights in ([counted[node.name] for node in nodes], [float(node.macs) for node in nodes]):
        if sum(weights) > 0:
            break
    else:
        weights = [1.0] * len(nodes)
    return {node.name: total_s * weight / sum(weights) for node, weight in zip(nodes, weights, strict=True)}


def _prefix(manifest: Manifest, cut: Cut) -> frozenset[str]:
    return frozenset(node.name for node in manifest.graph[: cut.index])


def _cut(manifest: Manifest, cut_id: str) -> Cut:
    try:
        return manifest.cut(cut_id)
    except KeyError:
        message = f"{cut_id!r} is no cut of {manifest.network.name}; `suture inspect` lists them"
        raise PlanError(message) from None


def _units(times_s: Mapping[str, float]) -> dict[str, int]:
    return {name: round(time_s * _UNITS_PER_S) for name, time_s in times_s.items()}
