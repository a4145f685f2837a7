"""The parent's side of a fleet: its units' processes, a neighbour of theirs at the same cloud, and the cloud's load."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from suture_edge.client import CloudClient
from suture_edge.heartbeat import Pulse
from suture_edge.results import PendingResult
from suture_edge.settings import AUTO
from suture_edge.uploads import CloudRequest, request_of
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import SutureError
from suture_simulators.experiments.types import Point
from suture_simulators.experiments.unit_process import UnitProcess

if TYPE_CHECKING:
    from suture_simulators.experiments.bench import Bench

#: From telling the units to begin until they do, so that all begin together.
_LEAD_S: Final = 0.5
#: How often the cloud is asked for its load while a run lasts; apart from the units' own heartbeats.
_WATCH_S: Final = 0.1
_NEIGHBOUR_WAIT_S: Final = 30.0
#: Requests by which the neighbour finds out how long one takes.
_TRIALS: Final = 7

#: Told of an image: the unit's number, and what `fleet_unit` says of it.
Told = Callable[[int, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phases:
    """Seconds since a run began: it counts from `counted_s`, the neighbour asks between `busy_s` and `calm_s`."""

    counted_s: float
    busy_s: float
    calm_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What one unit does in a run: its cut (or `auto`) and codec, how it plans with the load, whose heads it needs."""

    cut: str
    codec: str = ""
    load: int | str = 0
    cuts: tuple[str, ...] = ()

    @property
    def planned(self) -> bool:
        """Whether it plans each image."""
        return self.cut == AUTO


@dataclass(slots=True)
class Run:
    """What a run showed beside its images: times of the neighbour's requests, the cloud's load as (second, wait in
    seconds, utilisation), and the share of paced operations that took longer here than on the device."""

    neighbour_s: list[float] = field(default_factory=list)
    neighbour_lost: int = 0
    load: list[tuple[float, float, float]] = field(default_factory=list)
    overrun: float = 0.0


class Fleet:
    """Units' processes at the near end of the bench's link, from entering to leaving."""

    def __init__(self, bench: Bench, point: Point, units: int) -> None:
        """Prepares; nothing is started yet. The bench has the point's device and network open."""
        self._bench, self._point, self._count = bench, point, units
        self._units: list[UnitProcess] = []
        self._stack = ExitStack()

    def __enter__(self) -> Fleet:
        with ExitStack() as stack:
            for number in range(self._count):
                unit = self._bench.further_unit(f"fleet-{number}")
                stack.callback(unit.close)
                self._units.append(unit)
            self._threads = stack.enter_context(ThreadPoolExecutor(self._count, thread_name_prefix="fleet"))
            self._all("open", lambda _: self._bench.opening(self._point.network))
            pace = _pace(self._bench, self._point)
            self._all("fleet_join", lambda _: {"image": self._point.image, **pace})
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, tasks: Sequence[Task], phases: Phases, neighbour: Neighbour, told: Told) -> Run:
        """One run of all units; returns when the last image is done.

        Raises:
            LinkError: a unit does not reach the cloud.
            ExperimentFailed: a process has ended.
        """
        found = Run()
        self._all("fleet_begin", lambda n: {name: getattr(tasks[n], name) for name in ("cut", "codec", "load", "cuts")})
        zero_s = time.monotonic() + _LEAD_S
        given = {"zero_s": zero_s, "until_s": phases.end_s}
        with (
            self._bench.cloud_client(pulse=Pulse(interval_s=_WATCH_S)) as watcher,
            _watched(watcher, zero_s, found),
            neighbour.asking(zero_s, phases, found),
        ):
            answers = self._all("fleet_run", lambda _: given, told)
        operations = sum(answer["operations"] for answer in answers)
        found.overrun = sum(answer["overrun"] for answer in answers) / operations if operations else 0.0
        return found

    def _all(self, command: str, given: Callable[[int], Mapping[str, Any]], told: Told | None = None) -> list[Any]:
        """Has every unit do it at the same time."""

        def ask(number: int) -> Any:
            event = None if told is None else lambda said: told(number, said)
            return self._units[number].ask(command, given(number), lambda *_: None, event)

        return list(self._threads.map(ask, range(self._count)))


class Neighbour:
    """Somebody else's requests to the same cloud: real ones, at random times at a mean rate, whatever becomes of them.

    Args:
        bench: Whose cloud.
        bundle: Whose tails; what is sent is an image.
        share: Share of the time for which its requests keep an otherwise idle executor at work; how long one takes is
            measured first. They come as a Poisson process (an open loop).
        seed: Draws the times and the image.
    """

    def __init__(self, bench: Bench, bundle: Bundle, share: float, seed: int) -> None:
        self._bench, self._seed = bench, seed
        self._request = _noise(bundle, seed)
        with bench.cloud_client(pulse=None) as client:
            took_s = [client.infer(self._request).timings.tail_s for _ in range(_TRIALS)]
        #: Requests a second.
        self.rate_per_s = share / statistics.median(took_s)

    @contextmanager
    def asking(self, zero_s: float, phases: Phases, found: Run) -> Iterator[None]:
        """Asks while a run is in its busy phase."""
        over = threading.Event()
        pending: list[PendingResult] = []
        with self._bench.cloud_client(pulse=None) as client:
            thread = threading.Thread(target=self._ask, args=(client, zero_s, phases, over, pending), daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
            for request in pending:
                try:
                    found.neighbour_s.append(request.wait(_NEIGHBOUR_WAIT_S).timings.total_s)
                except SutureError:
                    found.neighbour_lost += 1

    def _ask(
        self, client: CloudClient, zero_s: float, phases: Phases, over: threading.Event, pending: list[PendingResult]
    ) -> None:
        draw = random.Random(self._seed)
        at_s = phases.busy_s
        while (at_s := at_s + draw.expovariate(self.rate_per_s)) < phases.calm_s:
            if over.wait(max(zero_s + at_s - time.monotonic(), 0.0)):
                return
            pending.append(client.submit(self._request))


@contextmanager
def _watched(client: CloudClient, zero_s: float, found: Run) -> Iterator[None]:
    """Notes the load that the cloud reports to a client without requests."""
    over = threading.Event()

    def watch() -> None:
        heard_s = float("-inf")
        while not over.wait(1.0):
            for sample in client.load_samples():
                if sample.at_s > heard_s:
                    heard_s = sample.at_s
                    found.load.append((heard_s - zero_s, sample.load.routine_wait_s, sample.load.utilisation))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _noise(bundle: Bundle, seed: int) -> CloudRequest:
    """An image as large as the network takes them, uncompressed: tails do not care what they compute on."""
    spec = bundle.manifest.network.input
    high = np.iinfo(np.dtype(spec.dtype)).max
    image = np.random.default_rng(seed).integers(0, high, spec.shape, dtype=np.dtype(spec.dtype), endpoint=True)
    return request_of([image], get_codec("raw"), bundle_digest=bundle.digest, cut_id=INPUT_CUT, variant_id="")


def _pace(bench: Bench, point: Point) -> dict[str, Any]:
    """What the emulated device takes for each operation, by its profile there."""
    edge, _ = bench.profiles(point.network, point.device)
    return {
        "heads_s": {cut: timing.compute_s for cut, timing in edge.cuts.items()},
        "encode_s": {cut: dict(timing.codec_s) for cut, timing in edge.cuts.items()},
    }
