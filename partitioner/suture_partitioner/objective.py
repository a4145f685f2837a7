"""What a plan makes small, and how a choice's cost reads for people.

- `latency`: the time to the result, over the link's lower quartile (`suture_partitioner.caution`).
- `latency_quantile`: its 95th percentile, link and payload scattering (`suture_partitioner.late`); a deadline is then
  kept by that percentile.
- `throughput`: of a pipelined series, in which the unit computes one image while another is on its way and a third in
  the cloud: the slowest of the three stages counts. The round trip and the cloud's queue delay a series and do not slow
  it. One tail at a time: what batching would give is left out.
- `energy`: the unit's joules for one image (`suture_partitioner.energy`).
- `cloud`: the cloud's seconds for one image, decoding and tail.

To both latencies comes what a request makes other units wait for a busy cloud (`suture_partitioner.load`).

Of choices equal in the objective the fastest wins, then the one that sends less, then the shallower cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from suture_partitioner.types import Choice, Objective
from suture_protocol.units import format_time

#: Costs that differ by less than this share are equal: the arithmetic itself is no finer.
TIE: Final = 1e-9

OBJECTIVES: Final[tuple[Objective, ...]] = get_args(Objective)

#: What a choice is called that has the least of it.
BEST: Final[Mapping[Objective, str]] = {
    "latency": "the fastest",
    "latency_quantile": "the fastest at the 95th percentile",
    "throughput": "the one with the shortest period of a series",
    "energy": "the one that takes the least energy",
    "cloud": "the one that takes the least of the cloud's time",
}


def cost_of(choice: Choice, objective: Objective) -> float:
    """The objective's figure for `choice`, small is good: seconds, or joules for `energy`.

    Raises:
        ValueError: energy, and the choice was made without a power model.
    """
    if objective == "latency_quantile":
        return choice.late_s + choice.others_s
    if objective == "throughput":
        return choice.period_s
    if objective == "cloud":
        return choice.cloud_s
    if objective == "energy":
        if choice.energy_j is None:
            raise ValueError("a choice made without a power model has no energy")
        return choice.energy_j
    return choice.steps.total_s + choice.others_s


def cost_text(cost: float, objective: Objective) -> str:
    """A cost for people: `41 ms`, `0.52 J`."""
    return f"{cost:.3g} J" if objective == "energy" else format_time(cost)


def in_words(choice: Choice, objective: Objective) -> str:
    """The objective's figure of `choice` in words."""
    text = cost_text(cost_of(choice, objective), objective)
    if objective == "latency_quantile":
        return f"{text} at the 95th percentile"
    if objective == "throughput":
        return f"a result every {text}, held up by {_stage(choice)}"
    if objective == "cloud":
        return f"{text} of the cloud"
    return text


def _stage(choice: Choice) -> str:
    steps = choice.steps
    stages = {"the unit": steps.preprocess_s + steps.head_s + steps.encode_s, "the cloud": choice.cloud_s}
    name = max(stages, key=lambda stage: stages[stage])
    return name if choice.period_s <= stages[name] else "the link"
