"""One session with the requests in flight on it; a connection has one for routine, and one for what overtakes it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from suture_edge.call import SessionCall
from suture_edge.results import CloudResult, CloudTimings, PendingResult
from suture_edge.uploads import CloudRequest, Upload
from suture_protocol import codes
from suture_protocol.address import Address
from suture_protocol.errors import CodecError, LinkError, Refused, SutureError
from suture_protocol.events import Event, Hello, Load, Priority, Received, Refusal, Result, Start
from suture_protocol.limits import SESSION_PAYLOAD_BYTES, SESSION_REQUESTS
from suture_protocol.outputs import from_result

#: Requests of one lane handed in and not yet answered, routine and urgent ones each, and their payloads together; then
#: `submit` waits. As many again as a session lets start, so that the next is at hand when one is answered.
MAX_HELD: Final = 2 * SESSION_REQUESTS
MAX_HELD_BYTES: Final = SESSION_PAYLOAD_BYTES
#: How long `submit` waits for room.
ROOM_WAIT_S: Final = 30.0
#: Payloads that together are no more than what HTTP/2 has under way at first hold nothing up for long; more is bulk.
BULK_BYTES: Final = 64 * 1024


@dataclass(slots=True, eq=False, weakref_slot=True)
class _InFlight:
    """A request handed in, and the lane that has it; times on the connection's clock."""

    lane: Lane
    upload: Upload
    pending: PendingResult
    handed_at_s: float
    began_at_s: float = 0.0
    cancelled: bool = False


class Lane:
    """A session on a channel of its own; its requests fail when it ends.

    Args:
        channel: A `grpc.Channel`, closed with the lane.
        address: The cloud's.
        hello: What to offer.
        on_end: Told once why the lane ended, after its requests were.
        clock: Seconds, monotonic.
        on_load: Told what a result says of the cloud's load, when it came, and what its request had waited.
        idle: Called now and then while there is nothing to send and an answer is due; must not block.
    """

    def __init__(
        self,
        channel: Any,
        address: Address,
        hello: Hello,
        on_end: Callable[[SutureError], None],
        clock: Callable[[], float] = time.monotonic,
        on_load: Callable[[Load, float, float], None] = lambda _load, _at_s, _waited_s: None,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self.channel = channel
        self._address = address
        self._on_end = on_end
        self._on_load = on_load
        self._clock = clock
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._in_flight: dict[Upload, _InFlight] = {}
        self._error: SutureError | None = None
        self._successor: Lane | None = None
        self.call = SessionCall(channel, address, hello, self, clock, idle)

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return self._error is None

    @property
    def busy(self) -> bool:
        """Whether a request is in flight."""
        return bool(self._in_flight)

    def bulk_under_way(self, more_bytes: int = 0) -> bool:
        """Whether the path may be full of what is in flight and `more_bytes`, in many small payloads or a large one:
        gRPC takes megabytes that a slow link carries for seconds, so that only an answer proves that one arrived."""
        with self._lock:
            return more_bytes + sum(len(upload.request.payload) for upload in self._in_flight) > BULK_BYTES

    def only_bulk(self) -> bool:
        """Whether the path may be full of what has time: no urgent request is in flight on this lane."""
        with self._lock:
            if any(upload.request.priority > Priority.ROUTINE for upload in self._in_flight):
                return False
        return self.bulk_under_way()

    def submit(self, request: CloudRequest, timeout_s: float = ROOM_WAIT_S) -> PendingResult:
        """Puts a request on its way; waits while too many are, so that whoever makes them is held back. A routine one
        goes to the lane that succeeded this one, see `succeeded_by`.

        Raises:
            Refused: beyond what the cloud takes.
            LinkError: the lane has ended, or there was no room in time.
            ProtocolError: the request is malformed.
        """
        upload = Upload(request)
        pending = PendingResult(lambda: _cancel(known()), str(self._address))
        flight = _InFlight(lane=self, upload=upload, pending=pending, handed_at_s=self._clock())
        known = weakref.ref(flight)  # who keeps the handle of an answered request must not keep its payload
        with self._room:
            ready = self._room.wait_for(
                lambda: self._error or self._other(request) or self._has_room(request), timeout_s
            )
            if not ready:
                waiting = f"{len(self._in_flight)} requests wait for the cloud at {self._address}"
                raise LinkError(f"{waiting}, and none was answered within {timeout_s:.1f} s")
            if self._error is not None:
                raise self._error
            if (other := self._other(request)) is None:
                self._in_flight[upload] = flight
        if other is not None:
            return other.submit(request, timeout_s)
        try:
            self.call.upload(upload)
        except SutureError:
            self._land(upload)
            raise
        return pending

    def succeeded_by(self, other: Lane | None) -> None:
        """Has routine requests that come from now on, or wait for room, go to another lane; for None, stay here."""
        with self._room:
            self._successor = other
            self._room.notify_all()

    def hand_over(self, other: Lane) -> None:
        """Gives the routine requests that were not begun to another lane; that may hold more than it lets in."""
        for upload in self.call.withdraw():
            if (flight := self._land(upload)) is not None:
                other._adopt(flight)

    def close(self, error: SutureError | None = None) -> None:
        """Ends it; what is in flight fails with `error`, or a LinkError that says it was closed."""
        self.call.close(error)
        self.channel.close()

    def sent(self, event: Event, upload: Upload | None, at_s: float) -> None:
        """Notes when a request began (called by the session's threads)."""
        if isinstance(event, Start) and upload is not None:
            with self._lock:
                flight = self._in_flight.get(upload)
                if flight is not None:
                    flight.began_at_s = at_s

    def received(self, event: Received, at_s: float) -> None:
        """Settles the request that `event` answers (called by the session's threads)."""
        if not isinstance(event, Result | Refusal):
            return
        with self._lock:
            flight = next((f for f in self._in_flight.values() if f.upload.request_id == event.request_id), None)
        if flight is None or self._land(flight.upload) is None:
            return
        if isinstance(event, Refusal):
            flight.pending.fail(Refused(event.code, event.message, request_id=event.request_id))
            return
        if event.load is not None:
            self._on_load(event.load, at_s, event.queue_s)
        try:
            flight.pending.succeed(_result(event, flight, at_s))
        except CodecError as error:
            flight.pending.fail(error)

    def ended(self, error: SutureError) -> None:
        """Fails what is in flight (called once, by the session's threads)."""
        with self._lock:
            self._error = error
            lost = list(self._in_flight.values())
            self._in_flight.clear()
            self._room.notify_all()
        for flight in lost:
            flight.pending.fail(error)
        self._on_end(error)

    def _adopt(self, flight: _InFlight) -> None:
        with self._lock:
            flight.lane = self
            error = self._error
            if error is None:
                self._in_flight[flight.upload] = flight
        try:
            if error is not None:
                raise error
            self.call.upload(flight.upload)
        except SutureError as failed:
            self._land(flight.upload)
            flight.pending.fail(failed)
        if flight.cancelled:  # while neither lane had it
            _cancel(flight)

    def _drop(self, upload: Upload) -> None:
        # Of several threads one lands it: a second Cancel would break the protocol, and so end the session.
        if (flight := self._land(upload)) is not None:
            self.call.cancel(upload)
            flight.pending.fail(Refused(codes.CANCELLED, "cancelled", request_id=upload.request_id))

    def _land(self, upload: Upload) -> _InFlight | None:
        """Takes a request out of those in flight; None where another thread was faster."""
        with self._room:
            self._room.notify_all()
            return self._in_flight.pop(upload, None)

    def _other(self, request: CloudRequest) -> Lane | None:
        return self._successor if request.priority <= Priority.ROUTINE else None

    def _has_room(self, request: CloudRequest) -> bool:
        """Routine requests keep no urgent one waiting: each kind has a room of its own."""
        urgent = request.priority > Priority.ROUTINE
        held = [len(u.request.payload) for u in self._in_flight if (u.request.priority > Priority.ROUTINE) is urgent]
        return not held or (len(held) < MAX_HELD and sum(held) + len(request.payload) <= MAX_HELD_BYTES)


def _cancel(flight: _InFlight | None) -> None:
    if flight is not None:
        flight.cancelled = True
        flight.lane._drop(flight.upload)


def _result(event: Result, flight: _InFlight, at_s: float) -> CloudResult:
    return CloudResult(
        outputs=from_result(event),
        timings=CloudTimings(
            total_s=at_s - flight.handed_at_s,
            waited_s=max(flight.began_at_s - flight.handed_at_s, 0.0),
            receive_s=event.receive_s,
            queue_s=event.queue_s,
            decode_s=event.decode_s,
            tail_s=event.tail_s,
            server_s=event.server_s,
        ),
        arrivals=event.arrivals,
        payload_bytes=len(flight.upload.request.payload),
    )
