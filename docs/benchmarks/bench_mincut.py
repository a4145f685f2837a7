"""Where a down-set of the graph beats every prefix of it: minimum cuts over the zoo and over networks with branches.

    python docs/benchmarks/bench_mincut.py

Networks are exported, not built: what counts here is the shape of the graph. Nothing is timed, so any machine gives the
same figures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log, prod
from typing import Annotated

import typer
from common import write_report

from suture.console import stderr_console
from suture_models.cuts import enumerate_cuts
from suture_models.export import Exported, export_network
from suture_models.manifest import GraphNode, TensorSpec
from suture_models.mincut import Costs, cheapest_head, crossing
from suture_models.order import Head, best_heads, in_cutting_order, tensor_bytes
from suture_models.zoo.registry import load_network

NETWORKS = (
    "mobilenet_v2", "efficientnet_b0", "efficientnet_lite0", "resnet50", "densenet121", "unet", "vit_s16",
    "resnet18_3d", "lstm12", "transformer12", "branching:attention_unet", "branching:unetr", "branching:forked",
)  # fmt: skip
#: Multiply-accumulates that a byte on the link is worth. At 20 Mbit/s a unit of 20 GMAC/s does 8,000 in a byte's time.
PRICES = (100, 1000, 10_000, 100_000, 1_000_000)
#: How far the speeds of kinds of layers lie apart in the draws, either way, on each side.
UNLIKE = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A network's graph, in the order as exported and in the order that a bundle gets, with what each can be cut at."""

    name: str
    graph: tuple[GraphNode, ...]
    input: TensorSpec
    outputs: frozenset[str]
    sizes: Mapping[str, int]
    heads: Sequence[Head]
    moved: bool
    exported: Sequence[Head]
    ordered: Sequence[Head]
    listed: Sequence[Head]
    boundaries: dict[Head, list[str]] = field(default_factory=dict)

    def sent(self, head: Head) -> list[str]:
        """What crosses at a head; kept, since all draws ask for the same ones."""
        if head not in self.boundaries:
            self.boundaries[head] = crossing(self.graph, self.input.name, self.outputs, head)
        return self.boundaries[head]


def main(
    network: Annotated[
        list[str] | None, typer.Option(help="A network, or your own as package.module:function.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Devices and links drawn for each network.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    written: Annotated[int, typer.Option(help="Multiply-accumulates that writing a number costs, besides.")] = 8,
) -> None:
    """Compares, and writes docs/benchmarks/mincut_<machine>_<date>.md."""
    subjects = []
    for name in network or NETWORKS:
        stderr_console().print(f"exporting {name}", markup=False)
        loaded = load_network(name)
        subjects.append(subject_of(name, export_network(loaded.module, loaded.spec.input), loaded.spec.input))
    lines = [*_shapes(subjects), "", *_prices(subjects), "", *_draws(subjects, draws, seed, written)]
    settings = {"draws": draws, "seed": seed, "written": written, "networks": ", ".join(network or NETWORKS)}
    write_report("mincut", lines, settings)


def subject_of(name: str, exported: Exported, image: TensorSpec) -> Subject:
    """What there is to compare of one network."""
    graph, outputs = exported.graph, frozenset(output.name for output in exported.outputs)
    ordered = in_cutting_order(graph, image.name, outputs, exported.crossable)
    sizes = tensor_bytes(graph, image.name, outputs, exported.crossable)
    cuts = enumerate_cuts(ordered, image, exported.outputs, exported.crossable)[1:-1]

    def usable(order: Sequence[GraphNode]) -> list[Head]:
        heads = [frozenset(node.name for node in order[:index]) for index in range(1, len(order))]
        return [head for head in heads if sizes.keys() >= set(crossing(graph, image.name, outputs, head))]

    return Subject(
        name=name.rpartition(":")[2],
        graph=graph,
        input=image,
        outputs=outputs,
        sizes=sizes,
        heads=best_heads(graph, image.name, outputs, exported.crossable),
        moved=ordered != graph,
        exported=usable(graph),
        ordered=usable(ordered),
        listed=[frozenset(node.name for node in ordered[: cut.index]) for cut in cuts],
    )


def cost_of(subject: Subject, costs: Costs, head: Head) -> int:
    """What a head, its tail and its boundary cost together."""
    sides = sum((costs.head if n.name in head else costs.tail).get(n.name, 0) for n in subject.graph)
    return sides + sum(costs.way[name] for name in subject.sent(head))


def _shapes(subjects: Sequence[Subject]) -> list[str]:
    rows = [
        "Heads that are the best of all down-sets at some price of a byte in multiply-accumulates, and how many of",
        "them are no prefix of the graph as exported. `apart`: pairs of multiplying nodes of which neither needs the",
        "other.",
        "",
        "| network | nodes | multiplying | apart | best heads | no prefix | order changed |",
        "|---" * 7 + "|",
    ]
    for s in subjects:
        products = [node.name for node in s.graph if node.macs]
        alien = sum(not _matched(s, head) for head in s.heads)
        rows.append(
            f"| {s.name} | {len(s.graph)} | {len(products)} | {_apart(s.graph)} | {len(s.heads)} | {alien} "
            f"| {'yes' if s.moved else 'no'} |"
        )
    return rows


def _matched(subject: Subject, head: Head) -> bool:
    """Whether an exported prefix computes and sends as much."""

    def point(of: Head) -> tuple[int, int]:
        macs = sum(node.macs for node in subject.graph if node.name in of)
        return macs, sum(subject.sizes[name] for name in subject.sent(of))

    return len(head) == len(subject.graph) or point(head) in map(point, subject.exported)


def _apart(graph: Sequence[GraphNode]) -> int:
    needs: dict[str, frozenset[str]] = {}
    found, products = 0, list[str]()
    for node in graph:
        needs[node.name] = frozenset(node.inputs).union(*(needs.get(name, frozenset()) for name in node.inputs))
        if node.macs:
            found += sum(before not in needs[node.name] for before in products)
            products.append(node.name)
    return found


def _prices(subjects: Sequence[Subject]) -> list[str]:
    rows = [
        "Gain of the best head over the best prefix as exported, in head and boundary together, the tail free, at a",
        "price of so many multiply-accumulates a byte. Each cell: millions that the best prefix costs, and the gain.",
        "",
        "| network | " + " | ".join(f"{price:,}" for price in PRICES) + " |",
        "|---" * (1 + len(PRICES)) + "|",
    ]
    for s in subjects:
        cells = []
        for price in PRICES:
            macs = {node.name: node.macs for node in s.graph}
            costs = Costs(head=macs, tail={}, way={name: size * price for name, size in s.sizes.items()})
            first = next(node.name for node in s.graph if node.macs)
            best = cost_of(s, costs, cheapest_head(s.graph, s.input.name, s.outputs, costs, within=(first,)))
            prefix = min(cost_of(s, costs, head) for head in s.exported if first in head)
            whole = sum(macs.values()) + price * sum(s.sizes[name] for name in s.outputs)
            cells.append(f"{min(prefix, whole) / 1e6:,.0f}, {1 - best / min(prefix, whole):.1%}")
        rows.append(f"| {s.name} | " + " | ".join(cells) + " |")
    return rows


def _draws(subjects: Sequence[Subject], draws: int, seed: int, written: int) -> list[str]:
    rows = [
        f"{draws} devices and links for each network, drawn: each kind of operator is up to {UNLIKE:g} times faster or",
        "slower than its arithmetic says, on either side by itself; the cloud 3 to 100 times faster than the edge; a",
        "byte worth 30 to 300,000 multiply-accumulates. The image may not leave (a floor behind the first product),",
        "and what is counted are the draws in which a middle cut beats the edge alone. What the best of all down-sets",
        "saves against the best prefix as exported, the best prefix of the bundle's order, and the best cut that the",
        "bundle lists: share of cases with more than 1 %, 95th percentile, most. Nothing is fused here, so the last",
        f"column overstates what listing costs: a number written counts {written} multiply-accumulates even where an",
        "engine writes it along with the product before; `--written 0` counts products alone.",
        "",
        "| network | cases | against exported | against ordered | against listed |",
        "|---" * 5 + "|",
    ]
    for s in subjects:
        stderr_console().print(f"drawing for {s.name}", markup=False)
        draw = random.Random(f"{seed}/{s.name}")
        cases = [case for _ in range(draws) if (case := _case(s, draw, written)) is not None]
        columns = [_summary([case[place] for case in cases]) for place in range(3)]
        rows.append(f"| {s.name} | {len(cases)} | " + " | ".join(columns) + " |")
    return rows


def _case(s: Subject, draw: random.Random, written: int) -> tuple[float, float, float] | None:
    """What the best down-set saves in one draw; None where the edge alone is best."""
    kinds = sorted({node.op for node in s.graph})
    here, there = ({kind: exp(draw.uniform(-1, 1) * log(UNLIKE)) for kind in kinds} for _ in range(2))
    faster, price = 10 ** draw.uniform(0.5, 2), 10 ** draw.uniform(1.5, 5.5)
    work = {node.name: node.macs + written * prod(node.shape) for node in s.graph}
    head = {node.name: round(here[node.op] * work[node.name]) for node in s.graph}
    tail = {node.name: round(there[node.op] * work[node.name] / faster) for node in s.graph}
    costs = Costs(head=head, tail=tail, way={name: round(price * size) for name, size in s.sizes.items()})
    first = next(node.name for node in s.graph if node.macs)
    best_head = cheapest_head(s.graph, s.input.name, s.outputs, costs, within=(first,))
    best, alone = cost_of(s, costs, best_head), sum(head.values())
    if len(best_head) == len(s.graph) or best >= alone:
        return None
    rivals = ([head for head in heads if first in head] for heads in (s.exported, s.ordered, s.listed))
    exported, ordered, listed = (min([alone, *(cost_of(s, costs, head) for head in heads)]) for heads in rivals)
    return 1 - best / exported, 1 - best / ordered, 1 - best / listed


def _summary(gains: Sequence[float]) -> str:
    if not gains:
        return "–"
    ranked = sorted(gains)
    over = sum(gain > 0.01 for gain in ranked) / len(ranked)
    return f"{over:.0%}, {ranked[int(0.95 * (len(ranked) - 1))]:.1%}, {ranked[-1]:.1%}"


if __name__ == "__main__":
    typer.run(main)
