"""`oracle`: cuts measured for real at each link and device, and how far every choice stays behind the best.

At six points, spread over the grid, every cut is measured with every codec; elsewhere the extremes, the predicted best
eight, four at random, the cuts predicted to serve best as the only one, and what the rivals choose. The winner is
picked on the even turns and everything is scored on the odd. An arm that is far behind is given up after a turn or two.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from suture_models.accuracy import read_accuracy
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.types import Choice, LinkEstimate
from suture_simulators.experiments.oracle_arms import (
    FULL,
    QUICK,
    Coverage,
    Situation,
    arms_at,
    best_arms,
    cut_of,
    rival_cuts,
    single_cuts,
    situation_of,
)
from suture_simulators.experiments.oracle_scores import expected_turns, still_in
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.sampling import sample_of
from suture_simulators.experiments.station import WARM_UPS
from suture_simulators.experiments.types import Grid, Point, Record, Settings

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

#: An arm that is predicted to take so many times as long as the best need not be measured again, if its prediction was
#: found to be within this share at a faster rate of the same device.
_HOPELESS: Final = 4.0
_TRUST: Final = 0.25
#: A sample takes so much longer than the time to result, by what the emulated device does around it.
_AROUND_SAMPLE: Final = 1.2
#: Connecting and warming up, beside what the warm-up sends.
_AROUND_POINT_S: Final = 1.5


class Oracle(Reported):
    """See the module."""

    name = "oracle"
    title = "Is the planned cut the best one? Every choice against measured cuts"
    report = "suture_simulators.experiments.oracle_report"

    def __init__(self) -> None:
        """Nothing is known yet."""
        #: (network, device, arm) whose prediction was found to hold.
        self._trusted: set[tuple[str, str, str]] = set()
        self._situations: dict[tuple[str, str], Situation] = {}
        self._single_cuts: dict[str, list[str]] = {}

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`."""
        if quick:
            return Grid(rates_bps=(2e6, 20e6), rtts_s=(0.04,), devices=("8",), samples=4, replays=False)
        rates_bps = (0.5e6, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6)
        devices = ("pi-4", "pi-3b-plus", "pi-zero-2")
        return Grid(rates_bps=rates_bps, rtts_s=(0.01, 0.04), devices=devices, samples=6, replays=False)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; a network's images take turns over its points."""
        rates_bps = sorted(settings.rates_bps, reverse=True)  # what is known of an arm then saves the slow ones time
        links = [(rtt_s, rate_bps) for rtt_s in settings.rtts_s for rate_bps in rates_bps]
        return [
            Point(
                network=network,
                device=device.name,
                rate_bps=rate_bps,
                rtt_s=rtt_s,
                image=settings.image_at(network, place),
            )
            for device in settings.devices
            for network in settings.bundles
            for place, (rtt_s, rate_bps) in enumerate(links)
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`: from the predictions of the arms that will be measured."""
        link = LinkEstimate(bandwidth_bps=point.rate_bps, rtt_s=point.rtt_s)
        predicted = self._situation(point.network, point.device, bench, settings).predictions(link)
        ends = {INPUT_CUT, LAST_CUT}
        arms = [
            arm
            for arm in self._arms(point, predicted, settings, [])
            if cut_of(arm) in ends or not hopeless(arm, predicted) or point.rate_bps == max(settings.rates_bps)
        ]
        times_s = {arm: predicted[arm].steps.total_s for arm in arms}
        least_s = min(times_s.values())
        turns = {arm: expected_turns(time_s / least_s, settings.samples) for arm, time_s in times_s.items()}
        sampling_s = sum(turns[arm] * time_s for arm, time_s in times_s.items())
        raw_bits = 8 * bench.bundles[point.network].manifest.network.input.elements
        warm_up_s = WARM_UPS * (raw_bits / point.rate_bps + point.rtt_s)
        return _AROUND_POINT_S + warm_up_s + _AROUND_SAMPLE * sampling_s

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        here = self._situation(point.network, point.device, bench, settings)
        self._warm(point, bench, settings)
        link = bench.link_estimate()
        predicted = here.predictions(link)
        plan = here.planner.choose(link)
        rivals = rival_cuts(here, predicted, link)
        singles = self._singles(point, bench, settings)
        always = [plan.cut_id, *rivals.values(), *singles]
        arms = self._arms(point, predicted, settings, always)
        known = set() if self._exhaustive(point, settings) else self._known(point, predicted, arms, always)
        arms = [arm for arm in arms if arm not in known]
        best = best_arms(predicted)
        chosen = {"plan": _arm_of(plan, predicted, best), **{rule: best[cut] for rule, cut in rivals.items()}}
        arms += [arm for arm in dict.fromkeys(chosen.values()) if arm not in arms]
        bench.ask("prepare", cuts=list(dict.fromkeys(map(cut_of, arms))))
        self._sample(point, bench, record, settings, predicted, arms, frozenset(chosen.values()))
        return {
            "exhaustive": self._exhaustive(point, settings),
            "known_hopeless": sorted(known),
            "chosen": chosen,
            "predicted": {arm: _prediction(choice) for arm, choice in predicted.items()},
            "link": asdict(link),
        }

    def _arms(
        self, point: Point, predicted: Mapping[str, Choice], settings: Settings, always: Sequence[str]
    ) -> list[str]:
        """The arms to measure; those at random are the same at all points of a network."""
        covered = coverage(settings)
        return arms_at(
            predicted,
            covered,
            exhaustive=self._exhaustive(point, settings),
            always=always,
            draw=random.Random(f"{settings.seed}/{point.network}"),
        )

    def _warm(self, point: Point, bench: Bench, settings: Settings) -> None:
        """Builds tails that this run has not used yet; any link to the cloud serves for that, so a fast one does."""
        link = LinkEstimate(bandwidth_bps=point.rate_bps, rtt_s=point.rtt_s)
        predicted = self._situation(point.network, point.device, bench, settings).predictions(link)
        arms = self._arms(point, predicted, settings, self._singles(point, bench, settings))
        bench.warm_tails(point, {cut_of(arm): predicted[arm].codec for arm in arms}, seed=settings.seed)

    def _exhaustive(self, point: Point, settings: Settings) -> bool:
        return point.key in exhaustive_keys(self.points(settings), coverage(settings).exhaustive_points)

    def _known(
        self, point: Point, predicted: Mapping[str, Choice], arms: Sequence[str], always: Sequence[str]
    ) -> set[str]:
        """The arms that need no measuring: hopeless by a prediction that was found to hold on this device."""
        wanted = {INPUT_CUT, LAST_CUT, *always}
        return {
            arm
            for arm in arms
            if cut_of(arm) not in wanted
            and hopeless(arm, predicted)
            and (point.network, point.device, arm) in self._trusted
        }

    def _singles(self, point: Point, bench: Bench, settings: Settings) -> list[str]:
        """The cuts that are predicted to serve best as the only one over all the network's links."""
        if point.network in self._single_cuts:
            return self._single_cuts[point.network]
        links = [LinkEstimate(bandwidth_bps=r, rtt_s=d) for r in settings.rates_bps for d in settings.rtts_s]
        found = self._single_cuts[point.network] = single_cuts(
            [self._situation(point.network, device.name, bench, settings) for device in settings.devices], links
        )
        return found

    def _situation(self, network: str, device: str, bench: Bench, settings: Settings) -> Situation:
        """What is known of a network on a device; made once."""
        if (network, device) not in self._situations:
            bundle, (edge, cloud) = bench.bundles[network], bench.profiles(network, device)
            self._situations[network, device] = situation_of(
                bundle.manifest,
                edge,
                cloud,
                accuracy=read_accuracy(bundle),
                accuracy_budget=settings.accuracy_budget,
            )
        return self._situations[network, device]

    def _sample(
        self,
        point: Point,
        bench: Bench,
        record: Record,
        settings: Settings,
        predicted: Mapping[str, Choice],
        arms: Sequence[str],
        chosen: frozenset[str],
    ) -> None:
        """Turns, each with one sample of every arm that is still in, in a random order."""
        shuffler = random.Random(f"{settings.seed}/{point.key}/order")
        turns: dict[str, dict[int, float]] = {arm: {} for arm in arms}
        clock = bench.clock()
        for arm in arms:  # those that only the measured link brought in
            if not bench.is_warm(point.network, cut_of(arm)):
                bench.ask("infer", cut=cut_of(arm), codec=predicted[arm].codec)
        for turn in range(settings.samples):
            left = still_in(turns, turn, chosen)
            for arm in shuffler.sample(left, len(left)):
                at_s = clock()
                found = bench.ask("infer", cut=cut_of(arm), codec=predicted[arm].codec)
                turns[arm][turn] = found["total_s"]
                expected_s = predicted[arm].steps.total_s + bench.before_s()
                if abs(found["total_s"] / expected_s - 1) <= _TRUST:
                    self._trusted.add((point.network, point.device, arm))
                record(sample_of(found, point, arm, turn, at_s))


def hopeless(arm: str, predicted: Mapping[str, Choice]) -> bool:
    """Whether an arm is predicted to take that much longer than the best that no error of a prediction explains it."""
    least_s = min(choice.steps.total_s for choice in predicted.values())
    return predicted[arm].steps.total_s > _HOPELESS * least_s


def coverage(settings: Settings) -> Coverage:
    """What a run measures."""
    return QUICK if settings.quick else FULL


def exhaustive_keys(points: Sequence[Point], wanted: int) -> frozenset[str]:
    """The points at which every arm is measured: evenly spread over the grid, both ends included."""
    count = min(wanted, len(points))
    places = [round(i * (len(points) - 1) / max(count - 1, 1)) for i in range(count)]
    return frozenset(points[place].key for place in places)


def _arm_of(plan: Choice, predicted: Mapping[str, Choice], best: Mapping[str, str]) -> str:
    """The arm of a plan's cut and codec."""
    same = [arm for arm, c in predicted.items() if (c.cut_id, c.codec) == (plan.cut_id, plan.codec)]
    return same[0] if same else best[plan.cut_id]


def _prediction(choice: Choice) -> dict[str, Any]:
    return {
        "cut": choice.cut_id,
        "codec": choice.codec,
        "payload_bytes": choice.payload_bytes,
        "total_s": choice.steps.total_s,
        "steps_s": {name.removesuffix("_s"): value for name, value in asdict(choice.steps).items()},
    }
