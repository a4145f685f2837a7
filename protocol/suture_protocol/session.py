"""The session of an edge and a cloud, sans I/O: bytes in, events out; no socket, no channel, no clock, no thread.

    session = Session(Role.EDGE)
    write(session.send(version.hello("suture 0.1.0")))
    for event in session.receive(read()):
        ...

Each call of `receive` takes one whole frame (gRPC keeps message borders). What may be sent when is the table in
`states`; what one event may hold, `checks`; how much a peer may make this side keep, `limits` and the Welcome.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from suture_protocol import limits
from suture_protocol.checks import decoded_bytes
from suture_protocol.errors import LocalProtocolError, RemoteProtocolError
from suture_protocol.events import (
    Cancel,
    Chunk,
    Event,
    Hello,
    OverLimit,
    Ping,
    Pong,
    Received,
    Refusal,
    Result,
    SessionLimits,
    Start,
    Uploaded,
    Welcome,
)
from suture_protocol.frames import decode, encode
from suture_protocol.states import (
    CONNECTION,
    CONNECTION_TRIGGERS,
    LATE,
    OF_REQUEST,
    REQUEST,
    REQUEST_TRIGGERS,
    SENDER,
    Move,
    Role,
    State,
    move_of,
)
from suture_protocol.upload import Upload

_FRAME_LIMITS: Final = {Role.EDGE: limits.MAX_EDGE_FRAME_BYTES, Role.CLOUD: limits.MAX_FRAME_BYTES}


@dataclass(slots=True)
class _Request:
    """One request not yet answered; `refused` where it is beyond a limit and nothing of it is kept."""

    states: dict[Role, State]
    upload: Upload
    refused: bool


class Session:
    """One party's view of a session. Not thread-safe: the owner serialises `send` and `receive`.

    A `LocalProtocolError` means that nothing was sent and the session is as before. After a `RemoteProtocolError`
    nothing more is received; a cloud may still refuse the connection, so that the peer learns why.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.limits = SessionLimits()
        self.version: int | None = None
        self._parties = {Role.EDGE: State.START, Role.CLOUD: State.START}
        self._requests: dict[int, _Request] = {}
        self._last_id = 0
        self._offer: Hello | None = None
        self._pings: deque[int] = deque()

    @property
    def state(self) -> State:
        """This side's state of the connection."""
        return self._parties[self.role]

    @property
    def in_flight(self) -> frozenset[int]:
        """Ids of the requests started and not yet answered."""
        return frozenset(self._requests)

    @property
    def held_bytes(self) -> int:
        """Payload bytes held at present."""
        return sum(request.upload.held_bytes for request in self._requests.values())

    def room_for(self, start: Start) -> bool:
        """Whether there is room for such a request beside those in flight."""
        return len(self._requests) < self.limits.max_requests and not self._no_room(start)

    def beyond(self, start: Start) -> str:
        """Why such a request is never accepted, however little is in flight; empty where it can be."""
        decoded = sum(decoded_bytes(header.shape, header.dtype) for header in start.tensors)
        if decoded > limits.MAX_DECODED_BYTES:
            return f"tensors of {decoded} bytes once decoded, allowed are {limits.MAX_DECODED_BYTES}"
        most = min(self.limits.max_payload_bytes, self.limits.max_buffered_bytes)
        if start.payload_bytes > most:
            return f"a payload of {start.payload_bytes} bytes, allowed are {most}"
        return ""

    def send(self, event: Event) -> bytes:
        """The frame of `event`, which counts as sent.

        Raises:
            LocalProtocolError: the protocol does not allow it now, or it is malformed.
        """
        move = move_of(event)
        try:
            frame = encode(event)
            self._check(move, event, self.role)
            if isinstance(event, Start) and (reason := self.beyond(event) or self._no_room(event)):
                raise ValueError(reason)
        except ValueError as error:
            raise LocalProtocolError(f"cannot send {move.value}: {error}") from error
        self._apply(move, event, self.role)
        return frame

    def receive(self, data: bytes) -> list[Received]:
        """The events that the frame `data` brings: none, where it crossed an answer; two, with a payload's last chunk.

        Raises:
            RemoteProtocolError: the peer broke the protocol; the session is over.
        """
        peer = self.role.peer
        try:
            event = decode(data, limit_bytes=_FRAME_LIMITS[peer])
            move = move_of(event)
            late = self._is_late(move, event)
            if not late:
                self._check(move, event, peer)
        except ValueError as error:
            self._parties[peer] = State.ERROR
            self._requests.clear()
            raise RemoteProtocolError(f"the {peer.value} broke the protocol: {error}") from error
        return [] if late else self._apply(move, event, peer)

    def _is_late(self, move: Move, event: Event) -> bool:
        if self.role is not Role.CLOUD or move not in LATE or self._parties[Role.EDGE] is not State.OPEN:
            return False
        request_id = _request_id(event)
        return request_id <= self._last_id and request_id not in self._requests

    def _check(self, move: Move, event: Event, sender: Role) -> None:
        """Raises ValueError where `sender` may not send `event` now; changes nothing."""
        if SENDER[move] is not sender:
            raise ValueError(f"the {sender.value} never sends {move.value}")
        state = self._parties[sender]
        if move not in CONNECTION[sender][state]:
            raise ValueError(f"{move.value} while the {sender.value}'s connection is {state.name}")
        if move in OF_REQUEST:
            self._check_request(move, event, sender)
        elif isinstance(event, Welcome):
            self._check_welcome(event)
        elif isinstance(event, Ping) and len(self._pings) >= limits.MAX_PINGS:
            raise ValueError(f"{len(self._pings)} pings are unanswered, no more are allowed")
        elif isinstance(event, Pong) and (not self._pings or self._pings[0] != event.nonce):
            raise ValueError("Pong that no Ping asked for")

    def _check_welcome(self, event: Welcome) -> None:
        offer = self._offer
        if offer is None or not offer.version_min <= event.version <= offer.version_max:
            raise ValueError(f"Welcome settles on version {event.version}, which the edge did not offer")

    def _check_request(self, move: Move, event: Event, sender: Role) -> None:
        request_id = _request_id(event)
        request = self._requests.get(request_id)
        if move is Move.START:
            if request_id <= self._last_id:
                raise ValueError(f"request id {request_id} does not rise above {self._last_id}")
            if len(self._requests) >= self.limits.max_requests:
                raise ValueError(f"{len(self._requests)} requests are in flight, no more are allowed")
            return
        if request is None:
            raise ValueError(f"{move.value} for request {request_id}, which is not in flight")
        state = request.states[sender]
        if move not in REQUEST[sender][state]:
            raise ValueError(f"{move.value} for request {request_id} while the {sender.value} is {state.name}")
        if isinstance(event, Chunk):
            request.upload.check(event)

    def _apply(self, move: Move, event: Event, sender: Role) -> list[Received]:
        """Moves both parties along; `_check` has passed."""
        self._parties[sender] = CONNECTION[sender][self._parties[sender]][move]
        if move in CONNECTION_TRIGGERS:
            self._parties[sender.peer] = CONNECTION_TRIGGERS[move]
        if move in OF_REQUEST:
            return self._apply_request(move, event, sender)
        if isinstance(event, Hello):
            self._offer = event
        elif isinstance(event, Welcome):
            self.version, self.limits = event.version, event.limits
        elif isinstance(event, Ping):
            self._pings.append(event.nonce)
        elif isinstance(event, Pong):
            self._pings.popleft()
        elif isinstance(event, Refusal):
            self._requests.clear()
        return [event]

    def _apply_request(self, move: Move, event: Event, sender: Role) -> list[Received]:
        if isinstance(event, Start):
            return [self._begin(event)]
        request_id = _request_id(event)
        request = self._requests[request_id]
        request.states[sender] = REQUEST[sender][request.states[sender]][move]
        if move in REQUEST_TRIGGERS:
            request.states[sender.peer] = REQUEST_TRIGGERS[move]
        if request.states[Role.CLOUD] is State.ANSWERED:
            del self._requests[request_id]
        elif isinstance(event, Cancel):
            request.upload.take()
        elif isinstance(event, Chunk):
            request.upload.add(event)
            if event.last and (payload := request.upload.take()) is not None:
                return [event, Uploaded(start=request.upload.start, payload=payload)]
        return [event]

    def _begin(self, start: Start) -> Start | OverLimit:
        reason = self.beyond(start) or self._no_room(start)
        self._last_id = start.request_id
        self._requests[start.request_id] = _Request(
            states={
                Role.EDGE: REQUEST[Role.EDGE][State.START][Move.START],
                Role.CLOUD: REQUEST_TRIGGERS[Move.START],
            },
            upload=Upload(start, keep=self.role is Role.CLOUD and not reason),
            refused=bool(reason),
        )
        return OverLimit(start=start, reason=reason) if reason else start

    def _no_room(self, start: Start) -> str:
        in_flight = sum(r.upload.declared_bytes for r in self._requests.values() if not r.refused)
        together = in_flight + start.payload_bytes - start.upload_offset
        if together > self.limits.max_buffered_bytes:
            return f"payloads of {together} bytes in flight, allowed are {self.limits.max_buffered_bytes}"
        return ""


def _request_id(event: Event) -> int:
    if isinstance(event, Start | Chunk | Cancel | Result | Refusal):
        return event.request_id
    return 0
