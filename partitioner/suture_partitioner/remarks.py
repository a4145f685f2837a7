"""What a plan could not know, told with it."""

from __future__ import annotations

from suture_models.manifest import INPUT_CUT
from suture_partitioner.candidate import Candidate
from suture_partitioner.energy import PowerModel
from suture_partitioner.types import Constraints, Objective
from suture_protocol.units import format_size


def remarks(
    chosen: Candidate, constraints: Constraints, objective: Objective, power: PowerModel | None
) -> tuple[str, ...]:
    """One sentence each on what the chosen candidate's profile lacks, and where energy figures come from."""
    said = []
    limit = constraints.memory_bytes
    if limit is not None and not chosen.memory_bytes and chosen.cut.id != INPUT_CUT:
        said.append(
            f"The memory of the head of cut {chosen.cut.id} was not measured, so it is not known to be within"
            f" {format_size(limit)}; profile it again."
        )
    if objective == "latency_quantile" and chosen.late_bytes is None and not chosen.local:
        said.append(
            "The profile keeps only the median of the payload's size: the 95th percentile counts the link's scatter"
            " alone; profile again."
        )
    if power is not None:
        said.append(power.in_words)
    return tuple(said)
