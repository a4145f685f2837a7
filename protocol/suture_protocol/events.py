"""The events of a session, as plain frozen data; how they look as bytes is `frames`' business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from suture_protocol import limits
from suture_protocol.payload import PayloadTensor as TensorHeader

__all__ = [
    "Arrival",
    "BundleInfo",
    "Cancel",
    "Chunk",
    "Event",
    "Hello",
    "Kind",
    "Load",
    "NamedTensor",
    "OverLimit",
    "Ping",
    "Pong",
    "Priority",
    "Received",
    "Refusal",
    "Result",
    "SessionLimits",
    "Start",
    "TensorHeader",
    "Uploaded",
    "Welcome",
]


class Priority(IntEnum):
    """How urgent a request is; higher goes first."""

    ROUTINE = 0
    URGENT = 1
    STAT = 2


class Kind(IntEnum):
    """What is asked for."""

    INFER = 0
    EXPLAIN = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """Edge, first: the protocol versions it speaks, and its software, e.g. `suture 0.1.0`."""

    version_min: int
    version_max: int
    software: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleInfo:
    """A bundle that the cloud holds."""

    digest: str
    network: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionLimits:
    """What the cloud takes from one session, told in its Welcome.

    `max_requests` counts requests started and not yet answered; `max_buffered_bytes` their payloads together.
    """

    max_requests: int = limits.SESSION_REQUESTS
    max_payload_bytes: int = limits.SESSION_PAYLOAD_BYTES
    max_buffered_bytes: int = limits.SESSION_BUFFERED_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """Cloud, answers Hello: the version both will use, the bundles it holds and its limits."""

    version: int
    software: str
    bundles: tuple[BundleInfo, ...] = ()
    device: str = ""
    limits: SessionLimits = field(default_factory=SessionLimits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Edge: opens a request; its payload follows in chunks, the tensors' bytes one behind the other.

    `request_id` rises within a session. `deadline_s` counts from Start's arrival, 0 for none. `study_key` is random
    and carries no identifier of a patient.
    """

    request_id: int
    bundle_digest: str
    cut_id: str
    variant_id: str
    codec: str
    tensors: tuple[TensorHeader, ...]
    codec_config: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    kind: Kind = Kind.INFER
    priority: Priority = Priority.ROUTINE
    deadline_s: float = 0.0
    upload_offset: int = 0
    study_key: str = ""

    @property
    def payload_bytes(self) -> int:
        """Bytes of the whole payload, whatever part of it was uploaded before."""
        return sum(tensor.payload_bytes for tensor in self.tensors)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Edge: the next bytes of a request's payload, from `offset` on."""

    request_id: int
    offset: int
    data: bytes = field(repr=False)
    last: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """Edge: the result is no longer wanted; the cloud still answers, with a refusal or a result that was on its way."""

    request_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedTensor:
    """An output of the network; `data` is little-endian, in C order."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """How much of a payload had arrived when: `at_s` counts from Start's arrival, on the cloud's clock."""

    offset_end: int
    at_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How busy the cloud is, as it measured; part of a Result and of a Pong, never sent alone.

    Attributes:
        routine_wait_s: What a routine request that came now would wait until the executor takes it: the rest of what
            runs and all that waits, each at the time that tails of its cut lately took.
        stat_wait_s: The same for a STAT request, which overtakes, also what runs where the executor stops that; never
            more than the other.
        service_s: What the executor lately took for one request, all cuts together; 0 before the first.
        tail_ratio: Lately measured tail times ÷ those of the profile that this cloud serves; 1 where nothing ran.
        utilisation: Share of the last seconds in which the executor was at work.
        requests: Started and not yet answered, over all sessions.
        units: Connected ones, as far as they ping.
    """

    routine_wait_s: float
    stat_wait_s: float
    service_s: float = 0.0
    tail_ratio: float = 1.0
    utilisation: float = 0.0
    requests: int = 0
    units: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Cloud, answers a request: the outputs and where the time went.

    `receive_s` is from Start's arrival to the last byte's, `server_s` from there to this message. `load` is the cloud's
    at that moment, this request among those open; None from a cloud that does not report it.
    """

    request_id: int
    outputs: tuple[NamedTensor, ...]
    receive_s: float = 0.0
    queue_s: float = 0.0
    decode_s: float = 0.0
    tail_s: float = 0.0
    server_s: float = 0.0
    arrivals: tuple[Arrival, ...] = ()
    load: Load | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Cloud: declines a request, or the whole connection where `request_id` is 0."""

    request_id: int
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ping:
    """Edge: asks for a Pong with the same nonce, to measure the round trip and notice a dead path.

    `padding` is read and dropped: of several padded pings sent at once, the pongs come back as far apart as the
    bottleneck spaced the padding, which measures the rate of a link that carries no requests.
    """

    nonce: int
    padding: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pong:
    """Cloud: answers Ping; with its load, unless it does not report that."""

    nonce: int
    load: Load | None = None


#: What crosses the wire.
Event = Hello | Welcome | Start | Chunk | Cancel | Result | Refusal | Ping | Pong


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """Told to the cloud after the last chunk: the whole payload of a request. Never crosses the wire."""

    start: Start
    payload: memoryview = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class OverLimit:
    """Told to the cloud in place of Start: the request is beyond a limit. Never crosses the wire.

    The session keeps nothing of its payload; the cloud's part is to send a Refusal with `reason`.
    """

    start: Start
    reason: str


#: What a session tells its owner.
Received = Event | Uploaded | OverLimit
