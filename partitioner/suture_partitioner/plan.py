"""Planning: arithmetic over profiles. Which cut, codec and variant is fastest over this link, and why the others lost.

A choice takes a + b / bandwidth, with b the payload's bits; so the best one for every bandwidth is the lower envelope
of straight lines in 1 / bandwidth, made once, and planning again is a look-up. The round trip and the cloud's queue add
the same to every choice that uses the link and nothing to the one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from suture_models.manifest import LAST_CUT, Manifest
from suture_partitioner.candidates import Candidate, candidates, why_forbidden
from suture_partitioner.caution import cautious
from suture_partitioner.envelope import Envelope, Line
from suture_partitioner.reasons import why_slower
from suture_partitioner.types import Choice, Constraints, LinkEstimate, Plan, Profile
from suture_protocol.errors import PlanError
from suture_protocol.units import format_time

#: A plan in force gives way only to one that is faster by this share: measured times scatter by about as much.
HYSTERESIS: Final = 0.05


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

    Raises:
        PlanError: the profiles do not belong together, the privacy floor is no cut, or nothing satisfies the
            constraints on any link.
    """

    def __init__(
        self,
        manifest: Manifest,
        edge_profiles: Sequence[Profile],
        cloud_profile: Profile | None,
        constraints: Constraints | None = None,
    ) -> None:
        self._constraints = constraints or Constraints()
        #: Every candidate with what forbids it, empty where nothing does.
        self._all = tuple(
            (candidate, why_forbidden(candidate, manifest, self._constraints))
            for candidate in candidates(manifest, edge_profiles, cloud_profile)
        )
        allowed = [c for c, forbidden in self._all if c.cut.candidate and not forbidden]
        if not allowed:
            raise PlanError(self._nothing_allowed(cloud_profile is not None))
        # Ties go to the one that sends less, then to the shallower cut.
        allowed.sort(key=lambda c: (c.payload_bytes, c.cut.index))
        self._allowed = tuple(allowed)
        local = [c for c in allowed if c.cut.id == LAST_CUT]
        self._local = min(local, key=lambda c: c.fixed_s) if local else None
        lines = [Line(c.fixed_s, 8.0 * c.payload_bytes, c) for c in allowed if c.cut.id != LAST_CUT]
        self._remote = Envelope(lines) if lines else None

    def choose(self, link: LinkEstimate, *, queue_s: float = 0.0, current: Choice | None = None) -> Choice:
        """The fastest allowed choice; a look-up, for use on every request.

        Args:
            link: The estimate; where it is spread, its lower quartile counts.
            queue_s: The wait that the cloud reports.
            current: The choice in force; kept unless another is faster by more than `HYSTERESIS`.

        Raises:
            PlanError: the deadline cannot be met; the message says what to relax.
        """
        careful = cautious(link)
        best = self._best(careful, queue_s).choice(careful, queue_s)
        if current is not None:
            kept = self._same(current)
            if kept is not None:
                again = kept.choice(careful, queue_s)
                if again.steps.total_s <= best.steps.total_s * (1 + HYSTERESIS) and self._in_time(again):
                    best = again
        if not self._in_time(best):
            raise PlanError(self._too_late(best, careful, queue_s))
        return best

    def plan(self, link: LinkEstimate, *, queue_s: float = 0.0, current: Choice | None = None) -> Plan:
        """The fastest allowed choice, and all the others with the reason why each lost, fastest first.

        Raises:
            PlanError: the deadline cannot be met; the message says what to relax.
        """
        chosen = self.choose(link, queue_s=queue_s, current=current)
        careful = cautious(link)
        rejected = []
        for candidate, forbidden in self._all:
            choice = candidate.choice(careful, queue_s)
            if choice == chosen:
                continue
            reason = forbidden or why_slower(choice, chosen, careful)
            if not forbidden and not candidate.cut.candidate:
                reason = "can be forced only: dominated by another cut"
            rejected.append(replace(choice, reason=reason))
        rejected.sort(key=lambda choice: choice.steps.total_s)
        return Plan(chosen=chosen, rejected=tuple(rejected), link=link)

    def forced(self, cut_id: str, link: LinkEstimate, *, queue_s: float = 0.0) -> Choice:
        """The fastest codec and variant at a cut that a person asked for, whatever the deadline.

        Raises:
            PlanError: the cut was not profiled, or the privacy floor or the codecs forbid it.
        """
        careful = cautious(link)
        here = [(c, forbidden) for c, forbidden in self._all if c.cut.id == cut_id]
        allowed = [c for c, forbidden in here if not forbidden]
        if not allowed:
            reason = here[0][1] if here else "no profile covers it on both sides; profile it first"
            raise PlanError(f"cut {cut_id!r} cannot be used: {reason}")
        choices = [c.choice(careful, queue_s) for c in allowed]
        return min(choices, key=lambda choice: (choice.steps.total_s, choice.payload_bytes))

    def crossovers(self, *, rtt_s: float, queue_s: float = 0.0) -> tuple[Crossover, ...]:
        """The bandwidths at which the best choice changes, ascending, for this round trip and queue."""
        shared_s = rtt_s + queue_s
        lines = [Line(li.intercept + shared_s, li.slope, li.item) for li in self._remote.lines] if self._remote else []
        if self._local is not None:
            lines.append(Line(self._local.fixed_s, 0.0, self._local))
        envelope = Envelope(lines)
        found = []
        for i, x in enumerate(envelope.meets):
            link = LinkEstimate(bandwidth_bps=1 / x, rtt_s=rtt_s)
            above, below = (envelope.lines[j].item.choice(link, queue_s) for j in (i, i + 1))
            found.append(Crossover(bandwidth_bps=1 / x, below=below, above=above))
        return tuple(reversed(found))

    def _best(self, link: LinkEstimate, queue_s: float) -> Candidate:
        if self._remote is None:
            if self._local is None:
                raise PlanError("nothing can be planned")
            return self._local
        remote = self._remote.lowest(1 / link.bandwidth_bps).item
        if self._local is None:
            return remote
        return self._local if self._local.fixed_s <= remote.total_s(link, queue_s) else remote

    def _same(self, choice: Choice) -> Candidate | None:
        key = (choice.cut_id, choice.codec, choice.variant_id)
        for candidate in self._allowed:
            if (candidate.cut.id, candidate.codec, candidate.variant_id) == key:
                return candidate
        return None

    def _in_time(self, choice: Choice) -> bool:
        return self._constraints.deadline_s is None or choice.steps.total_s <= self._constraints.deadline_s

    def _too_late(self, best: Choice, link: LinkEstimate, queue_s: float) -> str:
        deadline_s = self._constraints.deadline_s or 0.0
        message = (
            f"no plan meets the deadline of {format_time(deadline_s)}: the fastest allowed is cut {best.cut_id} with"
            f" {format_time(best.steps.total_s)}; relax the deadline"
        )
        forbidden = [(c.total_s(link, queue_s), c.cut.id, why) for c, why in self._all if why]
        in_time = [option for option in forbidden if option[0] <= deadline_s]
        if not in_time:
            return message
        total_s, cut_id, why = min(in_time)
        return f"{message}, or the constraint that forbids cut {cut_id} with {format_time(total_s)} ({why})"

    def _nothing_allowed(self, has_cloud: bool) -> str:
        if not self._all:
            side = (
                "the profiles of both sides share no cut"
                if has_cloud
                else "without a cloud only the last cut is possible"
            )
            return f"no cut can be planned: {side}; profile the last cut, or another on both sides"
        reasons = sorted({why for _, why in self._all if why}) or ["all that was profiled can only be forced"]
        return f"no plan satisfies the constraints; relax one of: {'; '.join(reasons)}"


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
