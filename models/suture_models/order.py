"""The order of a graph's nodes: such that the cuts which can pay are prefixes of it. Torch-free.

A cut is a prefix of the manifest's graph, in the order in which export happened to write parallel branches; a better
down-set may be no prefix of that. Which down-sets are best depends on what a byte costs against a multiply-accumulate.
As that price goes from nothing to everything, the best down-sets shrink and each contains the next: costs of nodes
alone rise, so the deepest minimum cuts are nested (Gallo, Grigoriadis and Tarjan, SIAM J. Comput. 1989). So one order
has all of them among its prefixes, and cuts stay a line, with a depth that a privacy floor can be set against.

The same holds at run time for any two devices of which the edge is the slower one at every node: the best down-sets
over all bandwidths are nested. But they are those of other weights than the multiply-accumulates used here, so where
devices differ most by kind of layer, the best down-set may still be none of this order's prefixes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from suture_models.manifest import Cut, GraphNode, TensorSpec
from suture_models.mincut import Costs, cheapest_head, crossing

Head = frozenset[str]


def in_cutting_order(
    graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], crossable: Collection[str]
) -> tuple[GraphNode, ...]:
    """The nodes in an order with all the heads of `best_heads` among its prefixes.

    It is the given order where that has, for each of them, a prefix which sends and computes no more. Within what one
    head adds to the one before it, the given order stays.

    Raises:
        CapabilityMissing: networkx is not installed.
    """
    heads = best_heads(graph, input_name, outputs, crossable)
    sizes = tensor_bytes(graph, input_name, outputs, crossable)
    wanted = {_point(graph, input_name, outputs, sizes, head) for head in heads}
    given = {
        _point(graph, input_name, outputs, sizes, frozenset(node.name for node in graph[:index]))
        for index in range(1, len(graph) + 1)
    }
    if wanted <= given:
        return tuple(graph)
    rank = {node.name: sum(node.name not in head for head in heads) for node in graph}
    return tuple(sorted(graph, key=lambda node: rank[node.name]))


def best_heads(
    graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], crossable: Collection[str]
) -> list[Head]:
    """The heads that are best for some price of a byte in multiply-accumulates, each within the next.

    Only heads with something to multiply count, and none that still sends the input: cut `0` sends that and no more.
    The deepest is the one that sends least.

    Raises:
        CapabilityMissing: networkx is not installed.
    """
    sizes = tensor_bytes(graph, input_name, outputs, crossable)
    first = next((node.name for node in graph if node.macs), None)
    if first is None:
        return []

    def best(per_mac: int, per_byte: int) -> Head:
        costs = Costs(
            head={node.name: node.macs * per_mac for node in graph},
            tail={},
            way={name: size * per_byte for name, size in sizes.items()},
        )
        return cheapest_head(graph, input_name, outputs, costs, within=(first,))

    def between(shallow: Head, deep: Head) -> list[Head]:
        """Those strictly between two of them; all lie on or above the line through both, or one below it is found."""
        (macs, sent), (more_macs, less_sent) = point(shallow), point(deep)
        per_mac, per_byte = sent - less_sent, more_macs - macs
        if per_mac <= 0 or per_byte <= 0:
            return []
        found = best(per_mac, per_byte)
        its_macs, its_sent = point(found)
        if its_macs * per_mac + its_sent * per_byte >= macs * per_mac + sent * per_byte:
            return []
        return [*between(shallow, found), found, *between(found, deep)]

    def point(head: Head) -> tuple[int, int]:
        return _point(graph, input_name, outputs, sizes, head)

    shallowest, deepest = best(sum(sizes.values()) + 1, 1), best(0, 1)
    return [shallowest, *between(shallowest, deepest), deepest] if shallowest != deepest else [deepest]


def tensor_bytes(
    graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], crossable: Collection[str]
) -> dict[str, int]:
    """Bytes as codes of each tensor that may cross: not the input, but the results whatever they are."""
    specs = [TensorSpec(name=n.name, shape=n.shape, dtype=n.dtype) for n in graph]
    return {
        spec.name: Cut(id=spec.name, index=1, boundary=(spec,), head_macs=0, tail_macs=0).bytes_codes
        for spec in specs
        if spec.name in outputs or (spec.name in crossable and spec.name != input_name)
    }


def _point(
    graph: Sequence[GraphNode], input_name: str, outputs: Collection[str], sizes: dict[str, int], head: Head
) -> tuple[int, int]:
    """Multiply-accumulates of a head and the bytes it sends; -1 bytes where something crosses that cannot."""
    names = crossing(graph, input_name, outputs, head)
    macs = sum(node.macs for node in graph if node.name in head)
    return macs, sum(sizes[name] for name in names) if all(name in sizes for name in names) else -1
