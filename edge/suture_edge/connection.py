"""One connection to a cloud, from connect to its end: the session, the heartbeat beside it, the requests in flight."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from suture_edge.call import SessionCall
from suture_edge.channels import ChannelFactory
from suture_edge.heartbeat import Heartbeat, Pulse, RttSample
from suture_edge.results import CloudResult, CloudTimings, PendingResult
from suture_edge.uploads import CloudRequest, Upload
from suture_protocol import codes
from suture_protocol.address import Address
from suture_protocol.errors import CodecError, Refused, SutureError
from suture_protocol.events import Event, Hello, Received, Refusal, Result, Start, Welcome
from suture_protocol.outputs import from_result

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _InFlight:
    """A request handed in; times on the connection's clock."""

    upload: Upload
    pending: PendingResult
    handed_at_s: float
    began_at_s: float = 0.0


class Connection:
    """Not reopened once it has ended: `CloudClient` makes a new one.

    Args:
        address: The cloud's.
        channels: Makes the two channels.
        hello: What to offer.
        pulse: The heartbeat's settings; None for none.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        address: Address,
        channels: ChannelFactory,
        hello: Hello,
        pulse: Pulse | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight: dict[Upload, _InFlight] = {}
        self._ended: SutureError | None = None
        self._heartbeat: Heartbeat | None = None
        self.channel: Any = channels.open(address)
        self._call = SessionCall(self.channel, address, hello, self, clock)
        if pulse is not None:
            self._heartbeat = Heartbeat(
                channels.open(address), address, hello, pulse, self._call.pressure, self._dead, clock
            )

    def open(self, timeout_s: float) -> Welcome:
        """Waits until the cloud has welcomed this side; closes the connection where it does not.

        Raises:
            Refused: it declined, as for a version that does not fit.
            LinkError: it cannot be reached, or did not answer in time.
        """
        until_s = self._clock() + timeout_s
        try:
            welcome = self._call.wait_welcome(timeout_s)
            if self._heartbeat is not None:
                self._heartbeat.start(max(until_s - self._clock(), 0.1))
        except SutureError:
            self.close()
            raise
        return welcome

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return self._ended is None

    def rtt_samples(self) -> tuple[RttSample, ...]:
        """The last round trips, oldest first."""
        return () if self._heartbeat is None else self._heartbeat.samples()

    def submit(self, request: CloudRequest) -> PendingResult:
        """Puts a request on its way.

        Raises:
            Refused: beyond what the cloud takes.
            LinkError: the connection has ended.
            ProtocolError: the request is malformed.
        """
        upload = Upload(request)
        pending = PendingResult(lambda: self._cancel(upload), str(self._address))
        flight = _InFlight(upload=upload, pending=pending, handed_at_s=self._clock())
        with self._lock:
            if self._ended is not None:
                raise self._ended
            self._in_flight[upload] = flight
        try:
            self._call.upload(upload)
        except SutureError:
            with self._lock:
                self._in_flight.pop(upload, None)
            raise
        return pending

    def close(self) -> None:
        """Ends it; what is in flight fails with a LinkError."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        self._call.close()
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
            if flight is None:
                return
            del self._in_flight[flight.upload]
        if isinstance(event, Refusal):
            flight.pending.fail(Refused(event.code, event.message, request_id=event.request_id))
            return
        try:
            flight.pending.succeed(_result(event, flight, at_s))
        except CodecError as error:
            flight.pending.fail(error)

    def ended(self, error: SutureError) -> None:
        """Fails what is in flight (called once, by the session's threads)."""
        with self._lock:
            self._ended = error
            lost = list(self._in_flight.values())
            self._in_flight.clear()
        for flight in lost:
            flight.pending.fail(error)

    def _cancel(self, upload: Upload) -> None:
        self._call.cancel(upload)
        with self._lock:
            flight = self._in_flight.pop(upload, None)
        if flight is not None:
            flight.pending.fail(Refused(codes.CANCELLED, "cancelled", request_id=upload.request_id))

    def _dead(self, error: SutureError) -> None:
        _log.warning("%s", error)
        self._call.close(error)


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
