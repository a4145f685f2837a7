"""The cheapest division of a graph between head and tail, over all its down-sets: a minimum cut. Torch-free.

A head is a down-set: with a node, all that the node reads. Which down-set is cheapest is a closure problem and solved
by one minimum cut (Picard, Management Science 1976; for split networks Hu et al., DADS, INFOCOM 2019), provided that

- a node's cost in the head, and in the tail, is the same whatever else is there: costs add up, nothing is fused across
  the cut, and nothing waits for anything else;
- a tensor that crosses is paid once, however many nodes read it, and crossing tensors add up;
- nothing comes back from the tail: an edge without capacity from each node to what it reads makes the other way around
  infinitely dear;
- no cost is negative.

Every division sends something here: even the head that holds the whole graph sends its results. What all of them pay
alike (a round trip) changes nothing; doing it all on one side without the link is to be held against the cheapest
afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture_models.manifest import GraphNode
from suture_protocol.errors import CapabilityMissing

_HEAD: Final = ("side", "head")
_TAIL: Final = ("side", "tail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Costs in whole units of one kind, none negative: with fractions, a maximum flow may end short of its bound.

    `head` and `tail` are by node, 0 where one is missing; `way` is by tensor, and one that is missing cannot cross.
    """

    head: Mapping[str, int]
    tail: Mapping[str, int]
    way: Mapping[str, int]


def crossing(graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], head: Collection[str]) -> list[str]:
    """Tensors that cross if the nodes in `head` are all there is of it, in the order of the graph.

    A result that the head makes is one of them.
    """
    read = {name for node in graph if node.name not in head for name in node.inputs}
    made = [input_name, *(node.name for node in graph if node.name in head)]
    return [name for name in made if name in read or name in outputs]


def cheapest_head(
    graph: Sequence[GraphNode],
    input_name: str,
    outputs: Collection[str],
    costs: Costs,
    *,
    within: Collection[str] = (),
) -> frozenset[str]:
    """The nodes of the cheapest head; of several equally cheap, the deepest, which holds all the others.

    Args:
        graph: Nodes in topological order.
        input_name: The tensor that the head has without making it.
        outputs: Names of the graph's results, which cross as well where the head makes them.
        costs: What each side and each way costs.
        within: Nodes that belong to the head whatever it costs (a privacy floor).

    Raises:
        CapabilityMissing: networkx is not installed.
        ValueError: every division has a tensor crossing that cannot.
        KeyError: `within` names no node of the graph.
    """
    networkx = _networkx()
    flow = _flow(networkx.DiGraph(), graph, input_name, outputs, costs)
    for name in within:
        del flow[_HEAD]["node", name]["capacity"]
    try:
        # The first part is all that cannot reach the tail's end once the flow fills the graph: the deepest head.
        _, (near, _) = networkx.minimum_cut(flow, _HEAD, _TAIL)
    except networkx.NetworkXUnbounded as error:
        raise ValueError("every division of the graph has a tensor crossing that cannot") from error
    return frozenset(node.name for node in graph if ("node", node.name) in near)


def _flow(flow: Any, graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], costs: Costs) -> Any:
    """Fills `flow`: keeping a node from the tail's end costs what it takes in the head, and the other way around.

    An edge without a capacity can never be cut.
    """
    flow.add_edge(_HEAD, ("node", input_name))
    readers: dict[str, list[Any]] = {name: [_TAIL] for name in outputs}
    for node in graph:
        here = ("node", node.name)
        flow.add_edge(here, _TAIL, capacity=costs.head.get(node.name, 0))
        flow.add_edge(_HEAD, here, capacity=costs.tail.get(node.name, 0))
        for name in node.inputs:
            readers.setdefault(name, []).append(here)
            if name != input_name:
                flow.add_edge(here, ("node", name))
    for name, reading in readers.items():
        # One vertex for the tensor under way, whoever reads it: so it is paid once.
        price = {"capacity": costs.way[name]} if name in costs.way else {}
        flow.add_edge(("node", name), ("sent", name), **price)
        for reader in reading:
            flow.add_edge(("sent", name), reader)
    return flow


def _networkx() -> Any:
    try:
        import networkx
    except ImportError as error:
        raise CapabilityMissing("a minimum cut needs networkx: pip install 'suture[experiment]'") from error
    return networkx
