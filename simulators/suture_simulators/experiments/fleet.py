"""`fleet`: eight units on one cloud that gets busy and free again, planned against every static assignment.

Each unit does one image after the other, each as soon as the one before is done (a closed loop), so that throughput is
what the arms differ in. In the middle of every run a neighbour sends the cloud requests of its own (an open loop).
Static arms leave so many units all on the edge and have the others send at one fixed cut; the best of them, chosen
afterwards, is the rival. Eight units and the cloud are processes on one machine and do contend for its cores.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from suture_edge.settings import AUTO
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_simulators.experiments.clairvoyant import Option, best_at
from suture_simulators.experiments.fleet_run import Fleet, Neighbour, Phases, Task
from suture_simulators.experiments.fleet_unit import UNDAMPED
from suture_simulators.experiments.reported import Reported
from suture_simulators.experiments.streaming import options_of
from suture_simulators.experiments.types import Grid, Point, Record, Sample, Settings

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

#: What the issue asks for.
UNITS: Final = 8
PLANNED: Final = "planned"
#: The neighbour's requests would keep an idle executor at work for this share of the time.
_NEIGHBOUR_SHARE: Final = 0.5
#: A phase lasts `samples` times what a unit alone takes for an image, and at least as many times this.
_IMAGE_MIN_S: Final = 0.5
#: Of a phase, what passes before a run counts: the start is no load step.
_LEAD_IN: Final = 0.4
#: Opening connections, planners and heads before a run.
_AROUND_S: Final = 3.0
#: Starting a unit's process.
_START_S: Final = 3.0
#: With a larger share of operations slower here than on the device, the units were not what they are said to be.
_OVERRUN_MAX: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One assignment. `on_edge` is how many units do all themselves; None where each image is planned."""

    name: str
    on_edge: int | None = None
    cut: str = ""
    codec: str = ""
    load: str = ""

    def tasks(self, units: int, seed: int, cuts: tuple[str, ...]) -> list[Task]:
        """What each unit does."""
        if self.on_edge is None:
            return [Task(cut=AUTO, load=self.load or seed * units + n, cuts=cuts) for n in range(units)]
        edge, cloud = Task(cut=LAST_CUT, cuts=cuts), Task(cut=self.cut, codec=self.codec, cuts=cuts)
        return [edge if n < self.on_edge else cloud for n in range(units)]


class Fleets(Reported):
    """See the module. `units` is how many."""

    name = "fleet"
    title = "A fleet on a cloud that gets busy"
    report = "suture_simulators.experiments.fleet_report"

    def __init__(self, units: int = UNITS) -> None:
        self._units = units

    def grid(self, *, quick: bool) -> Grid:
        """See `Experiment.grid`; all units share one line, wide enough that they meet at the cloud and not there.

        The default device takes for ResNet-50 in INT8 about what is published for a Raspberry Pi 4, on a machine with
        AMX. A phase lasts `samples` images of a unit alone.
        """
        return Grid(rates_bps=(100e6,), rtts_s=(0.02,), devices=("80",), samples=6 if quick else 60)

    def points(self, settings: Settings) -> Sequence[Point]:
        """See `Experiment.points`; to be quick, the last network alone. One image serves all units."""
        networks = list(settings.bundles)[-1:] if settings.quick else list(settings.bundles)
        return [
            Point(
                network=network,
                device=device.name,
                rate_bps=rate_bps,
                rtt_s=rtt_s,
                image=settings.image_at(network, 0),
                scenario=f"{self._units}-units",
            )
            for device in settings.devices
            for network in networks
            for rtt_s in settings.rtts_s
            for rate_bps in settings.rates_bps
        ]

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """See `Experiment.estimate_s`."""
        known = options_of(point, bench)
        arms = _arms(known, point, self._units, settings)
        return self._units * _START_S + len(arms) * (_phases(known, settings).end_s + _AROUND_S)

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """See `Experiment.run`."""
        known = options_of(point, bench)
        phases, arms = _phases(known, settings), _arms(known, point, self._units, settings)
        neighbour = Neighbour(bench, bench.bundles[point.network], _NEIGHBOUR_SHARE, settings.seed)
        cuts = _cuts(known, point, arms)
        runs = []
        with Fleet(bench, point, self._units) as fleet:
            for number, arm in enumerate(arms):
                taken = _Taken(point, arm, number, record)
                found = fleet.run(arm.tasks(self._units, settings.seed + number, cuts), phases, neighbour, taken)
                runs.append({**asdict(arm), **asdict(found), "run": number})
        overrun = max(run["overrun"] for run in runs)
        too_slow = f"{100 * overrun:.0f} % of a run's operations took longer here than on the emulated device"
        return {
            "units": self._units,
            "phases": asdict(phases),
            "neighbour_per_s": neighbour.rate_per_s,
            "options": [option.to_json() for option in known],
            "runs": runs,
            "invalid_reason": too_slow if overrun > _OVERRUN_MAX else "",
        }


class _Taken:
    """Makes samples of what the units tell; they tell it from several threads."""

    def __init__(self, point: Point, arm: Arm, run: int, record: Record) -> None:
        self._point, self._arm, self._run, self._record = point, arm, run, record
        self._turns = itertools.count(run * 1_000_000)  # an arm may have two runs
        self._lock = threading.Lock()

    def __call__(self, unit: int, said: Mapping[str, Any]) -> None:
        with self._lock:
            self._record(
                Sample(
                    point=self._point.key,
                    arm=self._arm.name,
                    turn=next(self._turns),
                    total_s=said["end_s"] - said["start_s"],
                    cut=said["cut"],
                    codec=said["codec"],
                    payload_bytes=said["payload_bytes"],
                    where=said["where"],
                    at_s=said["start_s"],
                    error=said["error"],
                    steps_s=said["steps_s"],
                    extra={"unit": unit, "run": self._run, "end_s": said["end_s"], "note": said["note"]},
                )
            )


def _phases(known: Sequence[Option], settings: Settings) -> Phases:
    alone_s = next(option.edge_s for option in known if option.local)
    phase_s = settings.samples * max(alone_s, _IMAGE_MIN_S)
    counted_s = _LEAD_IN * phase_s
    return Phases(
        counted_s=counted_s,
        busy_s=counted_s + phase_s,
        calm_s=counted_s + 2 * phase_s,
        end_s=counted_s + 3 * phase_s,
    )


def _arms(known: Sequence[Option], point: Point, units: int, settings: Settings) -> list[Arm]:
    """In the order in which they run: drawn, but for the planned fleet, which runs early and, if there is time, again
    at the end; then what it would be without its cares. To be quick, without the image upload where that is not the
    best way through the cloud."""
    steps = (0, 2, 3, 4) if settings.quick else range(5)
    statics = [Arm(name=f"static-{units}", on_edge=units)]
    for option in _remote(known, point)[: 1 if settings.quick else 2]:
        statics += [
            Arm(name=f"static-{on_edge}-{option.cut}", on_edge=on_edge, cut=option.cut, codec=option.codec)
            for on_edge in dict.fromkeys(round(units * step / 4) for step in steps)
            if on_edge < units
        ]
    random.Random(settings.seed).shuffle(statics)
    planned = Arm(name=PLANNED)
    if settings.quick:
        return [statics[0], planned, *statics[1:]]
    return [statics[0], planned, *statics[1:], planned, Arm(name=UNDAMPED, load=UNDAMPED)]


def _remote(known: Sequence[Option], point: Point) -> list[Option]:
    """The best way through the cloud on the idle link, and the image upload where that is another."""
    remote = [option for option in known if not option.local]
    uploads = [option for option in remote if option.cut == INPUT_CUT]
    found = [best_at(remote, point.rate_bps, point.rtt_s)]
    if uploads and found[0].cut != INPUT_CUT:
        found.append(best_at(uploads, point.rate_bps, point.rtt_s))
    return found


def _cuts(known: Sequence[Option], point: Point, arms: Sequence[Arm]) -> tuple[str, ...]:
    """Whose heads are made ready before a run: those of the arms, and of the next best that a plan may turn to."""
    ranked = sorted(known, key=lambda option: option.at(point.rate_bps, point.rtt_s))
    chosen = [arm.cut for arm in arms if arm.cut] + [LAST_CUT] + [option.cut for option in ranked[:4]]
    return tuple(cut for cut in dict.fromkeys(chosen) if cut != INPUT_CUT)
