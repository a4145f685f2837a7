"""The bench: one cloud process, one emulated link, one unit at its near end, and what both sides' profiles say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_models.bundle import Bundle
from suture_partitioner.profile_file import profile_from_json
from suture_partitioner.types import LinkEstimate, Profile
from suture_protocol.errors import CapabilityMissing, LinkError
from suture_simulators.device import parse_device
from suture_simulators.experiments.processes import CloudProcess
from suture_simulators.experiments.types import Device, Point, Report
from suture_simulators.experiments.unit_process import UnitProcess
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile
from suture_simulators.report import LinkReport

#: What Linux has by default; where a network namespace may not use it, the system's own is taken and recorded.
PREFERRED_CONGESTION_CONTROL: Final = "cubic"
_CLOUD_PROFILE_S: Final = 300.0


class Bench:
    """Everything that runs during an experiment. Not thread-safe; one command at a time.

    Args:
        bundles: Network's name → its bundle.
        images: Image's name → its file.
        scratch: Folder for logs.
        congestion_control: TCP's at both ends of the link; None takes the preferred one where it is allowed.
        report: Told what takes long.
    """

    def __init__(
        self,
        *,
        bundles: Mapping[str, Bundle],
        images: Mapping[str, Path],
        scratch: Path,
        congestion_control: str | None = None,
        report: Report | None = None,
    ) -> None:
        self.bundles = bundles
        self.congestion_control = congestion_control
        self.link: EmulatedLink | None = None
        self.calibrations: dict[str, dict[str, Any]] = {}
        self.device_facts: dict[str, dict[str, Any]] = {}
        self.cloud_device = ""
        self._images = {name: str(path.resolve()) for name, path in images.items()}
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

    def __enter__(self) -> Self:
        self._try_link()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._cloud)
            stack.callback(self._end_link)
            self._report(0, 0, "starting the cloud")
            self._cloud.wait_ready()
            self._fetch_cloud_profiles()
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
        environment = {"OMP_NUM_THREADS": "1", **parse_device(device.spec).environment()}
        config = {"address": None, "device": device.spec, "images": self._images}
        self._unit = UnitProcess(self.link, config, environment, self._scratch / "unit.log", self._cloud)
        self._device, self._opened = device, None
        self.ask("connect")

    def open(self, network: str) -> None:
        """Opens a network on the unit, profiles it there at first use and calibrates the device on it."""
        if self._device is None:
            raise ValueError("set the device first")
        key = (network, self._device.name)
        if self._opened == key:
            return
        self._report(0, 0, f"opening {network} on device {self._device.name}")
        facts = self.ask("open", bundle=str(self.bundles[network].path.resolve()))
        self.device_facts[self._device.name] = facts["device"]
        self._opened = key
        if key not in self._edges:
            self._report(0, 0, f"profiling {network} on device {self._device.name} (kept for the next run)")
            self._edges[key] = profile_from_json(self.ask("profile", report=self._report), "the unit's profile")
        if "/".join(key) not in self.calibrations:
            self.recalibrate()

    def recalibrate(self) -> tuple[bool, str]:
        """Calibrates the device on the open network again.

        Returns:
            Whether its factor holds, and why not.
        """
        if self._opened is None:
            raise ValueError("no network is open")
        found = self.calibrations["/".join(self._opened)] = self.ask("calibrate")
        reason = str(found["invalid_reason"])
        return not reason, f"the emulated device: {reason}" if reason else ""

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
        found = self.ask("begin", image=point.image)
        self._estimate = LinkEstimate(**found["link"])
        self._begun_s = time.monotonic()
        self._before_s = float(found["before_s"])
        return self._estimate, self._before_s

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

    def _try_link(self) -> None:
        """Tells before anything is started whether links can be emulated here, and with which congestion control."""
        wanted = self.congestion_control
        tries = [wanted] if wanted is not None else [PREFERRED_CONGESTION_CONTROL, None]
        for place, name in enumerate(tries):
            try:
                EmulatedLink(LinkProfile(), congestion_control=name).__enter__().close()
            except CapabilityMissing:
                if place == len(tries) - 1:
                    raise
            else:
                self.congestion_control = name
                return

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

    def _fetch_cloud_profiles(self) -> None:
        """From this process, so that no slow link has to carry them; while the cloud measures, nothing else may run."""
        with CloudClient(f"127.0.0.1:{self._cloud.port}", PlainChannels(insecure=True)) as client:
            self.cloud_device = client.ensure_connected(timeout_s=15.0).device
            for place, (name, bundle) in enumerate(self.bundles.items()):
                text = f"waiting for the cloud's profile of {name} (kept for the next run)"
                self._report(place, len(self.bundles), text)
                self._clouds[name] = self._cloud_profile(client, bundle)

    def _cloud_profile(self, client: CloudClient, bundle: Bundle) -> Profile:
        until_s = time.monotonic() + _CLOUD_PROFILE_S
        while not (found := client.fetch_profile(bundle.digest)).ready:
            self._cloud.check()
            if time.monotonic() > until_s:
                raise LinkError(f"the cloud has not measured {bundle.name} within {_CLOUD_PROFILE_S:.0f} s")
            time.sleep(0.1)
        return profile_from_json(found.profile_json, "the cloud's profile")


def _silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""
