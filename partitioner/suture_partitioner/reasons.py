"""Why an alternative lost, in words that a person can check against the figures."""

from __future__ import annotations

from suture_partitioner.types import Choice, LinkEstimate, Steps
from suture_protocol.units import format_rate, format_size, format_time

#: Differences below a microsecond are arithmetic, not time.
_NEGLIGIBLE_S = 1e-6


def why_slower(lost: Choice, chosen: Choice, link: LinkEstimate) -> str:
    """What `lost` costs more than `chosen`, the largest first, and what little it saves in return."""
    deltas = sorted(_deltas(lost.steps, chosen.steps), key=lambda delta: -abs(delta[1]))
    costs = [_cost(step, delta_s, lost, chosen, link) for step, delta_s in deltas if delta_s > _NEGLIGIBLE_S]
    savings = [f"{format_time(-delta_s)} of {step}" for step, delta_s in deltas if delta_s < -_NEGLIGIBLE_S]
    if lost.steps.total_s < chosen.steps.total_s:
        return f"saves {_listed(savings)}, not enough to give up the choice in force"
    if not costs:
        return "as fast, sends no less"
    return ", ".join(costs) + (f", saves only {_listed(savings)}" if savings else "")


def _deltas(lost: Steps, chosen: Steps) -> list[tuple[str, float]]:
    return [
        ("transfer", lost.transfer_s - chosen.transfer_s),
        ("head", (lost.preprocess_s + lost.head_s) - (chosen.preprocess_s + chosen.head_s)),
        ("encoding", lost.encode_s - chosen.encode_s),
        ("decoding", lost.decode_s - chosen.decode_s),
        ("queue", lost.queue_s - chosen.queue_s),
        ("tail", lost.tail_s - chosen.tail_s),
    ]


def _cost(step: str, delta_s: float, lost: Choice, chosen: Choice, link: LinkEstimate) -> str:
    if step != "transfer":
        return f"{step} {format_time(delta_s)} slower"
    more = format_size(lost.payload_bytes - chosen.payload_bytes)
    round_trip = "" if chosen.steps.transfer_s else f" and {format_time(link.rtt_s)} of round trip"
    return f"sends {more} more: +{format_time(delta_s)} at {format_rate(link.bandwidth_bps)}{round_trip}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
