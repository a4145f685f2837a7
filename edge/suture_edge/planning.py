"""Where to cut the next image: both sides' profiles, the link as the traffic shows it, and the choice in force."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.profiling import cached_profile
from suture_edge.results import CloudResult
from suture_edge.settings import UnitSettings
from suture_edge.slowdown import Slowdown
from suture_partitioner.link import LinkEstimator
from suture_partitioner.plan import Planner
from suture_partitioner.profile import Progress
from suture_partitioner.profile_file import profile_from_json
from suture_partitioner.types import Choice, Plan, Profile
from suture_protocol.errors import LinkError

#: How long the first plan waits for the cloud to finish measuring its tails.
PROFILE_WAIT_S: Final = 20.0


class Planning:
    """The plan of one unit, made on first use and kept. Not thread-safe."""

    def __init__(
        self,
        heads: Heads,
        cloud: CloudClient | None,
        settings: UnitSettings,
        *,
        slow: Slowdown,
        progress: Progress | None,
        link: LinkEstimator | None = None,
    ) -> None:
        """Prepares; nothing is measured yet. See `suture_edge.unit.Unit` for the arguments."""
        self.link = link or LinkEstimator()
        self._heads = heads
        self._cloud = cloud
        self._settings = settings
        self._slow = slow
        self._progress = progress
        self._planner: Planner | None = None
        self._current: Choice | None = None
        self._heard_s = float("-inf")

    @property
    def ready(self) -> bool:
        """Whether a choice can be made at once, without the cloud's profile."""
        return self._planner is not None

    def choose(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Choice:
        """The choice for the next image; measures this unit first where that was never done.

        Args:
            images: Preprocessed inputs to measure with.
            preprocess_s: What reading and preprocessing one of them took.

        Raises:
            LinkError: the cloud does not give its profile.
            Refused: it does not hold the bundle.
            PlanError: nothing satisfies the constraints.
        """
        planner = self._made(images, preprocess_s)
        self._listen()
        self._current = planner.choose(self.link.estimate(), current=self._current)
        return self._current

    def plan(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Plan:
        """The plan in full, with what was rejected and why; raises as `choose`."""
        planner = self._made(images, preprocess_s)
        self._listen()
        return planner.plan(self.link.estimate(), current=self._current)

    def edge_profile(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Profile:
        """This unit's profile, measured on first use and kept."""
        return cached_profile(
            self._heads,
            lambda: images,
            device_factor=self._settings.device_factor,
            emulated=self._settings.emulated,
            slow=self._slow,
            preprocess_s=preprocess_s,
            progress=self._progress,
        )

    def learn(self, result: CloudResult) -> None:
        """Takes a finished request into the link estimate."""
        arrivals = [(a.offset_end, a.at_s) for a in result.arrivals]
        took = result.timings
        round_trip_s = took.total_s - took.waited_s - took.server_s
        self.link.on_upload(result.payload_bytes, arrivals, round_trip_s, time.monotonic())

    def _made(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Planner:
        if self._planner is None:
            cloud = self._cloud_profile()
            edge = self.edge_profile(images, preprocess_s)
            self._planner = Planner(self._heads.bundle.manifest, [edge], cloud, self._settings.constraints)
        return self._planner

    def _cloud_profile(self) -> Profile | None:
        if self._cloud is None:
            return None
        self._cloud.ensure_connected()
        until_s = time.monotonic() + PROFILE_WAIT_S
        while True:
            found = self._cloud.fetch_profile(self._heads.bundle.digest)
            if found.ready:
                try:
                    return profile_from_json(found.profile_json, f"the profile of the cloud at {self._cloud.address}")
                except ValueError as error:
                    raise LinkError(str(error)) from error
            if time.monotonic() > until_s:
                raise LinkError(
                    f"the cloud at {self._cloud.address} has not measured its tails within {PROFILE_WAIT_S:.0f} s"
                )
            time.sleep(0.1)

    def _listen(self) -> None:
        """Feeds the heartbeat's new round trips to the link estimate."""
        if self._cloud is None:
            return
        for sample in self._cloud.rtt_samples():
            if sample.at_s > self._heard_s:
                self.link.on_heartbeat(sample.rtt_s, sample.at_s)
                self._heard_s = sample.at_s
