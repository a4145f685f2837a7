"""What is best and what is allowed by the definition, worked out one way at a time; and worlds whose limits bite."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from suture_partitioner.types import Correction, LinkEstimate
from tests.partitioner.worlds import SPECS, World


def pressed(draw, world: World, link: LinkEstimate) -> World:
    """With limits where they bite: a little above, or below, what some way takes over this link."""
    ways = sorted(by_definition(world, link), key=lambda way: way.cost)
    if not ways:
        return world
    # What is good is what a planner that looks away would take.
    way, factor = draw(st.sampled_from(ways[:3])), draw(st.sampled_from([0.99, 1.01]))
    limits: dict[str, Any] = {}
    if draw(st.booleans()):
        limits["deadline_s"] = way.timely_s * factor
    if world.power is not None and draw(st.booleans()):
        limits["energy_j"] = way.energy_j * factor
    if way.memory_bytes and draw(st.booleans()):
        limits["memory_bytes"] = max(round(way.memory_bytes * factor), 1)
    if way.values[3]:
        limits["accuracy_budget"] = min(way.values[3] * factor, 1.0)
    return dataclasses.replace(world, constraints=dataclasses.replace(world.constraints, **limits))


@dataclass(frozen=True)
class Way:
    """One choice by the definition: its costs, and whether the constraints allow it."""

    key: tuple[str, str, str]
    total_s: float
    cost: float
    payload_bytes: int
    values: tuple[float, ...]
    allowed: bool
    in_time: bool
    timely_s: float
    energy_j: float
    memory_bytes: int


def by_definition(
    world: World,
    link: LinkEstimate,
    queue_s: float = 0.0,
    correction: Correction | None = None,
    others_s: float = 0.0,
):
    """Every way that could be planned, worked out one by one; near ties of limits are left to the caller."""
    found = []
    input_from = next((edge for edge in world.edges if "0" in edge.cuts), None)
    for edge in world.edges:
        for cut_id in edge.cuts:
            cut = world.manifest.cut(cut_id)
            if not cut.candidate:
                continue
            if cut_id == "last":
                found.append(_way(world, edge, cut, "", link, queue_s, correction, others_s))
            elif world.cloud is not None and cut_id in world.cloud.cuts and (cut_id != "0" or edge is input_from):
                specs = edge.cuts[cut_id].codec_s.keys() & world.cloud.cuts[cut_id].codec_s.keys()
                found += [_way(world, edge, cut, spec, link, queue_s, correction, others_s) for spec in sorted(specs)]
    return found


def _way(world, edge, cut, spec, link, queue_s, correction, others_s) -> Way:
    correction = correction or Correction()
    head, local = edge.cuts[cut.id], spec == ""
    size = 0 if local else head.payload_bytes[spec]
    edge_s = edge.preprocess_s + head.compute_s * correction.head.get(edge.variant_id, 1.0)
    edge_s += 0 if local else head.codec_s[spec]
    tail = None if local else world.cloud.cuts[cut.id]
    cloud_s = 0.0 if tail is None else tail.compute_s * correction.tail + tail.codec_s[spec]
    slow_bps = max(link.bandwidth_bps - link.spread_bps, link.bandwidth_bps / 2)
    air_s = 8 * size / slow_bps
    away_s = 0.0 if local else link.rtt_s + link.spread_s + link.stall_s + queue_s
    total_s = edge_s + air_s + away_s + cloud_s
    energy_j = 0.0
    if world.power is not None:
        board, radio = world.power.board, world.power.radio
        compute_w = board.idle_w + min(edge.threads, board.cores) / board.cores * (board.busy_w - board.idle_w)
        energy_j = compute_w * edge_s + (board.idle_w + radio.base_w) * air_s + radio.joule_per_bit * 8 * size
        energy_j += board.idle_w * (away_s + cloud_s)
    bits, lossless = SPECS.get(spec, (8, True))
    share = 0.0 if bits == 8 else (world.accuracy.changed_share(cut.id, bits) if world.accuracy else None)
    late_s = _late_s(head, spec, size, link, edge_s + cloud_s, queue_s)
    price_s = 0.0 if local else others_s
    cost = {
        "latency": total_s + price_s,
        "latency_quantile": late_s + price_s,
        "throughput": max(edge_s, air_s, cloud_s),
        "energy": energy_j,
        "cloud": cloud_s,
    }[world.objective]
    timely_s = late_s if world.objective == "latency_quantile" else total_s
    limits = world.constraints
    floor = limits.privacy_floor
    memory = 0 if cut.id == "0" else head.memory_bytes
    allowed = all(
        (
            floor is None or cut.index >= world.manifest.cut(floor).index,
            limits.memory_bytes is None or memory <= limits.memory_bytes,
            limits.energy_j is None or energy_j <= limits.energy_j,
            local or _codec_allowed(spec, bits, lossless, limits.codecs),
            bits == 8 or (share is not None and limits.accuracy_budget is not None and share <= limits.accuracy_budget),
        )
    )
    in_time = limits.deadline_s is None or timely_s <= limits.deadline_s
    values = (total_s, energy_j, cloud_s, share or 0.0, float(size))
    key = (cut.id, spec, edge.variant_id)
    return Way(key, total_s, cost, size, values, allowed, in_time, timely_s, energy_j, memory)


def _codec_allowed(spec, bits, lossless, codecs) -> bool:
    if codecs is None:
        return lossless or bits < 8
    return spec in codecs or (bits < 8 and spec.split("@")[0] in codecs)


def _late_s(head, spec, size, link, fixed_s, queue_s) -> float:
    if spec == "":
        return fixed_s
    late = head.payload_quantiles_bytes.get(spec, (size,))[-1]
    sigma_rate = math.asinh(min(link.spread_bps / link.bandwidth_bps, 0.5)) / 0.6744898
    sigma_size = math.log(late / size) / 1.6448536
    air_s = 8 * size / link.bandwidth_bps
    more_s = air_s * (math.exp(1.6448536 * math.hypot(sigma_rate, sigma_size)) - 1)
    rtt_more_s = 1.6448536 / 0.6744898 * link.spread_s
    return fixed_s + queue_s + link.rtt_s + link.stall_s + air_s + math.hypot(more_s, rtt_more_s)
