"""The states of a session and of its requests: one table, which does not know which side it plays.

Each party has a state for the connection and one for each request, and its own state alone says what it may send. So
frames that cross on the way break no rule: the edge may still send chunks of a request that the cloud has just
refused. An event moves its sender along `CONNECTION` or `REQUEST`, then both parties along the triggers. A request is
forgotten when it is answered; `LATE` names what may still arrive for it and is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from suture_protocol.events import (
    Cancel,
    Chunk,
    Event,
    Hello,
    Ping,
    Pong,
    Refusal,
    Result,
    Start,
    Welcome,
)


class _Member(Enum):
    """Hashed by identity, as they are compared: Enum hashes the name, in Python, and each frame asks a dozen times."""

    __hash__ = object.__hash__


class Role(_Member):
    """A party of a session."""

    EDGE = "edge"
    CLOUD = "cloud"

    @property
    def peer(self) -> Role:
        return Role.CLOUD if self is Role.EDGE else Role.EDGE


class State(_Member):
    """A party's state, of the connection or of one request."""

    START = auto()  # nothing said yet
    WAITING = auto()  # it is the other's turn
    ANSWERING = auto()  # owes an answer that only the other's next event, or a refusal, can settle
    OPEN = auto()  # the connection is up
    SENDING = auto()  # the edge is uploading
    SENT = auto()  # the edge has uploaded all
    READY = auto()  # the cloud has all it needs to answer
    CANCELLED = auto()  # the edge no longer wants the answer
    ANSWERED = auto()  # the cloud has answered
    CLOSED = auto()  # over
    ERROR = auto()  # this party broke the protocol


class Move(_Member):
    """What an event means to the table; two of them depend on more than the event's type."""

    HELLO = "Hello"
    WELCOME = "Welcome"
    REFUSE_CONNECTION = "Refusal of the connection"
    START = "Start"
    CHUNK = "Chunk"
    LAST_CHUNK = "last Chunk"
    CANCEL = "Cancel"
    RESULT = "Result"
    REFUSE_REQUEST = "Refusal of a request"
    PING = "Ping"
    PONG = "Pong"


#: Who sends what.
SENDER: Final[Mapping[Move, Role]] = {
    Move.HELLO: Role.EDGE,
    Move.START: Role.EDGE,
    Move.CHUNK: Role.EDGE,
    Move.LAST_CHUNK: Role.EDGE,
    Move.CANCEL: Role.EDGE,
    Move.PING: Role.EDGE,
    Move.WELCOME: Role.CLOUD,
    Move.REFUSE_CONNECTION: Role.CLOUD,
    Move.RESULT: Role.CLOUD,
    Move.REFUSE_REQUEST: Role.CLOUD,
    Move.PONG: Role.CLOUD,
}

#: The connection: what each party may send in each of its states, and where that takes it.
CONNECTION: Final[Mapping[Role, Mapping[State, Mapping[Move, State]]]] = {
    Role.EDGE: {
        State.START: {Move.HELLO: State.WAITING},
        State.WAITING: {},
        State.OPEN: {
            Move.START: State.OPEN,
            Move.CHUNK: State.OPEN,
            Move.LAST_CHUNK: State.OPEN,
            Move.CANCEL: State.OPEN,
            Move.PING: State.OPEN,
        },
        State.CLOSED: {},
        State.ERROR: {},
    },
    Role.CLOUD: {
        State.START: {Move.REFUSE_CONNECTION: State.CLOSED},
        State.ANSWERING: {Move.WELCOME: State.OPEN, Move.REFUSE_CONNECTION: State.CLOSED},
        State.OPEN: {
            Move.RESULT: State.OPEN,
            Move.REFUSE_REQUEST: State.OPEN,
            Move.PONG: State.OPEN,
            Move.REFUSE_CONNECTION: State.CLOSED,
        },
        State.CLOSED: {},
        State.ERROR: {},
    },
}

#: Where a move takes the other party of the connection.
CONNECTION_TRIGGERS: Final[Mapping[Move, State]] = {
    Move.HELLO: State.ANSWERING,
    Move.WELCOME: State.OPEN,
    Move.REFUSE_CONNECTION: State.CLOSED,
}

#: One request: the same, for the moves that name one.
REQUEST: Final[Mapping[Role, Mapping[State, Mapping[Move, State]]]] = {
    Role.EDGE: {
        State.START: {Move.START: State.SENDING},
        State.SENDING: {Move.CHUNK: State.SENDING, Move.LAST_CHUNK: State.SENT, Move.CANCEL: State.CANCELLED},
        State.SENT: {Move.CANCEL: State.CANCELLED},
        State.CANCELLED: {},
    },
    Role.CLOUD: {
        State.START: {},
        State.ANSWERING: {Move.REFUSE_REQUEST: State.ANSWERED},
        State.READY: {Move.RESULT: State.ANSWERED, Move.REFUSE_REQUEST: State.ANSWERED},
    },
}

#: Where a move takes the other party of the request.
REQUEST_TRIGGERS: Final[Mapping[Move, State]] = {
    Move.START: State.ANSWERING,
    Move.LAST_CHUNK: State.READY,
}

#: What may arrive for a request that is already answered, because the two crossed on the way.
LATE: Final = frozenset({Move.CHUNK, Move.LAST_CHUNK, Move.CANCEL})

#: Moves that concern one request.
OF_REQUEST: Final = LATE | {Move.START, Move.RESULT, Move.REFUSE_REQUEST}

_PLAIN: Final[Mapping[type, Move]] = {
    Hello: Move.HELLO,
    Welcome: Move.WELCOME,
    Start: Move.START,
    Cancel: Move.CANCEL,
    Result: Move.RESULT,
    Ping: Move.PING,
    Pong: Move.PONG,
}


def move_of(event: Event) -> Move:
    """What `event` means to the table."""
    if isinstance(event, Chunk):
        return Move.LAST_CHUNK if event.last else Move.CHUNK
    if isinstance(event, Refusal):
        return Move.REFUSE_REQUEST if event.request_id else Move.REFUSE_CONNECTION
    return _PLAIN[type(event)]
