"""What experiments are made of: settings, points of a grid, samples, records of points, results. Plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from suture_protocol.errors import SutureError
from suture_protocol.units import format_time
from suture_simulators.experiments.emulated import Device as Device  # re-exported: they belong to the settings
from suture_simulators.experiments.emulated import device_of as device_of

if TYPE_CHECKING:
    from suture_simulators.experiments.page import Section

_T = TypeVar("_T")

#: Told how far something is: done, in all, what it does now.
Report = Callable[[int, int, str], None]


class ExperimentFailed(SutureError):
    """A process of an experiment failed; the message ends with the last lines that it wrote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One row of a grid: what is fixed while its samples are taken. Rates and round trips are the link's nominal ones.

    Attributes:
        rate_bps: 0 where there is no link.
        device: A `Device.name`.
        image: Name of the image that is inferred on; empty where the experiment uses several.
        scenario: What the experiment does to the link meanwhile (`drop`, a trace's name); empty where it holds still.
    """

    network: str
    device: str
    rate_bps: float
    rtt_s: float
    image: str = ""
    scenario: str = ""

    @property
    def key(self) -> str:
        """Names the point in files and figures; stays the same from run to run."""
        link = [f"{self.rate_bps / 1e6:g}mbit", f"{self.rtt_s * 1e3:g}ms"] if self.rate_bps else []
        return "/".join([self.network, self.device, *link, *filter(None, (self.image, self.scenario))])

    @property
    def title(self) -> str:
        """For people."""
        link = f"{self.rate_bps / 1e6:g} Mbit/s, {format_time(self.rtt_s)}" if self.rate_bps else ""
        return ", ".join([self.network, self.device, *filter(None, (link, self.image, self.scenario))])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One result, or one failure to get one.

    Attributes:
        point: Key of its point.
        arm: The way to the result (`split`, `jpeg_upload`, a cut's id).
        turn: Each arm has at most one sample a turn, so that samples of one turn form a pair.
        total_s: From the file to the result.
        steps_s: The steps of it that are known, by name without unit (`head`, `transfer`, …).
        where: `cloud` or `edge`.
        at_s: When it was asked for, seconds since the point began.
        error: Why there is no result; empty where there is one.
        extra: What one experiment alone measures.
    """

    point: str
    arm: str
    turn: int
    total_s: float
    cut: str = ""
    codec: str = ""
    payload_bytes: int = 0
    where: str = ""
    at_s: float = 0.0
    error: str = ""
    steps_s: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there was a result."""
        return not self.error

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)


def sample_from_json(raw: Mapping[str, Any]) -> Sample:
    """What `Sample.to_json` gave; raises ValueError where it is something else."""
    return _from_json(Sample, raw)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointRecord:
    """A point that was measured to its end.

    Attributes:
        sitting: Its samples are those with this number; a point interrupted or repeated has earlier ones, uncounted.
        valid: Whether the emulation kept its promises; an invalid point is in no figure.
        why_invalid: In words.
        link: `LinkReport.to_json()` of what the link did meanwhile.
        device: `Calibration.to_json()` of the device beside it.
        notes: What the experiment noted: predictions, plans, remarks.
    """

    point: Point
    sitting: int
    valid: bool
    why_invalid: str = ""
    link: Mapping[str, Any] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the point's key."""
        return {**dataclasses.asdict(self), "key": self.point.key}


def record_from_json(raw: Mapping[str, Any]) -> PointRecord:
    """What `PointRecord.to_json` gave.

    Raises:
        ValueError: it is something else.
    """
    rest = {name: value for name, value in raw.items() if name != "key"}
    return _from_json(PointRecord, {**rest, "point": _from_json(Point, rest.get("point", {}))})


def _from_json(kind: type[_T], raw: Mapping[str, Any]) -> _T:
    try:
        return kind(**raw)
    except TypeError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """What an experiment runs unless it is told otherwise; `devices` as `device_of` reads them.

    Where links hold still, `replays` is False, and rates that a recorded link had take the place of `rates_bps`.
    `images` is how many each network is given at most; 0 leaves that to the command. `tables` asks for bundles with
    codec tables, which take longer to build.
    """

    rates_bps: tuple[float, ...]
    rtts_s: tuple[float, ...]
    devices: tuple[str, ...]
    samples: int
    replays: bool = True
    images: int = 0
    tables: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One run of one experiment; what it measures depends on these, the bundles and the machine alone.

    Attributes:
        bundles: Network's name → its bundle's folder.
        images: Image's name → its file, or the folder of a volume's series.
        suited: Network's name → the images that it is given; a network that is not in it is given all.
        traces: Recorded links, for the experiments that replay them.
        samples: How many turns each point gets.
        accuracy_budget: Admits narrowed codes, as `Constraints.accuracy_budget` does; None admits none.
        budget_s: No point is begun after so many seconds; None goes on to the end. The same command goes on later.
        congestion_control: TCP's at both ends; None takes cubic, or the system's where that is not allowed.
        command: What was typed, for the report, without folders of this machine; empty where nothing was.
    """

    experiment: str
    out: Path
    bundles: Mapping[str, Path]
    devices: tuple[Device, ...]
    rates_bps: tuple[float, ...]
    rtts_s: tuple[float, ...]
    images: Mapping[str, Path]
    suited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    traces: tuple[Path, ...] = ()
    samples: int
    seed: int = 1
    quick: bool = False
    congestion_control: str | None = None
    accuracy_budget: float | None = None
    budget_s: float | None = None
    command: str = ""

    def images_of(self, network: str) -> tuple[str, ...]:
        """Names of the images that a network is given."""
        return self.suited.get(network) or tuple(self.images)

    def image_at(self, network: str, place: int) -> str:
        """The image of a network's point at a place in its grid: all of them by turns."""
        names = self.images_of(network)
        return names[place % len(names)]

    def device(self, name: str) -> Device:
        """The device of that name.

        Raises:
            KeyError: there is none.
        """
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """All that was measured: what figures and reports are made of, and what `results.json` holds.

    Attributes:
        facts: The run's circumstances: configuration, versions, kernel, congestion control, networks, devices.
        samples: Key of a point → its samples that count, in the order they were taken.
    """

    experiment: str
    facts: Mapping[str, Any]
    records: tuple[PointRecord, ...]
    samples: Mapping[str, tuple[Sample, ...]]
    complete: bool

    @property
    def valid(self) -> tuple[PointRecord, ...]:
        """The points that figures may be made of."""
        return tuple(record for record in self.records if record.valid)

    def times_s(self, point: Point, arm: str) -> tuple[float, ...]:
        """One arm's times at a point, failures left out."""
        return tuple(s.total_s for s in self.samples.get(point.key, ()) if s.arm == arm and s.ok)

    def by_arm(self, point: Point) -> dict[str, tuple[float, ...]]:
        """Arm → its times at a point, in the order in which the arms first came."""
        arms = dict.fromkeys(s.arm for s in self.samples.get(point.key, ()) if s.ok)
        return {arm: self.times_s(point, arm) for arm in arms}


Record = Callable[[Sample], None]
#: Plain data that a point's record keeps beside its samples.
Notes = Mapping[str, Any]


class Experiment(Protocol):
    """What every experiment says of itself; see `kinds` for how it measures.

    Adding one is one file and one row in `registry`.
    """

    name: str
    title: str

    def grid(self, *, quick: bool) -> Grid:
        """What is run by default; `quick` has to end within two minutes, the start of the processes included."""
        ...

    def points(self, settings: Settings) -> Sequence[Point]:
        """The grid's rows, ordered so that devices, then networks change least often."""
        ...

    def figures(self, results: Results) -> dict[str, float]:
        """The flat figures over the valid points; what cannot be computed yet is left out."""
        ...

    def table(self, results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Header and rows of the table that is printed in the end."""
        ...

    def sections(self, results: Results) -> Sequence[Section]:
        """The report's sections, most important first."""
        ...
