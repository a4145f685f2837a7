"""One session as a gRPC call driven by threads: frames out in order of urgency, events in, every end told once.

Two threads: gRPC's own takes frames from `_frames` as the transport accepts them, and one here reads. The session is
touched under one lock only.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from suture_edge.uploads import Upload
from suture_protocol import codes
from suture_protocol.address import Address
from suture_protocol.checks import check
from suture_protocol.errors import LinkError, LocalProtocolError, ProtocolError, Refused, SutureError
from suture_protocol.events import Cancel, Event, Hello, Priority, Received, Refusal, Result, Welcome
from suture_protocol.service import SERVICE, SESSION_METHOD
from suture_protocol.session import Session
from suture_protocol.states import Role, State

_log = logging.getLogger(__name__)
_JOIN_S: Final = 2.0
_CHECK: Final = "check the address, and that `suture cloud` runs there"
#: Of the requests that a session lets start, one in so many is kept for urgent ones.
_KEPT_ONE_IN: Final = 8
#: How long after the transport took the last frame `idle` is called, and then after twice as long each time: it keeps
#: some bytes before the kernel sends them, and the kernel keeps some more.
_IDLE_S: Final = 0.005


class Listener(Protocol):
    """Who is told. Called from the call's threads; must not block. `at_s` is on the call's clock."""

    def sent(self, event: Event, upload: Upload | None, at_s: float) -> None:
        """`event` is being handed to the transport; with its upload, where it belongs to one."""
        ...

    def received(self, event: Received, at_s: float) -> None:
        """`event` arrived."""
        ...

    def ended(self, error: SutureError) -> None:
        """The session is over; nothing more will be told. Called once."""
        ...


class SessionCall:
    """One session with a cloud.

    Args:
        channel: A `grpc.Channel`, which stays the caller's.
        address: The cloud's, for messages.
        hello: What to offer.
        listener: Who is told.
        clock: Seconds, monotonic.
        idle: Called now and then while there is nothing to send and an answer is due; must not block.
    """

    def __init__(
        self,
        channel: Any,
        address: Address,
        hello: Hello,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self._idle = idle
        self._address = address
        self._listener = listener
        self._clock = clock
        self._session = Session(Role.EDGE)
        self._changed = threading.Condition()
        self._control: deque[Event] = deque([hello])
        self._uploads: list[Upload] = []
        self._next_id = 1
        self._welcome: Welcome | None = None
        self._error: SutureError | None = None
        self._held_until_s = -math.inf
        self._heard_at_s = self._moved_at_s = clock()
        self._call: Any = None
        self._call = channel.stream_stream(f"/{SERVICE}/{SESSION_METHOD}")(self._frames())
        self._reader = threading.Thread(target=self._read, name="suture-session", daemon=True)
        self._reader.start()

    def wait_welcome(self, timeout_s: float) -> Welcome:
        """Waits until the cloud has welcomed this side.

        Raises:
            Refused: it declined.
            LinkError: it did not answer in time, or cannot be reached.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._welcome or self._error, timeout_s)
            if self._welcome is not None:
                return self._welcome
            if self._error is not None:
                raise self._error
        raise LinkError(f"the cloud at {self._address} did not answer within {timeout_s:.1f} s; {_CHECK}")

    @property
    def welcomed(self) -> bool:
        """Whether the cloud has welcomed this side."""
        return self._welcome is not None

    @property
    def heard_at_s(self) -> float:
        """When the last frame arrived."""
        return self._heard_at_s

    @property
    def moved_at_s(self) -> float:
        """When the transport last took a frame."""
        return self._moved_at_s

    def upload(self, upload: Upload) -> None:
        """Puts a request in line; it starts as soon as the cloud's limits have room for it.

        Raises:
            Refused: the cloud takes no such request (code `limit`).
            LocalProtocolError: the request is malformed.
            SutureError: the session is over; the error says why.
        """
        try:
            check(upload.start)
        except ValueError as error:
            raise LocalProtocolError(f"the request cannot be sent: {error}") from error
        with self._changed:
            if self._error is not None:
                raise self._error
            if reason := self._session.beyond(upload.start):
                raise Refused(codes.LIMIT, f"the request brings {reason} by the cloud at {self._address}")
            if not upload.cancelled:
                self._uploads.append(upload)
                self._changed.notify_all()

    def withdraw(self) -> list[Upload]:
        """Takes back the routine requests that were not begun, in their order."""
        with self._changed:
            waiting = [u for u in self._uploads if not u.request_id and u.request.priority <= Priority.ROUTINE]
            self._uploads = [u for u in self._uploads if u not in waiting]
            return waiting

    def post(self, event: Event) -> None:
        """Sends `event` before any payload. Dropped where the session is over."""
        with self._changed:
            self._control.append(event)
            self._changed.notify_all()

    def hold(self, until_s: float) -> None:
        """Sends nothing routine until then; what the transport has taken by now cannot be called back."""
        with self._changed:
            self._held_until_s = until_s
            self._changed.notify_all()

    def cancel(self, upload: Upload) -> None:
        """Stops an upload; a request already started is cancelled at the cloud, too. Once for each upload."""
        with self._changed:
            upload.cancelled = True
            if upload in self._uploads:
                self._uploads.remove(upload)
            if upload.request_id and upload.request_id in self._session.in_flight:
                self._control.append(Cancel(request_id=upload.request_id))
                self._changed.notify_all()

    def close(self, error: SutureError | None = None) -> None:
        """Ends the session; the listener is told `error`, or that it was closed."""
        self._end(error or LinkError(f"the connection to the cloud at {self._address} was closed"))
        if threading.current_thread() is not self._reader:
            self._reader.join(_JOIN_S)

    def _end(self, error: SutureError) -> None:
        with self._changed:
            if self._error is not None:
                return
            self._error = error
            self._uploads.clear()
            self._changed.notify_all()
        if self._call is not None:
            self._call.cancel()
        self._listener.ended(error)

    def _frames(self) -> Iterator[bytes]:
        """What gRPC takes as fast as the transport accepts it; runs on a thread of gRPC's."""
        while (frame := self._next_frame()) is not None:
            yield frame

    def _next_frame(self) -> bytes | None:
        with self._changed:
            # Being asked for the next frame means that the one before was taken: the path is moving.
            self._moved_at_s = self._clock()
            upload = self._await_next()
            if self._error is not None:
                return None
            event = self._control.popleft() if upload is None else self._next_of(upload)
            try:
                frame = self._session.send(event)
            except ProtocolError as error:
                broken = error
            else:
                self._listener.sent(event, upload, self._clock())
                return frame
        self._end(broken)
        return None

    def _await_next(self) -> Upload | None:
        """Waits until there is something to send, or the session is over; the upload whose turn it is, if one's is."""
        idle_s, idle_at_s = _IDLE_S, self._moved_at_s + _IDLE_S
        while not (self._error or self._control):
            now_s = self._clock()  # one for both: routine that is held by the first is waited for by the second
            if (upload := self._ready_upload(now_s)) is not None:
                return upload
            waits_s = [left_s] if (left_s := self._held_until_s - now_s) > 0 else []
            if self._idle is not None and self._session.in_flight:
                if (left_s := idle_at_s - self._clock()) <= 0:
                    self._idle()
                    idle_s *= 2
                    idle_at_s += idle_s
                    continue
                waits_s.append(left_s)
            self._changed.wait(min(waits_s, default=None))
        return None

    def _ready_upload(self, now_s: float) -> Upload | None:
        if self._session.state is not State.OPEN:
            return None
        most = self._session.limits.max_requests
        full = len(self._session.in_flight) >= most - most // _KEPT_ONE_IN
        held = self._held_until_s > now_s

        def ready(upload: Upload) -> bool:
            begun = bool(upload.request_id)
            if upload.request.priority <= Priority.ROUTINE and (held or (full and not begun)):
                return False
            return begun or self._session.room_for(upload.start)

        return min(filter(ready, self._uploads), key=lambda u: u.rank, default=None)

    def _next_of(self, upload: Upload) -> Event:
        event = upload.next_event(self._next_id)
        self._next_id = max(self._next_id, upload.request_id + 1)
        if upload.done:
            self._uploads.remove(upload)
        return event

    def _read(self) -> None:
        import grpc

        try:
            for data in self._call:
                self._take(data)
        except ProtocolError as error:
            self._end(error)
        except grpc.RpcError as error:
            self._end(self._link_error(error))
        else:
            self._end(LinkError(f"the cloud at {self._address} ended the session"))

    def _take(self, data: bytes) -> None:
        with self._changed:
            now = self._heard_at_s = self._clock()
            told = self._session.receive(data)
            for event in told:
                if isinstance(event, Welcome):
                    self._welcome = event
                if isinstance(event, Refusal | Result):
                    self._forget(event.request_id)
            self._changed.notify_all()
        for event in told:
            if isinstance(event, Refusal) and not event.request_id:
                raise Refused(event.code, event.message)
            self._listener.received(event, now)

    def _forget(self, request_id: int) -> None:
        """Nothing more is sent for an answered request: the session would rightly call it an error."""
        self._uploads = [u for u in self._uploads if not u.request_id or u.request_id != request_id]
        cancel = Cancel(request_id=request_id) if request_id else None
        self._control = deque(event for event in self._control if event != cancel)

    def _link_error(self, error: Any) -> LinkError:
        code, details = error.code().name, error.details() or "no details"
        if self._welcome is None:
            return LinkError(f"cannot reach the cloud at {self._address} ({code}: {details}); {_CHECK}")
        return LinkError(f"lost the connection to the cloud at {self._address} ({code}: {details})")
