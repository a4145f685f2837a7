"""One connection to a cloud, from connect to its end: its lanes, and the heartbeat beside them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from suture_edge.channels import ChannelFactory, marked_options
from suture_edge.heartbeat import Heartbeat, ProbeSample, Pulse, RttSample
from suture_edge.holds import Held, Holds
from suture_edge.lane import ROOM_WAIT_S, Lane
from suture_edge.lanes import Lanes, MarkedLane, is_stopping
from suture_edge.results import LoadSample, PendingResult
from suture_edge.sockets import Brake, IdleTeller, RateReader, Tuning
from suture_edge.uploads import CloudRequest
from suture_protocol.address import Address
from suture_protocol.errors import SutureError
from suture_protocol.events import Hello, Load, Priority, Welcome

_log = logging.getLogger(__name__)

#: Load reports kept: the last half minute of pongs at four a second.
_LOADS: Final = 120
#: An urgent request holds routine ones for no longer than this and what its payload takes at such a rate.
_HOLD_S: Final = 1.0
_HOLD_BPS: Final = 1e6


class Connection:
    """Not reopened once it has ended: `CloudClient` makes a new one.

    Urgent requests overtake waiting ones of the same lane; but what the transport has taken cannot be overtaken, and
    it takes megabytes. So urgent requests that meet bulk use an express lane, a session with a TCP connection of its
    own, see `Lanes`. And while an urgent one is being made or on its way, routine ones are held, since two TCP
    connections share a link evenly whatever they carry: they are given no further payload, and what the transport has
    taken is braked. Not for long, since an urgent one may wait in the cloud, too; nor for many in a row, see `Holds`.

    Args:
        address: The cloud's.
        channels: Makes the channels.
        hello: What to offer.
        pulse: The heartbeat's settings; None for none.
        clock: Seconds, monotonic.
        tuning: What to ask of the lanes' sockets.
    """

    def __init__(
        self,
        address: Address,
        channels: ChannelFactory,
        hello: Hello,
        pulse: Pulse | None,
        clock: Callable[[], float] = time.monotonic,
        tuning: Tuning = Tuning(),  # noqa: B008 frozen
    ) -> None:
        self._address = address
        self._channels = channels
        self._hello = hello
        self._clock = clock
        self._lock = threading.Lock()
        self._holding = threading.Lock()
        self._holds, self._held = Holds(), Held()
        self._heartbeat: Heartbeat | None = None
        self._loads: deque[LoadSample] = deque(maxlen=_LOADS)
        self._tuning = tuning
        self._lanes = Lanes(self._lane, tuning, str(address), clock)
        if pulse is not None:
            channel = channels.open(address)
            self._heartbeat = Heartbeat(
                channel, address, hello, pulse, self._pressure, self._busy, self._dead, clock, self._heard_idle
            )

    @property
    def channel(self) -> Any:
        """The routine lane's channel, for unary calls."""
        return self._lanes.routine.lane.channel

    def open(self, timeout_s: float) -> Welcome:
        """Waits until the cloud has welcomed this side; closes the connection where it does not.

        Raises:
            Refused: it declined, as for a version that does not fit.
            LinkError: it cannot be reached, or did not answer in time.
        """
        until_s = self._clock() + timeout_s
        try:
            welcome = self._lanes.routine.lane.call.wait_welcome(timeout_s)
            self._lanes.routine.tune(self._tuning, str(self._address))
            if self._heartbeat is not None:
                self._heartbeat.start(max(until_s - self._clock(), 0.1))
        except SutureError:
            self.close()
            raise
        return welcome

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return any(lane.alive for lane in self._lanes.all())

    def rtt_samples(self) -> tuple[RttSample, ...]:
        """The last round trips, oldest first."""
        return () if self._heartbeat is None else self._heartbeat.samples()

    @property
    def held_s(self) -> float:
        """For how long, all in all, routine requests were held by urgent ones."""
        with self._holding:
            return self._held.total_s(self._clock())

    def slowest_ping_s(self, since_s: float) -> float:
        """The longest that a pong took since then, or is due for; 0 without a heartbeat."""
        return 0.0 if self._heartbeat is None else self._heartbeat.slowest_s(since_s)

    def load_samples(self) -> tuple[LoadSample, ...]:
        """What the cloud last said of its load, oldest first."""
        with self._lock:
            return tuple(self._loads)

    def probe(self) -> bool:
        """Measures the rate of a link that carries nothing else; False where that cannot be now."""
        return self._heartbeat is not None and self._heartbeat.probe()

    def probes(self) -> tuple[ProbeSample, ...]:
        """The last probes' outcomes, oldest first."""
        return () if self._heartbeat is None else self._heartbeat.probes()

    def submit(self, request: CloudRequest, timeout_s: float = ROOM_WAIT_S) -> PendingResult:
        """Puts a request on its way; waits for room, as `Lane.submit` does.

        Raises:
            Refused: beyond what the cloud takes.
            LinkError: the connection has ended, or there was no room in time.
            ProtocolError: the request is malformed.
        """
        routine = self._lanes.routine.lane
        if request.priority > Priority.ROUTINE:
            way = self._lanes.open_express() if routine.bulk_under_way() else self._lanes.routine
            way.tune(self._tuning, str(self._address))
            return self._overtaking(way, request, timeout_s)
        if routine.bulk_under_way(len(request.payload)):
            self._lanes.open_express()
        self._change_roles()
        return self._lanes.routine.lane.submit(request, timeout_s)

    @contextmanager
    def way(self, priority: Priority) -> Iterator[None]:
        """Keeps the path free for an urgent request that is being made: what fills it drains while its head runs."""
        if priority <= Priority.ROUTINE:
            yield
            return
        if not self._busy():
            self._change_roles()
        self._hold(_HOLD_S)
        try:
            yield
        finally:
            self._let_go()

    def close(self) -> None:
        """Ends it; what is in flight fails with a LinkError."""
        for one in self._lanes.marked():
            one.brake.release()
        if self._heartbeat is not None:
            self._heartbeat.close()
        for lane in self._lanes.all():
            lane.close()

    def _lane(self, on_end: Callable[[SutureError], None]) -> MarkedLane:
        mark, options = marked_options()
        channel = self._channels.open(self._address, options)
        idle = IdleTeller(mark).tell if self._tuning.tell_idle else None
        lane = Lane(channel, self._address, self._hello, on_end, self._clock, self._heard, idle)
        return MarkedLane(lane, mark, Brake(mark), RateReader(mark))

    def _overtaking(self, way: MarkedLane, request: CloudRequest, timeout_s: float) -> PendingResult:
        """Submits an urgent request and holds routine ones until it is answered, or should have arrived."""
        self._hold(_HOLD_S + 8 * len(request.payload) / _HOLD_BPS)
        # What it was braked for has been answered meanwhile; now the brake would slow the urgent request down.
        way.brake.release()
        try:
            pending = way.lane.submit(request, timeout_s)
        except SutureError:
            self._let_go()
            raise
        pending.when_settled(self._let_go)
        return pending

    def _hold(self, for_s: float) -> None:
        # One lock around all: a hold must not overtake the release before it.
        with self._holding:
            now_s = self._clock()
            self._holds.begin(now_s, for_s)
            self._hold_lanes(now_s)
            brake_s = self._holds.brake_until_s - now_s
            if brake_s > 0 and self._tuning.brake:
                self._brake_lanes(brake_s)

    def _let_go(self) -> None:
        with self._holding:
            now_s = self._clock()
            self._holds.end(now_s)
            self._hold_lanes(now_s)
            if self._holds.brake_until_s <= now_s:
                for one in self._lanes.marked():
                    one.brake.release()

    def _hold_lanes(self, now_s: float) -> None:
        self._held.hold(now_s, self._holds.until_s)
        for lane in self._lanes.all():  # the express one may have routine requests from before it was that
            lane.call.hold(self._holds.until_s)

    def _brake_lanes(self, for_s: float) -> None:
        """All that have bulk alone, but the one that urgent requests have."""
        routine, express = self._lanes.routine, self._lanes.express
        if routine.lane.only_bulk():
            routine.brake.pull(for_s)
        elif express is not None and express.lane.only_bulk() and not routine.lane.bulk_under_way():
            express.brake.pull(for_s)

    def _change_roles(self) -> None:
        with self._holding:
            before = None if self._holds.under_way else self._lanes.change_roles()
        if before is not None:
            before.lane.hand_over(self._lanes.routine.lane)

    def _heard(self, load: Load, at_s: float, waited_s: float | None = None) -> None:
        with self._lock:
            self._loads.append(LoadSample(at_s=at_s, load=load, waited_s=waited_s))

    def _heard_idle(self, load: Load, at_s: float) -> None:
        if not self._busy():
            self._heard(load, at_s)

    def _busy(self) -> bool:
        return any(lane.busy for lane in self._lanes.all())

    def _pressure(self) -> tuple[bool, float]:
        lanes = self._lanes.all()
        return any(lane.bulk_under_way() for lane in lanes), max(lane.call.moved_at_s for lane in lanes)

    def _dead(self, error: SutureError) -> None:
        _log.warning("%s", error)
        if is_stopping(error):
            return
        for lane in self._lanes.all():
            lane.call.close(error)
