"""`codec`: what crosses each cut, coded in every way there is: how many bytes, in what time, at what cost in answers.

No link is emulated and no device: heads, codecs and tails run in this process, one thread, and what they mean for a
link is arithmetic over sizes and times. Parts, by scenario:

- `sizes at CUT`: every codec that the bundle offers at a candidate cut, on some images, against reference coders.
- `answers at the input`: the float network on the image as JPEG and WebP leave it, down to their lowest qualities.
- `answers at favourite N`: INT8 head, codec and float tail on all images, at the deep cuts that plans prefer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import LAST_CUT, Cut, Manifest
from suture_simulators.experiments.codec_answers import measure_cut, measure_input
from suture_simulators.experiments.codec_desk import Desk
from suture_simulators.experiments.codec_favourites import favourites
from suture_simulators.experiments.codec_sizes import measure_sizes
from suture_simulators.experiments.pictures import spread
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.types import Grid, Notes, Point, Record, Results, Settings

SIZES: Final = "sizes at "
ANSWERS: Final = "answers at "
_INPUT: Final = "the input"
_FAVOURITE: Final = "favourite "
#: Deep cuts whose answers are measured.
FAVOURITES: Final = 4
#: Images that sizes and times are measured on.
SIZED: Final = 16
_QUICK_FAVOURITES: Final = 2
_QUICK_SIZED: Final = 4
_HERE: Final = "this machine"


class Codecs(Reported):
    """See the module."""

    name = "codec"
    title = "Size, time and accuracy of what crosses a cut"
    report = "suture_simulators.experiments.codec_report"
    provenance: Mapping[str, Sequence[str]] = {
        "emulated": [
            "No link and no device was emulated: what sizes and times mean on a link of some rate, or on a unit some "
            "times slower, is arithmetic.",
        ],
        "real": [
            "Heads ran in INT8 on the unit's engine, every codec coded and decoded real codes, tails ran in float32. "
            "Lossless codecs were compared bit by bit on every image.",
        ],
    }

    def __init__(self) -> None:
        """Prepares; a network's images are read with its first point."""
        self._desk: Desk | None = None

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; rates and devices are those that favourites are chosen for."""
        rates_bps = tuple(1e6 * rate for rate in (1, 2, 5, 10, 20, 50, 100))
        return Grid(
            rates_bps=rates_bps,
            rtts_s=(0.04,),
            devices=("1", "4", "16"),
            samples=3 if quick else 9,
            replays=False,
            images=24 if quick else 400,
        )

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; of one network to be quick."""
        networks = list(settings.bundles)[:1] if settings.quick else list(settings.bundles)
        found = []
        for network in networks:
            cuts = candidate_cuts(open_bundle(settings.bundles[network]).manifest)
            parts = [f"{SIZES}{cut.id}" for cut in cuts] + [f"{ANSWERS}{_INPUT}"]
            count = min(_QUICK_FAVOURITES if settings.quick else FAVOURITES, len(cuts) - 1)
            parts += [f"{ANSWERS}{_FAVOURITE}{place + 1}" for place in range(count)]
            found += [Point(network=network, device=_HERE, rate_bps=0.0, rtt_s=0.0, scenario=part) for part in parts]
        return found

    def expect_s(self, point: Point, settings: Settings) -> float:
        """See `LocalExperiment.expect_s`: rough, of a MobileNetV2."""
        if point.scenario.startswith(SIZES):
            return 1.0 if settings.quick else 4.0
        return len(settings.images_of(point.network)) * (0.3 if point.scenario.endswith(_INPUT) else 0.1)

    def measure(self, point: Point, bundle: Bundle, record: Record, earlier: Results, settings: Settings) -> Notes:
        """See `LocalExperiment.measure`."""
        if self._desk is None or self._desk.bundle.digest != bundle.digest:
            self._desk = Desk(bundle, settings)
        desk = self._desk
        kind, _, what = point.scenario.partition(" at ")
        if kind == SIZES.partition(" ")[0]:
            images = spread(range(len(desk.inputs)), _QUICK_SIZED if settings.quick else SIZED)
            cut = bundle.cut(what)
            return measure_sizes(desk, cut, point, record, images=images, turns=settings.samples)
        if what == _INPUT:
            return measure_input(desk, point, record)
        chosen = favourites(earlier, point.network, settings)[int(what.removeprefix(_FAVOURITE)) - 1]
        return measure_cut(desk, bundle.cut(chosen), point, record)


def candidate_cuts(manifest: Manifest) -> list[Cut]:
    """The cuts at which something crosses and that a plan may choose."""
    return [cut for cut in manifest.cuts if cut.candidate and cut.id != LAST_CUT]
