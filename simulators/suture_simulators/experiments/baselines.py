"""`baselines`: time to a result of the planned split against every other way, over links and networks."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from suture_edge.settings import AUTO
from suture_models.manifest import INPUT_CUT, LAST_CUT, Manifest
from suture_partitioner.plan import Planner
from suture_partitioner.types import LinkEstimate
from suture_protocol.codecs import jpegxl
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import UsageError
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.sampling import sample_of
from suture_simulators.experiments.types import Grid, Point, Record, Results, Sample, Settings

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

SPLIT: Final = "split"
DICOM: Final = "dicom_upload"
IMAGE: Final = "image_upload"
EDGE: Final = "edge_only"
#: A way whose samples took this long together at one point gets no further ones, once it has `_SAMPLES_MIN`.
_ARM_BUDGET_S: Final = 6.0
_SAMPLES_MIN: Final = 2
#: A way that takes longer than this is not warmed up: slow start is nothing beside it.
_WARM_UP_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A way to a result. `codec` is that of the image which is sent; empty where none is.

    Attributes:
        lossless: Whether the network sees the image as it is.
    """

    name: str
    title: str
    what: str
    command: str = "infer"
    codec: str = ""
    config: Mapping[str, str] | None = None
    lossless: bool = True


ARMS: Final[tuple[Arm, ...]] = (
    Arm(name=SPLIT, title="split as planned", what="head on the unit at the planned cut, tail in the cloud"),
    Arm(name=DICOM, title="file upload", what="the file as it is; the cloud does everything", command="send_file"),
    Arm(
        name=IMAGE,
        title="lossless image",
        what="read and preprocessed on the unit, sent as JPEG-LS (lossless)",
        codec="jpegls",
    ),
    Arm(
        name="jpegxl_upload",
        title="JPEG XL lossless",
        what="read and preprocessed on the unit, sent as lossless JPEG XL",
        codec="jpegxl",
    ),
    Arm(
        name="jpeg_upload",
        title="JPEG 95",
        what="read and preprocessed on the unit, sent as JPEG quality 95 (lossy)",
        codec="jpeg",
        config={"quality": "95"},
        lossless=False,
    ),
    Arm(
        name="webp_upload",
        title="WebP 90",
        what="read and preprocessed on the unit, sent as WebP quality 90 (lossy)",
        codec="webp",
        config={"quality": "90"},
        lossless=False,
    ),
    Arm(
        name=EDGE,
        title="edge only",
        what="everything on the unit, on the fastest engine and precision there; nothing sent",
        command="alone",
    ),
)


def arms_for(manifest: Manifest) -> tuple[Arm, ...]:
    """The ways that a network's input can go: the codecs of eight bits take no deeper images."""
    spec = manifest.network.input
    return tuple(arm for arm in ARMS if not arm.codec or get_codec(arm.codec).accepts(spec.shape, spec.dtype))


class Baselines(Reported):
    """See the module."""

    name = "baselines"
    title = "Time to result: split against every other way"
    report = "suture_simulators.experiments.baselines_report"

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`."""
        if quick:
            return Grid(rates_bps=(2e6, 20e6), rtts_s=(0.04,), devices=("8",), samples=3, replays=False)
        rates_bps = tuple(1e6 * rate for rate in (1, 5, 20, 50, 200))
        return Grid(rates_bps=rates_bps, rtts_s=(0.01, 0.05), devices=("8", "32"), samples=5, replays=False)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`.

        Raises:
            CapabilityMissing: a rival's codec is not installed.
            UsageError: an image is a volume, of which there is no one file to send.
        """
        jpegxl.library()
        for name, path in settings.images.items():
            if path.is_dir():
                raise UsageError(f"{name} is a volume; baselines compares ways to send one file, so give images")
        return [
            Point(network=network, device=device.name, rate_bps=rate_bps, rtt_s=rtt_s, image=image)
            for device in settings.devices
            for network in settings.bundles
            for image in settings.images_of(network)
            for rtt_s in settings.rtts_s
            for rate_bps in settings.rates_bps
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`: the plan's time stands for each way, the file by its size."""
        edge, cloud = bench.profiles(point.network, point.device)
        manifest = bench.bundles[point.network].manifest
        link = LinkEstimate(bandwidth_bps=point.rate_bps, rtt_s=point.rtt_s)
        planner = Planner(manifest, [edge], cloud)
        file_s = 8 * settings.images[point.image].stat().st_size / point.rate_bps + point.rtt_s
        image_s = planner.forced(INPUT_CUT, link).steps.total_s
        each = [planner.choose(link).steps.total_s, file_s, 4 * image_s, edge.cuts[LAST_CUT].compute_s]
        turns = [max(min(settings.samples * one_s, _ARM_BUDGET_S), _SAMPLES_MIN * one_s) for one_s in each]
        return sum(turns) + 3 * image_s + 3.0

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        manifest = bench.bundles[point.network].manifest
        arms = arms_for(manifest)
        local = bench.ask("local")
        plan = bench.ask("plan")
        bench.ask("prepare", cuts=[plan["chosen"]["cut_id"], *plan["next"]])
        file_s = 8 * settings.images[point.image].stat().st_size / point.rate_bps
        for arm in arms:
            if arm.command != "send_file" or file_s < _WARM_UP_S:
                _ask(bench, arm)
        spent_s: dict[str, list[float]] = {arm.name: [] for arm in arms}
        shuffler = random.Random(f"{settings.seed}/{point.key}")
        clock = bench.clock()
        for turn in range(settings.samples):
            # In a new order each time, so that no way always follows the one that leaves TCP's window wide open.
            for arm in shuffler.sample(arms, len(arms)):
                spent = spent_s[arm.name]
                if len(spent) >= _SAMPLES_MIN and sum(spent) > _ARM_BUDGET_S:
                    continue
                sample = _take(bench, point, arm, turn, clock())
                record(sample)
                spent.append(sample.total_s)
        return {"local_engines": local, "plan": plan, "arms": [arm.name for arm in arms]}


def _ask(bench: Bench, arm: Arm) -> dict[str, Any]:
    found: dict[str, Any]
    if arm.command == "infer":
        cut = INPUT_CUT if arm.codec else AUTO
        found = bench.ask("infer", cut=cut, codec=arm.codec, config=dict(arm.config or {}))
    else:
        found = bench.ask(arm.command)
    return found


def _take(bench: Bench, point: Point, arm: Arm, turn: int, at_s: float) -> Sample:
    return sample_of(_ask(bench, arm), point, arm.name, turn, at_s)


def medians(results: Results, point: Point) -> dict[str, float]:
    """Arm → median time at a point."""
    return {arm: statistics.median(times) for arm, times in results.by_arm(point).items()}
