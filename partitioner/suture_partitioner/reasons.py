"""Why an alternative lost, in words that a person can check against the figures."""

from __future__ import annotations

from typing import Final

from suture_partitioner.objective import TIE, cost_of, cost_text, in_words
from suture_partitioner.types import Choice, Constraints, LinkEstimate, Objective, Steps
from suture_protocol.units import format_rate, format_size, format_time

#: Differences below a microsecond are arithmetic, not time.
_NEGLIGIBLE_S: Final = 1e-6


def why_lost(lost: Choice, chosen: Choice, link: LinkEstimate, objective: Objective) -> str:
    """Why `chosen` was taken and not `lost`, which breaks no constraint."""
    if objective == "latency":
        return why_slower(lost, chosen, link)
    slower_s = lost.steps.total_s - chosen.steps.total_s
    more = cost_of(lost, objective) - cost_of(chosen, objective)
    if abs(more) <= abs(cost_of(chosen, objective)) * TIE:
        if slower_s > _NEGLIGIBLE_S:
            return f"as good in that, but {format_time(slower_s)} slower"
        return "as good in that, as fast, and sends no less"
    said = in_words(lost, objective)
    if more < 0:
        return f"{said}, {cost_text(-more, objective)} less, not enough to give up the choice in force"
    faster = f", though {format_time(-slower_s)} faster" if slower_s < -_NEGLIGIBLE_S else ""
    return f"{said}, {cost_text(more, objective)} more{faster}"


def why_slower(lost: Choice, chosen: Choice, link: LinkEstimate) -> str:
    """What `lost` costs more than `chosen`, the largest first, and what little it saves in return."""
    deltas = sorted(_deltas(lost.steps, chosen.steps), key=lambda delta: -abs(delta[1]))
    more_s = lost.others_s - chosen.others_s
    waits = [f"makes other units wait {format_time(more_s)}"] if more_s > _NEGLIGIBLE_S else []
    costs = waits + [_cost(step, delta_s, lost, chosen, link) for step, delta_s in deltas if delta_s > _NEGLIGIBLE_S]
    savings = [f"{format_time(-delta_s)} of {step}" for step, delta_s in deltas if delta_s < -_NEGLIGIBLE_S]
    if more_s < -_NEGLIGIBLE_S:
        savings.append(f"{format_time(-more_s)} of other units' waiting")
    if savings and cost_of(lost, "latency") < cost_of(chosen, "latency"):
        return f"saves {_listed(savings)}, not enough to give up the choice in force"
    if not costs:
        return "as fast, sends no less"
    return ", ".join(costs) + (f", saves only {_listed(savings)}" if savings else "")


def over_limits(choice: Choice, constraints: Constraints, objective: Objective) -> dict[str, str]:
    """The constraints that `choice` breaks over this link: their names in `Constraints`, and why, in words."""
    broken: dict[str, str] = {}
    deadline_s, energy_j = constraints.deadline_s, constraints.energy_j
    late = objective == "latency_quantile"
    timely_s = choice.late_s if late else choice.steps.total_s
    if deadline_s is not None and timely_s > deadline_s:
        when = " at the 95th percentile" if late else ""
        broken["deadline_s"] = f"takes {format_time(timely_s)}{when}, over the deadline of {format_time(deadline_s)}"
    if energy_j is not None and choice.energy_j is not None and choice.energy_j > energy_j:
        broken["energy_j"] = f"takes {choice.energy_j:.3g} J, over the {energy_j:.3g} J allowed"
    return broken


def largest_step(lost: Choice, chosen: Choice) -> str:
    """In what `lost` costs most more than `chosen`: a step, or `others` for what other units would wait; empty where it
    costs nothing more."""
    others = ("others", lost.others_s - chosen.others_s)
    step, delta_s = max((*_deltas(lost.steps, chosen.steps), others), key=lambda delta: delta[1])
    return step if delta_s > _NEGLIGIBLE_S else ""


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
