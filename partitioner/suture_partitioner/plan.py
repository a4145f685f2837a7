"""Planning: arithmetic over profiles. Which cut, codec and variant is best over this link, and why the others lost.

All that does not depend on the link is laid out in columns once (`suture_partitioner.table`), so that planning again
weighs every candidate in well under a millisecond, whatever the objective and however live timings correct the
profiles. In time alone a choice takes a + b / bandwidth, with b the payload's bits; the best one for every bandwidth is
the lower envelope of straight lines in 1 / bandwidth (`suture_partitioner.envelope`), which `crossovers` tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from suture_models.manifest import LAST_CUT, Manifest
from suture_partitioner.candidate import AS_PROFILED, Candidate
from suture_partitioner.candidates import (
    ChangedShares,
    broken_rules,
    candidates,
    check_constraints,
)
from suture_partitioner.caution import cautious
from suture_partitioner.energy import PowerModel
from suture_partitioner.envelope import Envelope, Line
from suture_partitioner.objective import cost_of
from suture_partitioner.pareto import front
from suture_partitioner.reasons import over_limits, why_lost
from suture_partitioner.relax import unsatisfiable
from suture_partitioner.remarks import remarks
from suture_partitioner.switching import HYSTERESIS, outer_links, worth_switching
from suture_partitioner.table import Table
from suture_partitioner.types import Choice, Constraints, Correction, LinkEstimate, Objective, Plan, Profile
from suture_protocol.errors import PlanError
from suture_protocol.units import format_rate, format_time

__all__ = ["FORCED_ONLY", "HYSTERESIS", "Crossover", "Planner", "plan"]

#: What `Choice.broken` says of a cut that no plan would ever choose (see `suture_models.cuts`).
FORCED_ONLY: Final = "forced_only"

#: What no link beats: a way that breaks a limit over it breaks it over any.
_IDEAL: Final = LinkEstimate(bandwidth_bps=1e15, rtt_s=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossover:
    """At `bandwidth_bps` the best choice changes from `below` (slower links) to `above` (faster ones)."""

    bandwidth_bps: float
    below: Choice
    above: Choice


class Planner:
    """Everything about planning that does not depend on the link, prepared once per profiles and constraints.

    Args:
        manifest: The bundle's.
        edge_profiles: One per engine and variant that may run the head; all of one bundle.
        cloud_profile: The tails'; None where there is no cloud, which leaves the last cut only.
        constraints: What every plan must respect.
        objective: What is made small; see `suture_partitioner.objective`.
        accuracy: What narrowed codes cost in answers (`suture_models.accuracy`); without it none are planned.
        power: The unit's power; required where energy is the objective or limited.

    Raises:
        PlanError: the profiles do not belong together, the constraints name what does not exist or take what was not
            given, or nothing satisfies them on any link.
    """

    def __init__(
        self,
        manifest: Manifest,
        edge_profiles: Sequence[Profile],
        cloud_profile: Profile | None,
        constraints: Constraints | None = None,
        *,
        objective: Objective = "latency",
        accuracy: ChangedShares | None = None,
        power: PowerModel | None = None,
    ) -> None:
        self._constraints = constraints or Constraints()
        self._objective: Objective = objective
        self._power = power
        check_constraints(manifest, self._constraints)
        if power is None and (objective == "energy" or self._constraints.energy_j is not None):
            raise PlanError("planning with energy takes the unit's power; give a power model (`--power DEVICE`)")
        #: Every candidate with the constraints that forbid it on any link, and why.
        self._all: tuple[tuple[Candidate, Mapping[str, str]], ...] = tuple(
            (candidate, broken_rules(candidate, manifest, self._constraints))
            for candidate in candidates(manifest, edge_profiles, cloud_profile, accuracy)
        )
        allowed = [c for c, broken in self._all if c.cut.candidate and not broken]
        if not allowed:
            raise self._nothing_allowed(cloud_profile is not None)
        # Ties go to the one that sends less, then to the shallower cut.
        allowed.sort(key=lambda c: (c.payload_bytes, c.cut.index))
        self._allowed = tuple(allowed)
        self._row = {candidate.key: row for row, candidate in enumerate(allowed)}
        self._table = Table(allowed, objective, self._constraints, power)
        local = [c for c in allowed if c.local]
        self._local = min(local, key=lambda c: c.fixed_s) if local else None
        lines = [Line(c.fixed_s, 8.0 * c.payload_bytes, c) for c in allowed if not c.local]
        self._remote = Envelope(lines) if lines else None

    @property
    def ways(self) -> Iterator[tuple[Candidate, str]]:
        """Everything that was profiled on both sides, with what forbids it on any link; empty where nothing does."""
        return ((candidate, "; ".join(broken.values())) for candidate, broken in self._all if candidate.cut.candidate)

    def choose(
        self,
        link: LinkEstimate,
        *,
        queue_s: float = 0.0,
        others_s: float = 0.0,
        current: Choice | None = None,
        correction: Correction | None = None,
        switch_cost_s: float = 0.0,
    ) -> Choice:
        """The best allowed choice; fast enough for every request.

        Args:
            link: The estimate; where it is spread, its lower quartile counts (for `latency_quantile`, the spread does).
            queue_s: The wait that the cloud reports.
            others_s: What a request makes other units wait there: counts in what is made small, in no time or limit.
            current: The choice in force. It gives way at once where it is no longer allowed or breaks a limit, else
                only to one that is better by enough and surely so (`suture_partitioner.switching`).
            correction: How live timings differ from the profiles.
            switch_cost_s: What a switch takes of the unit's time, e.g. for loading the other head.

        Raises:
            PlanError: nothing keeps to the limits over this link; says what to relax, also as `relax`.
        """
        careful = cautious(link)
        here = self._table.weigh(careful, link, queue_s, correction, others_s)
        row = here.best()
        if row is None:
            raise self._out_of_limits(careful, link, queue_s, correction)
        kept = None if current is None else self._row.get((current.cut_id, current.codec, current.variant_id))
        if kept is not None and kept != row and here.allowed_A[kept]:
            worst, best = (
                self._table.weigh(outer, outer, queue_s, correction, others_s) for outer in outer_links(link)
            )
            moved = worth_switching(kept, self._table.price(kept, switch_cost_s), here, worst, best)
            row = kept if moved is None else moved
        return self._allowed[row].choice(careful, queue_s, correction or AS_PROFILED, self._power, link, others_s)

    def plan(
        self,
        link: LinkEstimate,
        *,
        queue_s: float = 0.0,
        others_s: float = 0.0,
        current: Choice | None = None,
        correction: Correction | None = None,
        switch_cost_s: float = 0.0,
    ) -> Plan:
        """The best allowed choice, and all the others with the reason why each lost, fastest first.

        Args and Raises: as `choose`.
        """
        chosen = self.choose(
            link,
            queue_s=queue_s,
            others_s=others_s,
            current=current,
            correction=correction,
            switch_cost_s=switch_cost_s,
        )
        careful = cautious(link)
        rejected = []
        for candidate, choice in self._choices(careful, link, queue_s, correction, others_s):
            if candidate.key == (chosen.cut_id, chosen.codec, chosen.variant_id):
                continue
            if not choice.broken and not candidate.cut.candidate:
                choice = replace(choice, broken=(FORCED_ONLY,), reason="can be forced only: dominated by another cut")
            elif not choice.broken:
                choice = replace(choice, reason=why_lost(choice, chosen, careful, self._objective))
            rejected.append(choice)
        rejected.sort(key=lambda choice: choice.steps.total_s)
        taken = self._allowed[self._row[chosen.cut_id, chosen.codec, chosen.variant_id]]
        return Plan(
            chosen=chosen,
            rejected=tuple(rejected),
            link=link,
            objective=self._objective,
            notes=remarks(taken, self._constraints, self._objective, self._power),
        )

    def pareto(
        self, link: LinkEstimate, *, queue_s: float = 0.0, correction: Correction | None = None
    ) -> tuple[Choice, ...]:
        """What nothing else allowed beats in time, energy, cloud seconds, changed answers or payload; fastest first.

        Raises:
            PlanError: nothing keeps to the limits over this link.
        """
        careful = cautious(link)
        found = [
            choice
            for candidate, choice in self._choices(careful, link, queue_s, correction)
            if candidate.cut.candidate and not choice.broken
        ]
        if not found:
            raise self._out_of_limits(careful, link, queue_s, correction)
        return front(found)

    def forced(
        self, cut_id: str, link: LinkEstimate, *, queue_s: float = 0.0, correction: Correction | None = None
    ) -> Choice:
        """The best codec and variant at a cut that a person asked for.

        The deadline alone is not looked at: who forces a cut over a slow link wants its result late rather than never.

        Raises:
            PlanError: the cut was not profiled, or another constraint forbids it.
        """
        careful = cautious(link)
        here = [choice for c, choice in self._choices(careful, link, queue_s, correction) if c.cut.id == cut_id]
        allowed = [choice for choice in here if not set(choice.broken) - {"deadline_s"}]
        if not allowed:
            reason = here[0].reason if here else "no profile covers it on both sides; profile it first"
            raise PlanError(f"cut {cut_id!r} cannot be used: {reason}")
        best = min(
            allowed,
            key=lambda choice: (
                bool(choice.broken),
                cost_of(choice, self._objective),
                choice.steps.total_s,
                choice.payload_bytes,
            ),
        )
        return replace(best, reason="", broken=())

    def crossovers(self, *, rtt_s: float, queue_s: float = 0.0) -> tuple[Crossover, ...]:
        """The bandwidths at which the fastest choice changes, ascending, for this round trip and queue.

        It is about time alone: limits that depend on the link, other objectives and corrections are not looked at.
        """
        shared_s = rtt_s + queue_s
        lines = [Line(li.intercept + shared_s, li.slope, li.item) for li in self._remote.lines] if self._remote else []
        if self._local is not None:
            lines.append(Line(self._local.fixed_s, 0.0, self._local))
        envelope = Envelope(lines)
        found = []
        for i, x in enumerate(envelope.meets):
            link = LinkEstimate(bandwidth_bps=1 / x, rtt_s=rtt_s)
            above, below = (envelope.lines[j].item.choice(link, queue_s, AS_PROFILED, self._power) for j in (i, i + 1))
            found.append(Crossover(bandwidth_bps=1 / x, below=below, above=above))
        return tuple(reversed(found))

    def _choices(
        self,
        careful: LinkEstimate,
        link: LinkEstimate,
        queue_s: float,
        correction: Correction | None,
        others_s: float = 0.0,
    ) -> Iterator[tuple[Candidate, Choice]]:
        """Every candidate with its choice over a link, which says what it breaks and why."""
        for candidate, rules in self._all:
            choice = candidate.choice(careful, queue_s, correction or AS_PROFILED, self._power, link, others_s)
            broken = {**rules, **over_limits(choice, self._constraints, self._objective)}
            yield candidate, replace(choice, broken=tuple(broken), reason="; ".join(broken.values()))

    def _out_of_limits(
        self, careful: LinkEstimate, link: LinkEstimate, queue_s: float, correction: Correction | None
    ) -> PlanError:
        choices = (choice for c, choice in self._choices(careful, link, queue_s, correction) if c.cut.candidate)
        where = f"over {format_rate(careful.bandwidth_bps)} and {format_time(careful.rtt_s)} of round trip"
        return unsatisfiable(choices, self._constraints, where)

    def _nothing_allowed(self, has_cloud: bool) -> PlanError:
        if not self._all:
            side = "the profiles of both sides share no cut"
            if not has_cloud:
                side = f"without a cloud only cut {LAST_CUT} is possible"
            return PlanError(f"no cut can be planned: {side}; profile cut {LAST_CUT}, or another on both sides")
        choices = [choice for c, choice in self._choices(_IDEAL, _IDEAL, 0.0, None) if c.cut.candidate]
        if not choices:
            return PlanError("no plan can be made: all that was profiled can only be forced; profile more cuts")
        return unsatisfiable(choices, self._constraints)


def plan(
    manifest: Manifest,
    edge_profiles: Sequence[Profile],
    cloud_profile: Profile | None,
    link: LinkEstimate,
    constraints: Constraints | None = None,
    queue_s: float = 0.0,
) -> Plan:
    """One plan; keep a `Planner` where there is more than one to make.

    Raises:
        PlanError: no plan satisfies the constraints; the message says which one to relax.
    """
    return Planner(manifest, edge_profiles, cloud_profile, constraints).plan(link, queue_s=queue_s)
