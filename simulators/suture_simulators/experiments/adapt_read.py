"""The points of `adapt`, evaluated, and the flat figures over them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from suture_simulators.experiments import adapt_moves, adapt_scores
from suture_simulators.experiments.adapt import FIRST, STEADY
from suture_simulators.experiments.adapt_moves import Moves
from suture_simulators.experiments.adapt_scores import Account, Settling
from suture_simulators.experiments.streaming import SPLIT
from suture_simulators.experiments.types import PointRecord, Results, Sample

#: A plan is to be right again within so many requests or so long, whichever is later.
SETTLE_REQUESTS: Final = 2
SETTLE_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """One valid point, evaluated. `right_share` is of a recorded drive, `needless` of a steady link; None elsewhere."""

    record: PointRecord
    samples: tuple[Sample, ...]
    settlings: tuple[Settling, ...]
    account: Account
    moves: Moves
    right_share: float | None
    needless: float | None

    @property
    def unprepared(self) -> bool:
        """Whether the unit met the rates for the first time."""
        return self.record.point.scenario.startswith(FIRST)


def read(results: Results) -> list[Read]:
    """Every valid point, evaluated."""
    found = []
    for record in results.valid:
        samples = tuple(s for s in results.samples.get(record.point.key, ()) if s.arm == SPLIT)
        known, line, phases = adapt_scores.known_from(record.notes)
        rtt_s, notes = record.point.rtt_s, record.notes
        steady = record.point.scenario == STEADY
        found.append(
            Read(
                record=record,
                samples=samples,
                settlings=tuple(adapt_scores.settlings(samples, phases, known, rtt_s)),
                account=adapt_scores.account(samples, notes["images"][SPLIT], notes["pace"]["deadline_s"]),
                moves=adapt_moves.moves(samples),
                right_share=None if phases or steady else adapt_scores.right_share(samples, known, line, rtt_s),
                needless=adapt_moves.needless(samples, notes["scenario"]["length_s"]) if steady else None,
            )
        )
    return found


def in_time(change: Settling) -> bool:
    """Whether the plan was right again within two requests or a second, whichever is later."""
    return change.settled and (change.requests <= SETTLE_REQUESTS or change.seconds <= SETTLE_S)


def figures(results: Results) -> dict[str, float]:
    """The flat figures; those over changes of the rate are left out where there was none."""
    found = read(results)
    if not found:
        return {}
    made = _changes([one for point in found if not point.unprepared for one in point.settlings])
    first = [one for point in found if point.unprepared for one in point.settlings]
    if first:
        made["first_settle_s_max"] = max(one.seconds for one in first)
        made["first_settle_requests_max"] = max(one.requests for one in first)
    shares = [point.right_share for point in found if point.right_share is not None]
    if shares:
        made["right_plan_share_on_drives"] = statistics.fmean(shares)
    made |= _steadiness(found)
    made["moves"] = sum(point.moves.moves for point in found)
    made["moves_failed"] = sum(point.moves.failed for point in found)
    made["moves_delayed"] = sum(point.moves.delayed for point in found)
    held = [sum(point.record.notes.get("memory", {}).values()) for point in found]
    made["heads_memory_bytes_max"] = max(held)
    for name in ("images", "lost", "late", "alone"):
        key = name if name == "images" else f"images_{name}"
        made[key] = sum(getattr(point.account, name) for point in found)
    return made


def _changes(changes: Sequence[Settling]) -> dict[str, float]:
    if not changes:
        return {}
    needed = [one for one in changes if one.needed]
    made: dict[str, float] = {
        "settle_requests_max": max(one.requests for one in changes),
        "settle_s_max": max(one.seconds for one in changes),
        "changes": len(changes),
        "changes_never_settled": sum(not one.settled for one in changes),
        "changes_that_need_another_plan": len(needed),
        "changes_settled_in_time": sum(map(in_time, changes)),
    }
    if needed:
        made["settle_requests_median"] = statistics.median(one.requests for one in needed)
        made["settle_s_median"] = statistics.median(one.seconds for one in needed)
    return made


def _steadiness(found: Sequence[Read]) -> dict[str, float]:
    """Needless moves, streamed and replayed, and what the replayed re-plans took."""
    made: dict[str, float] = {}
    streamed = [point.needless for point in found if point.needless is not None]
    if streamed:
        made["needless_moves_per_10min"] = max(streamed)
    replayed: list[dict[str, Any]] = [p.record.notes["decisions"] for p in found if "decisions" in p.record.notes]
    if replayed:
        made["needless_moves_per_10min_replayed"] = max(adapt_moves.needless_replayed(one)[0] for one in replayed)
        spent_s = sorted(1e-6 * spent_us for one in replayed for spent_us in one["replan_us"])
        made["replans"] = sum(one["replans"] for one in replayed)
        made["replan_s_median"] = statistics.median(spent_s)
        made["replan_s_p99"] = spent_s[int(0.99 * (len(spent_s) - 1))]
    return made
