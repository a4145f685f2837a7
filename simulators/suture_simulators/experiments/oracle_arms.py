"""What the oracle measures at a point: which cuts, each with which codecs; and what the rivals' rules choose there.

An arm is a cut with a codec. Everything here is arithmetic over profiles and an estimate of the link.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from suture_models.accuracy import Accuracy
from suture_models.manifest import INPUT_CUT, LAST_CUT, Manifest
from suture_partitioner.plan import Planner
from suture_partitioner.types import Choice, Constraints, CutTiming, LinkEstimate, Profile
from suture_simulators.experiments.oracle_scores import p95


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What is measured: at how many points every cut, elsewhere how many of the predicted best, how many at random.

    The `every_codec` best cuts are measured with every codec that is allowed, the others with the one predicted best.
    """

    exhaustive_points: int
    predicted_best: int
    at_random: int
    every_codec: int


FULL: Final = Coverage(exhaustive_points=6, predicted_best=8, at_random=4, every_codec=2)
QUICK: Final = Coverage(exhaustive_points=1, predicted_best=3, at_random=1, every_codec=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """A network with both sides' profiles, as a unit with one engine has them, and the product's planner over these."""

    manifest: Manifest
    edge: Profile
    cloud: Profile
    planner: Planner

    def predictions(self, link: LinkEstimate) -> dict[str, Choice]:
        """Arm → what is predicted of it on a link of just that rate, for all that a plan may choose, shallow first."""
        plan = self.planner.plan(replace(link, spread_bps=0.0, spread_s=0.0, stall_s=0.0))
        allowed = [choice for choice in (plan.chosen, *plan.rejected) if not choice.broken]
        place = {cut.id: cut.index for cut in self.manifest.cuts if cut.candidate}
        listed = sorted((c for c in allowed if c.cut_id in place), key=lambda c: (place[c.cut_id], c.codec))
        return {arm_name(choice.cut_id, choice.codec): choice for choice in listed}


def situation_of(
    manifest: Manifest,
    edge: Profile,
    cloud: Profile,
    *,
    accuracy: Accuracy | None = None,
    accuracy_budget: float | None = None,
) -> Situation:
    """What is known of a network on a device.

    Args:
        manifest: The bundle's.
        edge: The unit's profile.
        cloud: The cloud's.
        accuracy: What the bundle's annotations say.
        accuracy_budget: Admits narrowed codes by that, as `Constraints.accuracy_budget` does; for the rivals as well.
    """
    planner = Planner(manifest, [edge], cloud, Constraints(accuracy_budget=accuracy_budget), accuracy=accuracy)
    return Situation(manifest=manifest, edge=edge, cloud=cloud, planner=planner)


def arm_name(cut_id: str, codec: str) -> str:
    """As samples have it: `relu_6 zstd`; the last cut sends nothing."""
    return cut_id if cut_id == LAST_CUT else f"{cut_id} {codec}"


def cut_of(arm: str) -> str:
    """The cut of an arm."""
    return arm.partition(" ")[0]


def best_arms(predicted: Mapping[str, Choice]) -> dict[str, str]:
    """Cut → its arm that is predicted fastest, the fastest cut first."""
    ranked = sorted(predicted, key=lambda arm: predicted[arm].steps.total_s)
    found: dict[str, str] = {}
    for arm in ranked:
        found.setdefault(cut_of(arm), arm)
    return found


def arms_at(
    predicted: Mapping[str, Choice],
    covered: Coverage,
    *,
    exhaustive: bool,
    always: Iterable[str],
    draw: random.Random,
) -> list[str]:
    """The arms to measure, in the order of `predicted`.

    Args:
        predicted: All arms, as `Situation.predictions` has them.
        covered: How much is measured.
        exhaustive: Every arm.
        always: Cuts that are measured in any case.
        draw: Draws the cuts at random; the same draw gives the same cuts.
    """
    if exhaustive:
        return list(predicted)
    best = best_arms(predicted)
    ranked = list(best)
    cuts = list(dict.fromkeys(map(cut_of, predicted)))
    drawn = draw.sample(cuts, len(cuts))
    wanted = {INPUT_CUT, LAST_CUT, *ranked[: covered.predicted_best], *always} & set(cuts)
    wanted |= set([cut for cut in drawn if cut not in wanted][: covered.at_random])
    every = set(ranked[: covered.every_codec])
    return [arm for arm in predicted if cut_of(arm) in every or (cut_of(arm) in wanted and best[cut_of(arm)] == arm)]


def rival_cuts(situation: Situation, predicted: Mapping[str, Choice], link: LinkEstimate) -> dict[str, str]:
    """Rule → the cut that it takes, given our profiles with just the codecs that a plan may choose."""
    from suture_simulators.experiments.rivals.dads import dads_cut
    from suture_simulators.experiments.rivals.neurosurgeon import neurosurgeon_cut

    edge, cloud = (_with_codecs(profile, predicted) for profile in (situation.edge, situation.cloud))
    return {
        "neurosurgeon": neurosurgeon_cut(situation.manifest, edge, cloud, link),
        "dads": dads_cut(situation.manifest, edge, cloud, link),
    }


def single_cuts(situations: Sequence[Situation], links: Sequence[LinkEstimate]) -> list[str]:
    """The cuts that are predicted to serve best as the only one: over all devices, and on each.

    They are measured everywhere, so that the best single cut is not held back by a cut that nobody measured.
    """
    tables = [[_by_cut(situation.predictions(link)) for link in links] for situation in situations]
    everywhere = [times for table in tables for times in table]
    return list(dict.fromkeys(_least_p95(table) for table in (everywhere, *tables)))


def _by_cut(predicted: Mapping[str, Choice]) -> dict[str, float]:
    return {cut: predicted[arm].steps.total_s for cut, arm in best_arms(predicted).items()}


def _least_p95(table: Sequence[Mapping[str, float]]) -> str:
    common = set.intersection(*(set(times) for times in table))
    regrets = {cut: p95([times[cut] / min(times.values()) - 1 for times in table]) for cut in sorted(common)}
    return min(regrets, key=regrets.__getitem__)


def _with_codecs(profile: Profile, predicted: Mapping[str, Choice]) -> Profile:
    """A profile that knows no other codecs at each cut than those of the arms."""
    allowed: dict[str, set[str]] = {}
    for choice in predicted.values():
        allowed.setdefault(choice.cut_id, set()).add(choice.codec)

    def kept(cut_id: str, timing: CutTiming) -> CutTiming:
        names = allowed.get(cut_id, set())
        return replace(
            timing,
            codec_s={name: spent_s for name, spent_s in timing.codec_s.items() if name in names},
            payload_bytes={name: size for name, size in timing.payload_bytes.items() if name in names},
        )

    return replace(profile, cuts={cut_id: kept(cut_id, timing) for cut_id, timing in profile.cuts.items()})
