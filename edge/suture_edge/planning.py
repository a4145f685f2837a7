"""Where to cut the next image: both sides' profiles, the link as the traffic shows it, the cloud's load, live timings;
and which heads must be ready for that."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypedDict

from numpy.typing import NDArray

from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.profiling import cached_profile
from suture_edge.results import CloudResult
from suture_edge.settings import UnitSettings
from suture_edge.slowdown import Slowdown
from suture_models.accuracy import read_accuracy
from suture_models.manifest import LAST_CUT
from suture_partitioner.caution import patience_s
from suture_partitioner.correction import Corrections
from suture_partitioner.link import MIN_BOUND_BYTES, LinkEstimator
from suture_partitioner.link_memory import remember, remembered
from suture_partitioner.load import CloudLoad
from suture_partitioner.plan import Planner
from suture_partitioner.profile import Progress
from suture_partitioner.profile_file import cache_folder, profile_from_json
from suture_partitioner.types import Choice, Correction, LinkEstimate, Plan, Profile
from suture_protocol.errors import LinkError, PlanError
from suture_protocol.events import Priority

#: How long units wait, once, for the cloud to finish measuring its tails; after that each plan asks without waiting.
PROFILE_WAIT_S: Final = 20.0
#: An image that leaves the link unused has it measured, unless something used it during the last so many seconds.
PROBE_AFTER_S: Final = 0.4
#: Where the last links are kept, beside the folder of profiles.
LINKS_FILE: Final = "links.json"
#: How often, for a unit that is switched off rather than ended.
KEEP_EVERY_S: Final = 60.0
#: A rate that no uplink of a unit reaches: if even over this one nothing is sent, measuring the link is no use.
_BEST_BPS: Final = 1e9


class _Asked(TypedDict):
    """What a plan takes beside the link; see `Planner.choose`."""

    queue_s: float
    others_s: float
    correction: Correction


class Planning:
    """The plan of one unit, made on first use and kept. Not thread-safe."""

    def __init__(
        self,
        variants: Sequence[Heads],
        cloud: CloudClient | None,
        settings: UnitSettings,
        *,
        slow: Slowdown,
        progress: Progress | None,
        link: LinkEstimator | None = None,
        load: CloudLoad | None = None,
    ) -> None:
        """Prepares; nothing is measured yet. See `suture_edge.unit.Unit` for the arguments."""
        self.link = link or _estimator(cloud)
        self._variants = {heads.variant.id: heads for heads in variants}
        self._bundle = variants[0].bundle
        self._cloud = cloud
        self._settings = settings
        self._slow = slow
        self._progress = progress
        self._planner: Planner | None = None
        self._corrections = Corrections([], None)
        self._load = load or CloudLoad(stat=settings.priority > Priority.ROUTINE)
        self._current: Choice | None = None
        self._local: Choice | None = None
        self._stall_s = 0.0
        self._heard_s = self._probed_s = self._loaded_s = float("-inf")
        self._used_s = float("-inf")
        self._kept_s = time.monotonic()
        self._profile_by_s: float | None = None

    @property
    def ready(self) -> bool:
        """Whether a choice can be made at once, without the cloud's profile."""
        return self._planner is not None

    @property
    def local(self) -> Choice | None:
        """How this unit finishes alone: the fastest variant; None where that is not planned yet, or not allowed."""
        return self._local

    def choose(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Choice:
        """The choice for the next image; measures this unit first where that was never done.

        A choice whose head is not ready yet is not taken: it is made ready, and the one in force stays until then.

        Args:
            images: Preprocessed inputs to measure with.
            preprocess_s: What reading and preprocessing one of them took.

        Raises:
            LinkError: the cloud does not give its profile.
            Refused: it does not hold the bundle.
            PlanError: nothing satisfies the constraints.
        """
        planner = self._made(images, preprocess_s)
        link, asked = self._now()
        best = planner.choose(link, current=self._current, **asked)
        if self._current is not None and not self._ready(best):
            self._of(best).want(self._bundle.cut(best.cut_id))
            stay = planner.choose(link, current=self._current, switch_cost_s=math.inf, **asked)
            # Where what is in force breaks a limit by now, waiting for another head would break it, too.
            best = stay if self._ready(stay) else self._current
        if self._local is not None and self._cloud is not None:
            self._of(self._local).want(self._bundle.cut(LAST_CUT))
        self._sound(planner, best, link, asked)
        self._current, self._stall_s = best, link.stall_s
        return best

    @property
    def patience_s(self) -> float:
        """How long the answer to the image chosen for may take before this unit finishes beside the cloud."""
        return 0.0 if self._current is None else patience_s(self._current.steps, self._stall_s)

    def plan(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Plan:
        """The plan in full, with what was rejected and why; raises as `choose`."""
        planner = self._made(images, preprocess_s)
        link, asked = self._now()
        return planner.plan(link, current=self._current, **asked)

    def edge_profile(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Profile:
        """This unit's profile of its first variant, measured on first use and kept."""
        return self._profile(next(iter(self._variants.values())), images, preprocess_s)

    def learn(self, result: CloudResult, *, alone: bool) -> None:
        """Takes a finished request into the link estimate; `alone` tells that no other was on its way before it."""
        arrivals = [(a.offset_end, a.at_s) for a in result.arrivals]
        took = result.timings
        self._used_s = time.monotonic()
        if alone:
            round_trip_s = took.total_s - took.waited_s - took.server_s
            self.link.on_upload(result.payload_bytes, arrivals, round_trip_s, self._used_s)
        else:
            self.link.on_queued_upload(result.payload_bytes, arrivals, self._used_s)
        if self._used_s - self._kept_s > KEEP_EVERY_S:
            self._keep()

    def gave_up(self, payload_bytes: int, waited_s: float) -> None:
        """Takes a request that was given up just now, or failed with the path, into the link estimate."""
        if self._cloud is not None:
            now_s = time.monotonic()
            ping_s = self._cloud.slowest_ping_s(now_s - waited_s)
            self.link.on_unfinished(payload_bytes, waited_s, now_s, ping_s=ping_s)

    def observe(self, variant_id: str, cut_id: str, *, head_s: float, tail_s: float | None = None) -> None:
        """Takes measured times, by which the profiles are corrected; of a head that was at hand."""
        self._corrections.observe(variant_id, cut_id, head_s=head_s, tail_s=tail_s)

    def close(self) -> None:
        """Remembers the link for the next start."""
        self._keep()

    def _keep(self) -> None:
        if self._cloud is not None:
            remember(_links_file(), str(self._cloud.address), self.link.estimate(), time.time())
        self._kept_s = time.monotonic()

    def _now(self) -> tuple[LinkEstimate, _Asked]:
        """The link; the cloud's queue, and how profiles are off."""
        self._listen()
        now_s = time.monotonic()
        correction = self._corrections.now()
        if correction.tail == 1.0:
            # What the cloud says of its own tails serves where this unit has not seen enough of them.
            correction = replace(correction, tail=self._load.tail_ratio(now_s))
        queue_s = self._load.queue_s(now_s)
        asked = _Asked(queue_s=queue_s, others_s=self._load.others_s, correction=correction)
        return self.link.estimate(now_s), asked

    def _of(self, choice: Choice) -> Heads:
        return self._variants[choice.variant_id]

    def _ready(self, choice: Choice) -> bool:
        return self._of(choice).ready(self._bundle.cut(choice.cut_id))

    def _sound(self, planner: Planner, choice: Choice, link: LinkEstimate, asked: _Asked) -> None:
        """Has the link measured that `choice` hardly uses, where a better one would change the choice.

        Costs 12 KB an image, beside the head that computes meanwhile; none without images.
        """
        if self._cloud is None or choice.payload_bytes >= MIN_BOUND_BYTES:
            return
        if time.monotonic() - self._used_s < PROBE_AFTER_S:
            return
        better = LinkEstimate(bandwidth_bps=_BEST_BPS, rtt_s=link.rtt_s)
        try:
            wanted = planner.choose(better, **asked)
        except PlanError:
            return
        if wanted.payload_bytes > choice.payload_bytes and self._cloud.probe():
            self._used_s = time.monotonic()

    def _made(self, images: Sequence[NDArray[Any]], preprocess_s: float) -> Planner:
        if self._planner is None:
            cloud = self._cloud_profile()
            if self._cloud is not None:
                self._cloud.probe()  # its outcome is there when this unit has measured itself
            edges = [self._profile(heads, images, preprocess_s) for heads in self._variants.values()]
            how = self._settings
            narrowed = how.constraints.accuracy_budget is not None
            planner = Planner(
                self._bundle.manifest,
                edges,
                cloud,
                how.constraints,
                objective=how.objective,
                accuracy=read_accuracy(self._bundle) if narrowed else None,
                power=how.power,
            )
            self._corrections = Corrections(edges, cloud)
            try:
                self._local = planner.forced(LAST_CUT, self.link.estimate())
            except PlanError:
                self._local = None
            self._planner = planner
        return self._planner

    def _profile(self, heads: Heads, images: Sequence[NDArray[Any]], preprocess_s: float) -> Profile:
        return cached_profile(
            heads,
            lambda: images,
            device_factor=self._settings.device_factor,
            emulated=self._settings.emulated,
            slow=self._slow,
            preprocess_s=preprocess_s,
            progress=self._progress,
        )

    def _cloud_profile(self) -> Profile | None:
        if self._cloud is None:
            return None
        self._cloud.ensure_connected()
        if self._profile_by_s is None:
            self._profile_by_s = time.monotonic() + PROFILE_WAIT_S
        while True:
            found = self._cloud.fetch_profile(self._bundle.digest)
            if found.ready:
                try:
                    return profile_from_json(found.profile_json, f"the profile of the cloud at {self._cloud.address}")
                except ValueError as error:
                    raise LinkError(str(error)) from error
            if time.monotonic() > self._profile_by_s:
                raise LinkError(
                    f"the cloud at {self._cloud.address} has not measured its tails within {PROFILE_WAIT_S:.0f} s; "
                    "its log says why"
                )
            time.sleep(0.1)

    def _listen(self) -> None:
        """Feeds what the connection heard since the last time to the estimates of link and load."""
        if self._cloud is None:
            return
        for sample in self._cloud.rtt_samples():
            if sample.at_s > self._heard_s:
                self.link.on_heartbeat(sample.rtt_s, sample.at_s, uploading=sample.uploading)
                self._heard_s = sample.at_s
        for probe in self._cloud.probes():
            if probe.at_s > self._probed_s:
                self.link.on_probe(probe.padding_bytes, probe.spacing_s, probe.round_trip_s, probe.at_s)
                self._probed_s = probe.at_s
        for heard in self._cloud.load_samples():
            if heard.at_s > self._loaded_s:
                self._load.on_report(heard.load, heard.at_s, waited_s=heard.waited_s)
                self._loaded_s = heard.at_s


def _links_file() -> Any:
    return cache_folder().parent / LINKS_FILE


def _estimator(cloud: CloudClient | None) -> LinkEstimator:
    return (
        LinkEstimator() if cloud is None else LinkEstimator(remembered(_links_file(), str(cloud.address), time.time()))
    )
