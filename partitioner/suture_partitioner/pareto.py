"""The Pareto front: what nothing else beats in one respect without being worse in another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suture_partitioner.types import Choice


def front(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """The choices that no other is at least as good as in everything and better in something, fastest first.

    Weighed are time to the result, energy (where all have one), the cloud's seconds, the share of answers changed by
    narrowed codes, and the payload. Of choices equal in all of these the first stays.
    """
    if not choices:
        return ()
    values_CF = np.array([_values(choice) for choice in choices])
    # Whatever dominates a row sorts before it, so each is compared with the front so far only.
    order = np.lexsort(values_CF.T[::-1])
    kept: list[int] = []
    for row in order:
        if not kept or not (values_CF[kept] <= values_CF[row]).all(axis=1).any():
            kept.append(int(row))
    return tuple(choices[row] for row in kept)


def _values(choice: Choice) -> tuple[float, ...]:
    energy_j = 0.0 if choice.energy_j is None else choice.energy_j
    return choice.steps.total_s, energy_j, choice.cloud_s, choice.changed_share, float(choice.payload_bytes)
