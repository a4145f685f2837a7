"""`codec`: what crosses each cut, coded in every way there is: how many bytes, in what time, at what cost in answers.

No link is emulated and no device: heads, codecs and tails run in this process, one thread, and what they mean for a
link is arithmetic over sizes and times. Parts, by scenario:

- `sizes at CUT`: every codec that the bundle offers at a candidate cut, on some images, against reference coders.
- `answers at the input`: the float network on the image as JPEG and WebP leave it, down to their lowest qualities.
- `answers at favourite N`: INT8 head, codec and float tail on all images, at the deep cuts that plans prefer.

Of a bundle with a learned bottleneck only the cut behind its encoder is measured, and its answers are held against the
network that it was made for, whose bundle has to be there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import LAST_CUT, Cut, Manifest
from suture_protocol.errors import BundleError, UsageError
from suture_simulators.experiments.codec_answers import measure_cut, measure_input
from suture_simulators.experiments.codec_desk import Desk
from suture_simulators.experiments.codec_favourites import DEEP, favourites
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
_BOTTLENECK: Final = "the bottleneck"
#: What such a bundle's `built_with` names, and how its network's name ends.
_MADE_FROM: Final = "bottleneck_sha256"
_SUFFIX: Final = "_bottleneck"


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
            tables=True,
        )

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; of one network, and bottlenecks made for it, to be quick."""
        found = []
        for network, path in settings.bundles.items():
            bundle = open_bundle(path)
            if (base := base_of(bundle, settings)) is not None:
                parts = [f"{SIZES}{code_cut(bundle.manifest).id}", f"{ANSWERS}{_BOTTLENECK}"]
            else:
                cuts = candidate_cuts(bundle.manifest)
                count = min(_QUICK_FAVOURITES if settings.quick else FAVOURITES, len(deep_cuts(cuts)))
                parts = [f"{SIZES}{cut.id}" for cut in cuts] + [f"{ANSWERS}{_INPUT}"]
                parts += [f"{ANSWERS}{_FAVOURITE}{place + 1}" for place in range(count)]
            first = next(iter(settings.bundles))
            if not settings.quick or first in (network, base):
                found += [
                    Point(network=network, device=_HERE, rate_bps=0.0, rtt_s=0.0, scenario=part) for part in parts
                ]
        return found

    def expect_s(self, point: Point, settings: Settings) -> float:
        """See `LocalExperiment.expect_s`: rough, of a MobileNetV2."""
        if point.scenario.startswith(SIZES):
            return 1.0 if settings.quick else 4.0
        return len(settings.images_of(point.network)) * (0.3 if point.scenario.endswith(_INPUT) else 0.1)

    def measure(self, point: Point, bundle: Bundle, record: Record, earlier: Results, settings: Settings) -> Notes:
        """See `LocalExperiment.measure`."""
        base = base_of(bundle, settings)
        if self._desk is None or self._desk.bundle.digest != bundle.digest:
            names = settings.images_of(base or point.network)
            self._desk = Desk(bundle, names, settings, None if base is None else open_bundle(settings.bundles[base]))
        desk = self._desk
        if point.scenario.startswith(SIZES):
            images = spread(range(len(desk.inputs)), _QUICK_SIZED if settings.quick else SIZED)
            cut = bundle.cut(point.scenario.removeprefix(SIZES))
            turns = settings.samples
            return measure_sizes(desk, cut, point, record, images=images, turns=turns, base=base or "")
        what = point.scenario.removeprefix(ANSWERS)
        if what == _INPUT:
            return measure_input(desk, point, record, quick=settings.quick)
        if base is not None:
            return measure_cut(desk, code_cut(bundle.manifest), point, record, base=base)
        chosen, place = favourites(earlier, point.network, settings), int(what.removeprefix(_FAVOURITE))
        if place > len(chosen):  # the sizes of a deep cut could not be measured
            raise UsageError(f"{point.network} has no {what}: {len(chosen)} deep cuts were measured")
        return measure_cut(desk, bundle.cut(chosen[place - 1]), point, record)


def base_of(bundle: Bundle, settings: Settings) -> str | None:
    """The run's name for the network that a bundle's bottleneck was made for; None for a bundle without one.

    Raises:
        UsageError: the run does not have that network.
    """
    if _MADE_FROM not in bundle.manifest.built_with:
        return None
    wanted = bundle.manifest.network.name.removesuffix(_SUFFIX)
    if wanted in settings.bundles:
        return wanted
    raise UsageError(
        f"{bundle.path} has a bottleneck, whose answers are held against {wanted}; give --network {wanted} as well"
    )


def code_cut(manifest: Manifest) -> Cut:
    """The cut behind a bottleneck's encoder: what crosses there was rounded to whole numbers.

    Raises:
        BundleError: there is none.
    """
    rounded = {node.name for node in manifest.graph if node.op.startswith("aten.round")}
    for cut in manifest.cuts:
        if cut.id in rounded:
            return cut
    raise BundleError(f"bundle {manifest.network.name} says it has a bottleneck, and no cut behind one; build it again")


def deep_cuts(cuts: Sequence[Cut]) -> list[Cut]:
    """Those of some cuts that `favourites` chooses among: behind `DEEP` of the work, or all inner ones."""
    inner = [cut for cut in cuts if cut.index]
    return [cut for cut in inner if cut.head_macs >= DEEP * max(cut.head_macs + cut.tail_macs, 1)] or inner


def candidate_cuts(manifest: Manifest) -> list[Cut]:
    """The cuts at which something crosses and that a plan may choose."""
    return [cut for cut in manifest.cuts if cut.candidate and cut.id != LAST_CUT]
