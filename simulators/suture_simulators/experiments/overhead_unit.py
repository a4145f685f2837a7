"""What `overhead` has the unit do beyond single images: a series, and urgent images beside routine ones."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.series import infer_series
from suture_edge.sockets import UNTUNED
from suture_edge.uploads import CloudRequest
from suture_models.picture import Picture
from suture_protocol.errors import LinkError, SutureError
from suture_simulators.experiments.pictures import read_image
from suture_simulators.experiments.ways import TIMEOUT_S, Ways

if TYPE_CHECKING:
    from suture_simulators.experiments.station import Station

_HANDSHAKES: Final = 9
#: Routine requests under way: enough that the link never falls idle.
_ROUTINE: Final = 3
#: Until routine requests have filled every queue on the way.
_FILL_S: Final = 2.0
#: Between urgent images, so that routine ones fill the queues again.
_PAUSE_S: Final = 0.4


def round_trip_s(ways: Ways) -> float:
    """The path's round trip alone: what a bare TCP handshake takes, the median of some.

    Raises:
        LinkError: the cloud's port cannot be reached.
    """
    address = ways.client.address
    found = []
    for _ in range(_HANDSHAKES):
        start_s = time.perf_counter()
        try:
            with socket.create_connection((address.host, address.port), timeout=TIMEOUT_S):
                found.append(time.perf_counter() - start_s)
        except OSError as error:
            raise LinkError(f"cannot connect to the cloud at {address}: {error}") from error
    return statistics.median(found)


def series(station: Station, given: Mapping[str, Any]) -> dict[str, Any]:
    """Does so many images in a row: those of the given names by turns, each read from its file, or, where none are
    given, the point's, which is at hand.

    Returns:
        `total_s` of all, and `steps_s` and `payload_bytes` of one, medians over them.

    Raises:
        LinkError: one of them did not come back from the cloud.
        ValueError: no point was begun.
    """
    if (ways := station.current) is None:
        raise ValueError("no point was begun")
    files = [station.path(name) for name in given.get("images", ())]
    reads: list[Callable[[], Picture]] = [partial(read_image, file) for file in files]
    # One name, since slices are alike: the emulated device then knows what reading one takes, and reads it once.
    inputs = (("slice", read) for read in islice(cycle(reads or [ways.picture]), given["count"]))
    start_s = time.perf_counter()
    found = list(infer_series(ways.with_codec(given["codec"]), inputs, given["cut"], in_flight=given["in_flight"]))
    total_s = time.perf_counter() - start_s
    steps = [asdict(one.steps) for one in found if one.steps is not None and not one.note and not one.error]
    if len(steps) < len(found):
        raise LinkError(next(one.note or one.error for one in found if one.note or one.error))
    return {
        "total_s": total_s,
        "steps_s": {name.removesuffix("_s"): statistics.median(one[name] for one in steps) for name in steps[0]},
        "payload_bytes": found[0].payload_bytes,
    }


def stat(ways: Ways, given: Mapping[str, Any]) -> dict[str, Any]:
    """Urgent images on the idle link, then as many while routine requests saturate it, then that on untuned sockets.

    Returns:
        The outcomes of all as plain data; what became of the routine requests on the tuned sockets, how many failed on
        either, and at what rate they crossed on each.

    Raises:
        LinkError: an urgent image did not come back.
    """
    idle = _urgent(ways, given)
    busy, routine = _beside_routine(ways, given)
    with CloudClient(ways.client.address, PlainChannels(insecure=True), tuning=UNTUNED) as plain:
        plain.connect(TIMEOUT_S)
        untuned, plainly = _beside_routine(ways.over(plain), given)
    return {
        "idle": idle,
        "busy": busy,
        "untuned": untuned,
        "routine_done": routine.done,
        "routine_failed": routine.failed + plainly.failed,
        "routine_bps": {"busy": routine.bps, "untuned": plainly.bps},
        "routine_bytes": len(routine.request.payload),
    }


def _urgent(ways: Ways, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for _ in range(given["count"]):
        time.sleep(_PAUSE_S)
        found.append(asdict(ways.urgent(given["cut"], given["codec"])))
    return found


def _beside_routine(ways: Ways, given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Routine]:
    with Routine(ways.client, ways.request(given["routine"], given["codec"])) as routine:
        time.sleep(_FILL_S)
        return _urgent(ways, given), routine


class Routine:
    """Routine requests that keep the uplink full from entering to leaving; then those under way are waited for.

    `bps` is then the rate at which their payloads crossed.
    """

    def __init__(self, client: CloudClient, request: CloudRequest) -> None:
        self.request = request
        self.done = self.failed = 0
        self.bps = 0.0
        self._client = client
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(_ROUTINE)]

    def __enter__(self) -> Routine:
        self._begun_s = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self.bps = 8 * self.done * len(self.request.payload) / (time.perf_counter() - self._begun_s)

    def _send(self) -> None:
        while not self._ending.is_set():
            try:
                self._client.infer(self.request, timeout_s=TIMEOUT_S)
            except SutureError:
                with self._lock:
                    self.failed += 1
                return
            with self._lock:
                self.done += 1
