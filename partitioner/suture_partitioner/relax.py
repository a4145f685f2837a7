"""When nothing satisfies the constraints: which of them to relax, no more than helps, and how far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from suture_partitioner.candidates import UNMEASURED
from suture_partitioner.types import Choice, Constraints
from suture_protocol.errors import PlanError
from suture_protocol.units import format_share, format_size, format_time

#: So many ways out are named at most.
_NAMED: Final = 4


def unsatisfiable(choices: Iterable[Choice], constraints: Constraints, where: str = "") -> PlanError:
    """The error that names the constraints to relax, each so far that the fastest choice behind it becomes possible.

    A set of constraints helps if some choice breaks nothing else; of these the sets are named that hold no smaller one
    that helps too, those of a single constraint first.

    Args:
        choices: All that could be planned, each with the constraints that it breaks.
        constraints: What was asked.
        where: The link, in words; empty where they cannot be satisfied on any, and times mean nothing.
    """
    ways: dict[frozenset[str], Choice] = {}
    for choice in choices:
        broken = frozenset(choice.broken)
        if UNMEASURED in broken or not broken:
            continue
        known = ways.get(broken)
        if known is None or choice.steps.total_s < known.steps.total_s:
            ways[broken] = choice
    if not ways:
        return PlanError("no plan satisfies the constraints, and relaxing one would not help; see `suture inspect`")
    needed = [(broken, choice) for broken, choice in ways.items() if not any(other < broken for other in ways)]
    needed.sort(key=lambda way: (len(way[0]), way[1].steps.total_s))
    told = ", or ".join(_way(broken, choice, constraints, timed=bool(where)) for broken, choice in needed[:_NAMED])
    alone = "" if len(needed[0][0]) == 1 else "; no single constraint would do"
    message = f"no plan satisfies the constraints {where or 'on any link'}: relax {told}{alone}"
    return PlanError(message, relax=tuple(tuple(sorted(broken)) for broken, _ in needed))


def _way(broken: frozenset[str], choice: Choice, constraints: Constraints, *, timed: bool) -> str:
    named = " together with ".join(_RELAXED[name](choice, constraints) for name in sorted(broken))
    codec = f" {choice.codec}" if choice.codec else ""
    time = f" with {format_time(choice.steps.total_s)}" if timed else ""
    return f"{named} (cut {choice.cut_id}{codec}{time})"


def _deadline(choice: Choice, constraints: Constraints) -> str:
    deadline_s = constraints.deadline_s or 0.0
    # Where the time itself is within the deadline, it is the 95th percentile that is not.
    needed_s = choice.steps.total_s if choice.steps.total_s > deadline_s else choice.late_s
    return f"the deadline of {format_time(deadline_s)} to {format_time(_up(needed_s))}"


def _floor(choice: Choice, constraints: Constraints) -> str:
    return f"the privacy floor {constraints.privacy_floor} to cut {choice.cut_id}"


def _codecs(choice: Choice, constraints: Constraints) -> str:
    del constraints
    return f"the codecs to allow {choice.codec}"


def _memory(choice: Choice, constraints: Constraints) -> str:
    return f"the memory of {format_size(constraints.memory_bytes or 0)} to {format_size(_up(choice.memory_bytes))}"


def _energy(choice: Choice, constraints: Constraints) -> str:
    return f"the energy of {constraints.energy_j or 0.0:.3g} J to {_up(choice.energy_j or 0.0):.3g} J"


def _accuracy(choice: Choice, constraints: Constraints) -> str:
    budget = constraints.accuracy_budget
    given = "(none was given)" if budget is None else f"of {format_share(budget)}"
    return f"the accuracy budget {given} to {format_share(_up(choice.changed_share))}"


_RELAXED: Final[Mapping[str, Callable[[Choice, Constraints], str]]] = {
    "deadline_s": _deadline,
    "privacy_floor": _floor,
    "codecs": _codecs,
    "memory_bytes": _memory,
    "energy_j": _energy,
    "accuracy_budget": _accuracy,
}


def _up(value: float) -> float:
    """The value with three digits, rounded up, so that what is said is enough."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / step - 1e-9) * step
