"""The candidates as columns of numbers, so that all of them are weighed at once; made once, looked up on each request.

Axis: A the candidates, in the order in which ties are broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suture_partitioner.candidate import Candidate
from suture_partitioner.energy import PowerModel
from suture_partitioner.late import late_s
from suture_partitioner.objective import TIE
from suture_partitioner.types import Constraints, Correction, LinkEstimate, Objective

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Weighed:
    """All candidates over one link: the objective's cost, the time to the result, and who keeps to the limits."""

    cost_A: Floats
    total_s_A: Floats
    allowed_A: Flags

    def best(self) -> int | None:
        """The row of the cheapest allowed candidate; of equal ones the fastest, then the first. None: none allowed."""
        cost_A = np.where(self.allowed_A, self.cost_A, np.inf)
        row = int(cost_A.argmin())
        least = cost_A[row]
        if not np.isfinite(least):
            return None
        if self.cost_A is self.total_s_A:
            return row
        tied_A = np.flatnonzero(cost_A <= least + abs(least) * TIE)
        return int(tied_A[self.total_s_A[tied_A].argmin()])


class Table:
    """The candidates' columns.

    Args:
        candidates: At least one; of equal ones the first wins.
        objective: What is to be small.
        constraints: Of these the deadline and the energy, which depend on the link.
        power: The unit's power; required where energy counts.
    """

    def __init__(
        self, candidates: Sequence[Candidate], objective: Objective, constraints: Constraints, power: PowerModel | None
    ) -> None:
        def column(values: Sequence[float]) -> Floats:
            return np.array(values, dtype=np.float64)

        self._objective = objective
        self._deadline_s = constraints.deadline_s
        self._energy_j = constraints.energy_j
        self._power = power
        self._variants = tuple(dict.fromkeys(c.variant_id for c in candidates))
        self._variant_A = np.array([self._variants.index(c.variant_id) for c in candidates])
        self._remote_A = column([0.0 if c.local else 1.0 for c in candidates])
        self._bits_A = column([8.0 * c.payload_bytes for c in candidates])
        self._late_bits_A = column(
            [8.0 * (c.payload_bytes if c.late_bytes is None else c.late_bytes) for c in candidates]
        )
        self._head_s_A = column([c.head_s for c in candidates])
        self._around_s_A = column([c.preprocess_s + c.encode_s for c in candidates])
        self._decode_s_A = column([c.decode_s for c in candidates])
        self._tail_s_A = column([c.tail_s for c in candidates])
        self._compute_w_A = column([0.0 if power is None else power.compute_w(c.threads) for c in candidates])

    def weigh(
        self,
        link: LinkEstimate,
        uncertain: LinkEstimate,
        queue_s: float,
        correction: Correction | None,
        others_s: float = 0.0,
    ) -> Weighed:
        """Weighs all candidates over a link.

        Args:
            link: The link to plan with; its spread is not looked at.
            uncertain: The link with its spread, for the 95th percentile.
            queue_s: The cloud's queue.
            correction: How the profiles are off; None where they are right.
            others_s: What a request makes other units wait: part of a cost in time, and of no limit.
        """
        head_s_A, tail_s_A = self._head_s_A, self._tail_s_A
        if correction is not None:
            ratios = np.array([correction.head.get(variant, 1.0) for variant in self._variants])
            head_s_A, tail_s_A = head_s_A * ratios[self._variant_A], tail_s_A * correction.tail
        edge_s_A, cloud_s_A = self._around_s_A + head_s_A, self._decode_s_A + tail_s_A
        air_s_A = self._bits_A / link.bandwidth_bps
        away_s_A = self._remote_A * (link.rtt_s + queue_s)
        total_s_A = edge_s_A + cloud_s_A + air_s_A + away_s_A
        energy_j_A = self._joules(edge_s_A, air_s_A, cloud_s_A + away_s_A)
        timely_s_A = total_s_A
        if self._objective == "latency_quantile":
            payload = (self._bits_A, self._late_bits_A, self._remote_A)
            timely_s_A = late_s(payload, edge_s_A + cloud_s_A, queue_s, uncertain)
        cost_A = timely_s_A + self._remote_A * others_s if others_s else timely_s_A
        if self._objective == "throughput":
            cost_A = np.maximum(np.maximum(edge_s_A, air_s_A), cloud_s_A)
        elif self._objective == "energy" and energy_j_A is not None:
            cost_A = energy_j_A
        elif self._objective == "cloud":
            cost_A = cloud_s_A
        allowed_A = np.isfinite(cost_A)
        if self._deadline_s is not None:
            allowed_A &= timely_s_A <= self._deadline_s
        if self._energy_j is not None and energy_j_A is not None:
            allowed_A &= energy_j_A <= self._energy_j
        return Weighed(cost_A, total_s_A, allowed_A)

    def price(self, row: int, switch_cost_s: float) -> float:
        """What a switch costs in the objective's unit: the time itself, the energy of computing so long, or nothing.

        Loading a head takes none of the cloud's time.
        """
        if self._objective == "cloud":
            return 0.0
        return switch_cost_s * (float(self._compute_w_A[row]) if self._objective == "energy" else 1.0)

    def _joules(self, edge_s_A: Floats, air_s_A: Floats, wait_s_A: Floats) -> Floats | None:
        if self._power is None or (self._objective != "energy" and self._energy_j is None):
            return None
        joules_A: Floats = self._power.joules(self._compute_w_A, edge_s_A, air_s_A, self._bits_A, wait_s_A)
        return joules_A
