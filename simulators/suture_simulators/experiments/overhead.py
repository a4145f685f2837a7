"""`overhead`: time to a result against the physical bound, and what a series and an urgent image gain by the stream.

The bound of one image is its head, its bytes at the line's rate less what headers take, one round trip and its tail;
head and tail as they took in the same samples (and, for a second figure, as the profiles have them, in a loop without
waits), the round trip as a bare TCP handshake takes it on the same link before them. Codes are sent as they are
(`raw`), so that sizes are exact; copying them counts against us. Parts, by scenario:

- `warm`: one image after the other, at cuts whose payloads span the sizes, after a series that filled the line.
- `idle`: the same after five seconds of silence.
- `lossy`: the same with 1 % of packets lost at random, at the longest round trip.
- `series`: forty images by turns of those that are about as large as the first, read from their files, one by one and
  as a pipeline, on a line that takes as long for one as the slower side.
- `stat`: an urgent image on a link that is idle, and on one that routine images saturate; that again on a connection
  whose sockets are as the system makes them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from suture_edge.series import IN_FLIGHT
from suture_models.manifest import LAST_CUT, Cut, Manifest
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.sampling import sample_of
from suture_simulators.experiments.types import Grid, Point, Record, Sample, Settings
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE, LinkProfile

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

CODEC: Final = "raw"
#: From 10 KB to 1 MB; of a network's cuts, those nearest to them, which may be smaller.
SIZES_BYTES: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
IDLE_S: Final = 5.0
LOSS: Final = 0.01
SLICES: Final = 40
#: So many times the samples where packets are lost: whether one is, is chance, and half of the images lose one.
_LOSSY_TIMES: Final = 3
#: A cut whose samples took so long together gets no further ones at a point, once it has `_SAMPLES_MIN`.
_ARM_BUDGET_S: Final = 8.0
_SAMPLES_MIN: Final = 3
_SERIES_TURNS: Final = 3
#: By how much the files of one series' slices differ in size.
_ALIKE: Final = 0.1
_FILL_ROUND_TRIPS: Final = 10
_FILL_IMAGES_MIN: Final = 2
PARTS: Final = ("warm", "idle", "lossy", "stat", "series")


class Overhead(Reported):
    """See the module."""

    name = "overhead"
    title = "Time to result over the physical bound"
    report = "suture_simulators.experiments.overhead_report"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; the last device is the series' one, the first all others'."""
        if quick:
            return Grid(rates_bps=(10e6,), rtts_s=(0.04,), devices=("1", "16"), samples=4, replays=False)
        rates_bps = tuple(1e6 * rate for rate in (2, 10, 50, 100))
        return Grid(
            rates_bps=rates_bps, rtts_s=(0.01, 0.04, 0.1), devices=("1", "16"), samples=9, images=SLICES, replays=False
        )

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; all but `warm` are at one rate and round trip; to be quick, of one network.

        A series is at the shortest round trip: it is paid once for all images, and they are only forty.
        """
        networks = list(settings.bundles)[:1] if settings.quick else list(settings.bundles)
        rates_bps, rtts_s = settings.rates_bps, settings.rtts_s
        rate_bps, rtt_s = rates_bps[len(rates_bps) // 2], rtts_s[len(rtts_s) // 2]
        first, last = settings.devices[0].name, settings.devices[-1].name
        found = []
        for network in networks:
            image = settings.image_at(network, 0)
            for other_s in rtts_s:
                found += [_point(network, first, rate, other_s, image, "warm") for rate in rates_bps]
            found += [_point(network, first, rate_bps, rtt_s, image, part) for part in ("idle", "stat")]
            found.append(_point(network, first, rate_bps, max(rtts_s), image, "lossy"))
        found += [_point(n, last, rate_bps, min(rtts_s), settings.image_at(n, 0), "series") for n in networks]
        return found

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`."""
        edge, cloud = bench.profiles(point.network, point.device)
        if point.scenario == "series":
            cut, stage_s = _balanced(point, bench)
            return 3.0 + _turns(settings) * SLICES * (1.5 * stage_s + _alone_s(cut, point, bench))
        total_s = 3.0
        for cut in _cuts(point, bench, settings):
            one_s = edge.cuts[cut.id].compute_s + cloud.cuts[cut.id].compute_s
            one_s += point.rtt_s + 8 * cut.bytes_codes / (point.rate_bps * TCP_PAYLOAD_SHARE)
            one_s += IDLE_S if point.scenario == "idle" else 0.0
            total_s += max(min(_samples(point, settings) * one_s, _ARM_BUDGET_S), _SAMPLES_MIN * one_s)
        return total_s

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        parts = {"series": _series, "stat": _stat}
        return parts.get(point.scenario, _singles)(point, bench, record, settings)


def sized_cuts(manifest: Manifest) -> list[Cut]:
    """The candidate cuts whose payloads are nearest to `SIZES_BYTES`, smallest first."""
    cuts = [cut for cut in manifest.cuts if cut.candidate and cut.id != LAST_CUT]
    nearest = {min(cuts, key=lambda cut: abs(cut.bytes_codes / size - 1)).id for size in SIZES_BYTES}
    return sorted((cut for cut in cuts if cut.id in nearest), key=lambda cut: cut.bytes_codes)


def bound_s(sample: Sample, rate_bps: float, rtt_s: float, sides_s: float | None = None) -> float:
    """The least time to the sample's result: head and tail, its bytes at the line's rate, a round trip.

    Head and tail as they took in the sample, but where `sides_s` says what they take together.
    """
    if sides_s is None:
        sides_s = sample.steps_s["head"] + sample.steps_s["tail"]
    return sides_s + rtt_s + 8 * sample.payload_bytes / (rate_bps * TCP_PAYLOAD_SHARE)


def _cuts(point: Point, bench: Bench, settings: Settings) -> list[Cut]:
    """Those that are sent at a point: all sizes, but where each takes silence, two of them, or one."""
    cuts = sized_cuts(bench.bundles[point.network].manifest)
    if point.scenario != "idle":
        return cuts
    return cuts[:1] if settings.quick else [cuts[min(1, len(cuts) - 1)], cuts[-1]]


def _point(network: str, device: str, rate_bps: float, rtt_s: float, image: str, part: str) -> Point:
    return Point(network=network, device=device, rate_bps=rate_bps, rtt_s=rtt_s, image=image, scenario=part)


def _singles(point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
    """One image after the other, at each of the sized cuts."""
    cuts = [cut.id for cut in _cuts(point, bench, settings)]
    bench.warm_tails(point, dict.fromkeys(cuts, CODEC), seed=settings.seed)
    bench.ask("prepare", cuts=cuts)
    rtt_s = bench.ask("round_trip")
    if point.scenario == "lossy":
        both = {"rate_bps": point.rate_bps, "delay_s": point.rtt_s / 2, "loss": LOSS}
        bench.set_link(LinkProfile.symmetric(seed=settings.seed, **both))
    spent_s: dict[str, float] = dict.fromkeys(cuts, 0.0)
    shuffler = random.Random(f"{settings.seed}/{point.key}")
    _fill_line(point, bench, cuts[-1])
    clock = bench.clock()
    for turn in range(_samples(point, settings)):
        for cut in shuffler.sample(cuts, len(cuts)):
            if turn >= _SAMPLES_MIN and spent_s[cut] > _ARM_BUDGET_S:
                continue
            if point.scenario == "idle":
                time.sleep(IDLE_S)
            sample = sample_of(bench.ask("infer", cut=cut, codec=CODEC), point, cut, turn, clock())
            record(sample)
            spent_s[cut] += sample.total_s + (IDLE_S if point.scenario == "idle" else 0.0)
    edge, cloud = bench.profiles(point.network, point.device)
    sides_s = {cut: edge.cuts[cut].compute_s + cloud.cuts[cut].compute_s for cut in cuts}
    return {"cuts": cuts, "rtt_s": rtt_s, "sides_s": sides_s}


def _samples(point: Point, settings: Settings) -> int:
    return settings.samples * (_LOSSY_TIMES if point.scenario == "lossy" and not settings.quick else 1)


def _fill_line(point: Point, bench: Bench, cut: str) -> None:
    """Images of the largest cut one on the heels of the other for ten round trips: only then does TCP know the line.

    Short requests alone never show it a rate above their size by a round trip, and it paces them by what it knows.
    """
    size = bench.bundles[point.network].manifest.cut(cut).bytes_codes
    count = max(_FILL_IMAGES_MIN, math.ceil(_FILL_ROUND_TRIPS * point.rtt_s * point.rate_bps / 8 / size))
    bench.ask("series", cut=cut, codec=CODEC, count=count, in_flight=IN_FLIGHT)


def _stat(point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
    """An urgent image at the cut nearest to 30 KB, alone and beside routine ones of the largest."""
    sized = sized_cuts(bench.bundles[point.network].manifest)
    cut, routine = sized[min(1, len(sized) - 1)].id, sized[-1].id
    bench.warm_tails(point, {cut: CODEC, routine: CODEC}, seed=settings.seed)
    bench.ask("prepare", cuts=[cut, routine])
    _fill_line(point, bench, routine)  # else the idle link is one whose rate TCP does not know
    answer = bench.ask("stat", cut=cut, routine=routine, codec=CODEC, count=max(settings.samples, _SAMPLES_MIN))
    for arm in ("idle", "busy", "untuned"):
        for turn, took in enumerate(answer[arm]):
            record(sample_of(took, point, arm, turn, 0.0))
    kept = {name: value for name, value in answer.items() if name.startswith("routine_")}
    return {"cut": cut, "routine": routine, **kept}


def _series(point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
    """Images one by one and as a pipeline, in turns, on the balanced line."""
    cut, stage_s = _balanced(point, bench)
    bench.warm_tails(point, {cut.id: CODEC}, seed=settings.seed)
    bench.ask("prepare", cuts=[cut.id])
    rate_bps = 8 * cut.bytes_codes / (stage_s * TCP_PAYLOAD_SHARE)
    bench.hold(rate_bps=rate_bps, rtt_s=point.rtt_s, seed=settings.seed)
    images = _alike(point, settings)
    bench.ask("series", cut=cut.id, codec=CODEC, images=images, count=5, in_flight=IN_FLIGHT)
    for turn in range(_turns(settings)):
        for arm, in_flight in (("one_by_one", 1), ("pipeline", IN_FLIGHT)):
            found = bench.ask("series", cut=cut.id, codec=CODEC, images=images, count=SLICES, in_flight=in_flight)
            record(
                Sample(
                    point=point.key,
                    arm=arm,
                    turn=turn,
                    total_s=found["total_s"],
                    cut=cut.id,
                    codec=CODEC,
                    payload_bytes=found["payload_bytes"],
                    where="cloud",
                    steps_s=found["steps_s"],
                    extra={"slices": SLICES, "in_flight": in_flight, "rate_bps": rate_bps},
                )
            )
    return {"cut": cut.id, "rate_bps": rate_bps, "slices": SLICES}


def _alike(point: Point, settings: Settings) -> list[str]:
    """The images that may be slices of one series: those whose files are about as large as the point's."""
    if not settings.images[point.image].is_file():
        return [point.image]
    sizes = {name: settings.images[name].stat().st_size for name in settings.images_of(point.network)}
    return [name for name, size in sizes.items() if abs(size / sizes[point.image] - 1) <= _ALIKE]


def _balanced(point: Point, bench: Bench) -> tuple[Cut, float]:
    """The inner cut whose two sides take most nearly the same by the profiles, and what the slower one takes."""
    edge, cloud = bench.profiles(point.network, point.device)
    found = []
    for cut in bench.bundles[point.network].manifest.cuts:
        if cut.index and cut.id in edge.cuts and cut.id in cloud.cuts and cut.id != LAST_CUT:
            sides = (edge.cuts[cut.id].compute_s, cloud.cuts[cut.id].compute_s)
            found.append((min(sides) / max(sides), max(sides), cut))
    _, stage_s, cut = max(found, key=lambda one: one[0])
    return cut, stage_s


def _alone_s(cut: Cut, point: Point, bench: Bench) -> float:
    edge, cloud = bench.profiles(point.network, point.device)
    both_s = edge.cuts[cut.id].compute_s + cloud.cuts[cut.id].compute_s
    return both_s + max(edge.cuts[cut.id].compute_s, cloud.cuts[cut.id].compute_s) + point.rtt_s


def _turns(settings: Settings) -> int:
    return 1 if settings.quick else _SERIES_TURNS
