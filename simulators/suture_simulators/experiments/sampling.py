"""From what the unit answers to a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suture_simulators.experiments.types import Point, Sample


def sample_of(answer: Mapping[str, Any], point: Point, arm: str, turn: int, at_s: float, **extra: Any) -> Sample:
    """The sample that an answer to `infer`, `send_file` or `alone` makes; `extra` goes into it as it is."""
    return Sample(
        point=point.key,
        arm=arm,
        turn=turn,
        total_s=answer["total_s"],
        cut=answer["cut"],
        codec=answer["codec"],
        payload_bytes=answer["payload_bytes"],
        where=answer["where"],
        at_s=at_s,
        steps_s=answer["steps_s"],
        extra=extra,
    )
