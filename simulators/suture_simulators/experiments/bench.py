"""The bench: one cloud process, one emulated link, one unit at its near end, and what both sides' profiles say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heartbeat import Pulse
from suture_models.accuracy import read_accuracy
from suture_models.bundle import Bundle
from suture_partitioner.plan import Planner
from suture_partitioner.profile_file import profile_from_json
from suture_partitioner.types import Constraints, LinkEstimate, Profile
from suture_simulators.experiments.bench_start import tail_profiles, unit_environment, usable_congestion_control
from suture_simulators.experiments.processes import CloudProcess
from suture_simulators.experiments.types import Device, Point, Report
from suture_simulators.experiments.unit_process import UnitProcess
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile
from suture_simulators.report import LinkReport

#: What a tail is warmed up over.
_FAST_BPS: Final = 400e6
_FAST_RTT_S: Final = 0.002


class Bench:
    """Everything that runs during an experiment. Not thread-safe; one command at a time.

    Args:
        bundles: Network's name → its bundle.
        images: Image's name → its file, or the folder of a volume's slices.
        suited: Network's name → the images it is profiled with; a network that is not in it takes all.
        scratch: Folder for logs.
        congestion_control: TCP's at both ends of the link; None takes the preferred one where it is allowed.
        accuracy_budget: As `Constraints.accuracy_budget`, for the unit.
        report: Told what takes long.
    """

    def __init__(
        self,
        *,
        bundles: Mapping[str, Bundle],
        images: Mapping[str, Path],
        scratch: Path,
        suited: Mapping[str, Sequence[str]] | None = None,
        congestion_control: str | None = None,
        accuracy_budget: float | None = None,
        report: Report | None = None,
    ) -> None:
        self.bundles = bundles
        self.congestion_control = congestion_control
        self._accuracy_budget = accuracy_budget
        self.link: EmulatedLink | None = None
        self.calibrations: dict[str, dict[str, Any]] = {}
        self.device_facts: dict[str, dict[str, Any]] = {}
        self.cloud_device = ""
        self._images = {name: str(path.resolve()) for name, path in images.items()}
        self._suited = {name: list(names) for name, names in (suited or {}).items()}
        self._scratch = scratch
        self._report = report or _silent
        self._cloud = CloudProcess([bundle.path for bundle in bundles.values()], scratch)
        self._unit: UnitProcess | None = None
        self._device: Device | None = None
        self._estimate: LinkEstimate | None = None
        self._before_s = 0.0
        self._begun_s = 0.0
        self._opened: tuple[str, str] | None = None
        self._clouds: dict[str, Profile] = {}
        self._edges: dict[tuple[str, str], Profile] = {}
        self._warm: set[tuple[str, str]] = set()
        self._calibrated_s: dict[tuple[str, str], float] = {}

    def __enter__(self) -> Self:
        self.congestion_control = usable_congestion_control(self.congestion_control)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._cloud)
            stack.callback(self._end_link)
            self._report(0, 0, "starting the cloud")
            self._cloud.wait_ready()
            self.cloud_device, self._clouds = tail_profiles(self._cloud, self.bundles, self._report)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def set_link(self, profile: LinkProfile) -> None:
        """Sets the link; the unit keeps its connection and its compiled heads.

        Raises:
            CapabilityMissing: this machine cannot emulate links, or forbids the congestion control asked for.
            LinkError: the link did not come up.
        """
        if self.link is None:
            self.link = self._new_link(profile)
        self.link.change(profile)  # also the first, so that its count of what went wrong begins here

    def set_device(self, device: Device) -> None:
        """Starts the unit as this device, in place of another; the link has to be there."""
        if self.link is None:
            raise ValueError("the unit runs at the near end of a link; set the link first")
        if self._unit is not None and self._device == device:
            return
        self._end_unit()
        self._unit = self._new_unit(self.link, device, "unit")
        self._device, self._opened = device, None
        self.ask("connect")

    def further_unit(self, name: str) -> UnitProcess:
        """Another unit of the same device at the same end of the link; the caller's to close, before the bench is."""
        if self.link is None or self._device is None:
            raise ValueError("set the link and the device first")
        return self._new_unit(self.link, self._device, name)

    def cloud_client(self, pulse: Pulse | None) -> CloudClient:
        """A connected client in this process that goes past the link; the caller's to close."""
        client = CloudClient(f"127.0.0.1:{self._cloud.port}", PlainChannels(insecure=True), pulse=pulse)
        client.ensure_connected(timeout_s=15.0)
        return client

    def open(self, network: str) -> None:
        """Opens a network on the unit, profiles it there at first use and calibrates the device on it."""
        if self._device is None:
            raise ValueError("set the device first")
        key = (network, self._device.name)
        if self._opened == key:
            return
        self._report(0, 0, f"opening {network} on device {self._device.name}")
        facts = self.ask("open", **self.opening(network))
        self.device_facts[self._device.name] = facts["device"]
        self._opened = key
        if key not in self._edges:
            self._report(0, 0, f"profiling {network} on device {self._device.name} (kept for the next run)")
            self._edges[key] = profile_from_json(self.ask("profile", report=self._report), "the unit's profile")
        if "/".join(key) not in self.calibrations:
            self.recalibrate()

    def opening(self, network: str) -> dict[str, Any]:
        """What a unit is told to open a network with."""
        images = self._suited.get(network) or list(self._images)
        return {"bundle": str(self.bundles[network].path.resolve()), "images": images}

    def recalibrate(self, *, max_age_s: float = 0.0) -> str:
        """Calibrates the device on the open network again, unless that was done and held less than `max_age_s` ago.

        Returns:
            Why its factor does not hold; empty where it does.
        """
        if self._opened is None:
            raise ValueError("no network is open")
        known = self.calibrations.get("/".join(self._opened), {"invalid_reason": "never calibrated"})
        age_s = time.monotonic() - self._calibrated_s.get(self._opened, float("-inf"))
        if known["invalid_reason"] or age_s >= max_age_s:
            known = self.calibrations["/".join(self._opened)] = self.ask("calibrate")
            self._calibrated_s[self._opened] = time.monotonic()
        reason = str(known["invalid_reason"])
        return f"the emulated device: {reason}" if reason else ""

    def calibration(self) -> dict[str, Any]:
        """The last calibration of the open network's device."""
        return {} if self._opened is None else self.calibrations["/".join(self._opened)]

    def hold(self, *, rate_bps: float, rtt_s: float, seed: int) -> None:
        """Sets a link that is the same both ways and holds still."""
        self.set_link(LinkProfile.symmetric(rate_bps=rate_bps, delay_s=rtt_s / 2, seed=seed))

    def link_report(self) -> LinkReport:
        """What the link did; its `since_change` is about the profile in force alone.

        Raises:
            LinkError: the link is gone.
        """
        if self.link is None:
            raise ValueError("there is no link")
        return self.link.report()

    def begin(self, point: Point, device: Device, *, seed: int) -> tuple[LinkEstimate, float]:
        """Brings link, device and network to a point that holds still, and warms up.

        Returns:
            The link as the warm-up showed it, and what reading and preprocessing the image take, in seconds.
        """
        self.hold(rate_bps=point.rate_bps, rtt_s=point.rtt_s, seed=seed)
        self.set_device(device)
        self.open(point.network)
        found = self.ask("begin", image=point.image, rate_bps=point.rate_bps)
        self._estimate = LinkEstimate(**found["link"])
        self._begun_s = time.monotonic()
        self._before_s = float(found["before_s"])
        return self._estimate, self._before_s

    def warm_tails(self, point: Point, codec_by_cut: Mapping[str, str], *, seed: int) -> None:
        """Has the cloud run each of these cuts' tails once, unless it did before; then the point is begun anew.

        Over a fast link, since a tail does not know what its codes came by.
        """
        cold = {cut: codec for cut, codec in codec_by_cut.items() if not self.is_warm(point.network, cut)}
        if not cold or self._device is None:
            return
        self.hold(rate_bps=_FAST_BPS, rtt_s=_FAST_RTT_S, seed=seed)
        self.ask("prepare", cuts=list(cold), report=self._report)
        for cut, codec in cold.items():
            self.ask("infer", cut=cut, codec=codec)
            self._warm.add((point.network, cut))
        self.begin(point, self._device, seed=seed)

    def is_warm(self, network: str, cut: str) -> bool:
        """Whether the cloud ran that cut's tail in this run."""
        return (network, cut) in self._warm

    def link_estimate(self) -> LinkEstimate:
        """The link as the point's warm-up showed it."""
        if self._estimate is None:
            raise ValueError("no point was begun")
        return self._estimate

    def before_s(self) -> float:
        """What reading and preprocessing the point's image take on the unit, in seconds."""
        return self._before_s

    def clock(self) -> Callable[[], float]:
        """Tells the seconds since the point began."""
        begun_s = self._begun_s
        return lambda: time.monotonic() - begun_s

    def profiles(self, network: str, device: str) -> tuple[Profile, Profile]:
        """Edge's and cloud's profile of a network; the edge's is there once it was opened on that device."""
        return self._edges[network, device], self._clouds[network]

    def planner(self, network: str, device: str) -> Planner:
        """A planner as the unit has it, with its constraints."""
        edge, cloud = self.profiles(network, device)
        bundle, constraints = self.bundles[network], Constraints(accuracy_budget=self._accuracy_budget)
        return Planner(bundle.manifest, [edge], cloud, constraints, accuracy=read_accuracy(bundle))

    def all_profiles(self) -> dict[str, dict[str, Profile]]:
        """`network/device` → side → profile, of all that was opened."""
        return {f"{n}/{d}": {"edge": edge, "cloud": self._clouds[n]} for (n, d), edge in self._edges.items()}

    def ask(
        self,
        command: str,
        *,
        report: Report | None = None,
        event: Callable[[Mapping[str, Any]], None] | None = None,
        **arguments: Any,
    ) -> Any:
        """Has the unit do something; see `suture_simulators.experiments.unit` for what it can.

        Args:
            command: Its name.
            report: Told how it goes.
            event: Told what the unit sends meanwhile.
            arguments: The command's own.

        Raises:
            SutureError: what the unit raised, as the same kind.
            ExperimentFailed: the unit's or the cloud's process has ended, or does not answer.
        """
        if self._unit is None:
            raise ValueError("there is no unit; set the link and the device first")
        return self._unit.ask(command, arguments, report or _silent, event)

    def _new_unit(self, link: EmulatedLink, device: Device, name: str) -> UnitProcess:
        environment = unit_environment(device.spec, self._images, self._suited)
        config: dict[str, Any] = {"address": None, "device": device.spec, "images": self._images}
        config |= {"accuracy_budget": self._accuracy_budget}
        return UnitProcess(link, config, environment, self._scratch / f"{name}.log", self._cloud)

    def _new_link(self, profile: LinkProfile) -> EmulatedLink:
        link = EmulatedLink(
            profile, forward=("127.0.0.1", self._cloud.port), congestion_control=self.congestion_control
        )
        return link.__enter__()

    def _end_unit(self) -> None:
        if self._unit is not None:
            self._unit.close()
        self._unit, self._device, self._opened = None, None, None

    def _end_link(self) -> None:
        self._end_unit()
        if self.link is not None:
            self.link.close()


def _silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""
