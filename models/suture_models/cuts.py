"""Where a graph can be cut, and which cuts can ever pay. Torch-free arithmetic over the manifest's graph.

A cut is a topological prefix of the graph, in the order that `suture_models.order` gives it; what crosses it is the
live set: the tensors that the prefix makes and the rest still reads.

Listed are not all prefixes. Between two operators that multiply (convolution, linear, matmul, lstm) lie only cheap
ones, so of the prefixes between them the one with the fewest bytes is kept; of equals the last, since its activation
is then fused into the head's last layer. Positions where something that cannot travel is live (a tuple, a tensor whose
leading axis is not the batch) are left out, and so are those at which the input itself is still live: they send all
that cut `0` sends, and more.

Of those listed, a cut is a *candidate* unless an earlier and a later candidate, no more than `WINDOW` of the network's
multiply-accumulates apart, both carry no more bytes than it does. Over a stretch in which one side is faster by a
constant ratio, head time plus tail time is linear in the work done, so its least is at one of the two ends, and both
ends send no more: such a cut can never win. Where the ratio varies within the stretch, the loss is bounded by the
window; so a run of equal cuts (a transformer's residual stream) keeps one every `WINDOW`, not just its two ends. Cut
`0` dominates nothing, since an image codec and not its raw size decides what it sends. A cut that is no candidate can
still be forced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, GraphNode, TensorSpec

#: Share of the network's multiply-accumulates within which a dominated cut is dropped.
WINDOW = 0.1


def enumerate_cuts(
    graph: Sequence[GraphNode],
    input_spec: TensorSpec,
    outputs: Sequence[TensorSpec],
    crossable: frozenset[str],
) -> tuple[Cut, ...]:
    """All listed cuts in order of depth, the input's (`0`) first and the whole network's (`last`) last.

    Args:
        graph: Data-dependent nodes in topological order.
        input_spec: The graph's input.
        outputs: The graph's results.
        crossable: Names of the tensors that may cross a cut.
    """
    total = sum(node.macs for node in graph)
    first = Cut(id=INPUT_CUT, index=0, boundary=(input_spec,), head_macs=0, tail_macs=total)
    last = Cut(id=LAST_CUT, index=len(graph), boundary=tuple(outputs), head_macs=total, tail_macs=0)
    middle = [best for group in _groups(graph, input_spec, outputs, crossable) if (best := _smallest(group))]
    return tuple(_mark_candidates([first, *middle, last], total))


def _groups(
    graph: Sequence[GraphNode], input_spec: TensorSpec, outputs: Sequence[TensorSpec], crossable: frozenset[str]
) -> Iterator[list[Cut]]:
    """Cuttable prefixes, in one list for each stretch between two operators that multiply."""
    specs = {n.name: TensorSpec(name=n.name, shape=n.shape, dtype=n.dtype) for n in graph}
    specs[input_spec.name] = input_spec
    order = {name: place for place, name in enumerate([input_spec.name, *(n.name for n in graph)])}
    last_use = _last_uses(graph, outputs)
    total = sum(n.macs for n in graph)
    live: set[str] = {input_spec.name}
    done, group = 0, list[Cut]()
    for position, node in enumerate(graph, start=1):
        if node.macs and group:
            yield group
            group = []
        done += node.macs
        live = {name for name in live | {node.name} if last_use.get(name, -1) > position}
        # After a node that nobody reads, what crosses is what crossed before it: not another cut.
        usable = node.name in live and live <= crossable and input_spec.name not in live and position < len(graph)
        if done and usable and not live <= {o.name for o in outputs}:
            names = sorted(live, key=order.__getitem__)
            boundary = tuple(specs[name] for name in names)
            cut_id = "+".join(names)
            group.append(Cut(id=cut_id, index=position, boundary=boundary, head_macs=done, tail_macs=total - done))
    if group:
        yield group


def _last_uses(graph: Sequence[GraphNode], outputs: Sequence[TensorSpec]) -> dict[str, int]:
    """Position (from 1) of the last node that reads each tensor; beyond the end for outputs."""
    last: dict[str, int] = {}
    for position, node in enumerate(graph, start=1):
        for name in node.inputs:
            last[name] = position
    for output in outputs:
        last[output.name] = len(graph) + 1
    return last


def _smallest(group: list[Cut]) -> Cut | None:
    best: Cut | None = None
    for cut in group:
        if best is None or cut.bytes_codes <= best.bytes_codes:
            best = cut
    return best


def _mark_candidates(cuts: list[Cut], total: int) -> list[Cut]:
    """Drops one cut after the other, the largest first, as long as candidates still dominate all that were dropped."""
    reach = WINDOW * total
    kept, dropped = list(cuts), list[Cut]()
    for cut in sorted(cuts[1:-1], key=lambda c: (-c.bytes_codes, c.index)):
        rest = [c for c in kept if c is not cut]
        near = [c for c in dropped if abs(c.head_macs - cut.head_macs) <= reach]
        if all(_dominated(c, rest[1:], reach) for c in (cut, *near)):
            kept = rest
            dropped.append(cut)
    ids = {c.id for c in kept}
    return [replace(cut, candidate=cut.id in ids) for cut in cuts]


def _dominated(cut: Cut, kept: Sequence[Cut], reach: float) -> bool:
    """Whether two of `kept`, one on each side and no more than `reach` apart, carry no more bytes than `cut`."""
    small = [c for c in kept if c.bytes_codes <= cut.bytes_codes]
    earlier = [c.head_macs for c in small if c.index < cut.index]
    later = [c.head_macs for c in small if c.index > cut.index]
    return bool(earlier and later) and later[0] - earlier[-1] <= reach
