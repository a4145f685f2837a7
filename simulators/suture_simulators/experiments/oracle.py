"""`oracle`: cuts measured for real at each link and device, and how far every choice stays behind the best.

At six points, spread over the grid, every candidate cut is measured; elsewhere the extremes, the predicted best eight,
four at random, and what the rivals choose. The winner is picked on the even turns and everything is scored on the odd.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.plan import Planner
from suture_partitioner.types import Choice, LinkEstimate
from suture_simulators.experiments.sampling import sample_of
from suture_simulators.experiments.types import Grid, Point, Record, Results, Settings

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench
    from suture_simulators.experiments.page import Section


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What is measured: at how many points every cut, elsewhere how many of the predicted best, how many at random."""

    exhaustive_points: int
    predicted_best: int
    at_random: int


FULL: Final = Coverage(exhaustive_points=6, predicted_best=8, at_random=4)
QUICK: Final = Coverage(exhaustive_points=1, predicted_best=3, at_random=1)


class Oracle:
    """See the module."""

    name = "oracle"
    title = "Is the planned cut the best one? Every choice against measured cuts"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`."""
        if quick:
            return Grid(rates_bps=(2e6, 20e6), rtts_s=(0.04,), devices=("8",), samples=4)
        rates_bps = (1e6, 5e6, 20e6, 100e6)
        return Grid(rates_bps=rates_bps, rtts_s=(0.04,), devices=("8", "32"), samples=8)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; the first image serves all, since what is compared are cuts."""
        image = next(iter(settings.images))
        return [
            Point(network=network, device=device.name, rate_bps=rate_bps, rtt_s=rtt_s, image=image)
            for device in settings.devices
            for network in settings.bundles
            for rtt_s in settings.rtts_s
            for rate_bps in settings.rates_bps
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`: the sum of the predictions of the cuts that will be measured."""
        link = LinkEstimate(bandwidth_bps=point.rate_bps, rtt_s=point.rtt_s)
        choices = predictions(point, bench, link)
        cuts = self._cuts(point, choices, settings, [])
        return (settings.samples + 1) * sum(choices[cut].steps.total_s for cut in cuts) + 0.3 * len(cuts) + 3.0

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        link = bench.link_estimate()
        chosen = chosen_cuts(point, bench, link)
        choices = predictions(point, bench, link)
        cuts = self._cuts(point, choices, settings, list(chosen.values()))
        bench.ask("prepare", cuts=cuts)
        for cut in cuts:
            bench.ask("infer", cut=cut, codec=choices[cut].codec)
        shuffler = random.Random(f"{settings.seed}/{point.key}/order")
        clock = bench.clock()
        for turn in range(settings.samples):
            for cut in shuffler.sample(cuts, len(cuts)):
                at_s = clock()
                found = bench.ask("infer", cut=cut, codec=choices[cut].codec)
                record(sample_of(found, point, cut, turn, at_s))
        return {
            "exhaustive": point.key in exhaustive_keys(self.points(settings), coverage(settings).exhaustive_points),
            "chosen": chosen,
            "predicted": {cut: _prediction(choice) for cut, choice in choices.items()},
            "link": asdict(link),
        }

    def figures(self, results: Results) -> dict[str, float]:
        """See `Experiment.figures`."""
        from suture_simulators.experiments.oracle_report import figures

        return figures(results)

    def table(self, results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """See `Experiment.table`."""
        from suture_simulators.experiments.oracle_report import table

        return table(results)

    def sections(self, results: Results) -> Sequence[Section]:
        """See `Experiment.sections`."""
        from suture_simulators.experiments.oracle_report import sections

        return sections(results)

    def _cuts(
        self, point: Point, choices: Mapping[str, Choice], settings: Settings, chosen: Sequence[str]
    ) -> list[str]:
        """The cuts to measure, in the order of the graph; those at random are the same at all points of a network."""
        covered = coverage(settings)
        if point.key in exhaustive_keys(self.points(settings), covered.exhaustive_points):
            return list(choices)
        ranked = sorted(choices, key=lambda cut: choices[cut].steps.total_s)
        at_random = random.Random(f"{settings.seed}/{point.network}").sample(list(choices), len(choices))
        wanted = {INPUT_CUT, LAST_CUT, *ranked[: covered.predicted_best], *chosen}
        wanted |= set([cut for cut in at_random if cut not in wanted][: covered.at_random])
        return [cut for cut in choices if cut in wanted]


def coverage(settings: Settings) -> Coverage:
    """What a run measures."""
    return QUICK if settings.quick else FULL


def exhaustive_keys(points: Sequence[Point], wanted: int) -> frozenset[str]:
    """The points at which every candidate is measured: evenly spread over the grid, both ends included."""
    count = min(wanted, len(points))
    places = [round(i * (len(points) - 1) / max(count - 1, 1)) for i in range(count)]
    return frozenset(points[place].key for place in places)


def predictions(point: Point, bench: Bench, link: LinkEstimate) -> dict[str, Choice]:
    """Cut → what the planner expects of it with its best codec, for every candidate, in the order of the graph."""
    edge, cloud = bench.profiles(point.network, point.device)
    manifest = bench.bundles[point.network].manifest
    planner = Planner(manifest, [edge], cloud)
    return {cut.id: planner.forced(cut.id, link) for cut in manifest.cuts if cut.candidate and cut.id in edge.cuts}


def chosen_cuts(point: Point, bench: Bench, link: LinkEstimate) -> dict[str, str]:
    """Who chooses → the cut that is chosen: the plan, Neurosurgeon's rule and a min-cut in the manner of DADS."""
    from suture_simulators.experiments.rivals.dads import dads_cut
    from suture_simulators.experiments.rivals.neurosurgeon import neurosurgeon_cut

    edge, cloud = bench.profiles(point.network, point.device)
    manifest = bench.bundles[point.network].manifest
    return {
        "plan": Planner(manifest, [edge], cloud).choose(link).cut_id,
        "neurosurgeon": neurosurgeon_cut(manifest, edge, cloud, link),
        "dads": dads_cut(manifest, edge, cloud, link),
    }


def _prediction(choice: Choice) -> dict[str, Any]:
    return {
        "codec": choice.codec,
        "payload_bytes": choice.payload_bytes,
        "total_s": choice.steps.total_s,
        "steps_s": {name.removesuffix("_s"): value for name, value in asdict(choice.steps).items()},
    }
