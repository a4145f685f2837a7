"""What one request sends and in which order: the most urgent first, chunk by chunk. Knows no channel and no thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.events import Chunk, Kind, Priority, Start, TensorHeader
from suture_protocol.limits import MAX_CHUNK_BYTES
from suture_protocol.payload import pack

#: Chunks of a payload. Several overlap sending with receiving and give the link estimate its arrivals; each costs some
#: 0.05 ms on either side.
CHUNKS: Final = 12
#: No smaller ones: a chunk costs the two ends 0.1 to 0.2 ms, more than it saves on any link fast enough to matter.
MIN_CHUNK_BYTES: Final = 32 * 1024
#: Up to this size one chunk: fewer than three show no rate between their arrivals, and what overtakes has its own lane.
WHOLE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudRequest:
    """One request: what Start says, and the payload. `payload` holds the tensors' bytes in the headers' order."""

    bundle_digest: str
    cut_id: str
    variant_id: str
    codec: str
    tensors: tuple[TensorHeader, ...]
    payload: bytes = field(repr=False)
    codec_config: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = Kind.INFER
    priority: Priority = Priority.ROUTINE
    deadline_s: float = 0.0
    idempotency_key: str = ""
    study_key: str = ""

    def start(self, request_id: int) -> Start:
        """The Start that opens this request."""
        return Start(
            request_id=request_id,
            bundle_digest=self.bundle_digest,
            cut_id=self.cut_id,
            variant_id=self.variant_id,
            codec=self.codec,
            tensors=self.tensors,
            codec_config=self.codec_config,
            kind=self.kind,
            priority=self.priority,
            deadline_s=self.deadline_s,
            idempotency_key=self.idempotency_key,
            study_key=self.study_key,
        )


def request_of(
    tensors: Sequence[NDArray[Any]],
    codec: Codec,
    *,
    bundle_digest: str,
    cut_id: str,
    variant_id: str,
    **fields: Any,
) -> CloudRequest:
    """A request for `tensors`, the boundary in the cut's order, coded with `codec`.

    Args:
        tensors: Codes or raw values, batch axis 1.
        codec: Codes all of them.
        bundle_digest: The bundle.
        cut_id: Where it was cut.
        variant_id: The artefact that ran the head; empty at cut 0, where none did.
        fields: Further fields of `CloudRequest`.

    Raises:
        ValueError: the codec does not take one of the tensors, or together they are beyond what a request carries.
    """
    headers, payload = pack(tensors, codec)
    return CloudRequest(
        bundle_digest=bundle_digest,
        cut_id=cut_id,
        variant_id=variant_id,
        codec=codec.id,
        codec_config=codec.config,
        tensors=headers,
        payload=payload,
        **fields,
    )


def chunk_bytes(payload_bytes: int) -> int:
    """The size of the chunks that such a payload is sent in."""
    if payload_bytes <= WHOLE_BYTES:
        return WHOLE_BYTES
    return min(max(math.ceil(payload_bytes / CHUNKS), MIN_CHUNK_BYTES), MAX_CHUNK_BYTES)


class Upload:
    """How far one request has come. `request_id` is 0 until it is started; `cancelled` is for who holds it in line."""

    def __init__(self, request: CloudRequest) -> None:
        self.request = request
        self.request_id = 0
        self.cancelled = False
        self.start = request.start(1)
        self._offset = 0
        self._done = False

    def next_event(self, request_id: int) -> Start | Chunk:
        """The next thing to send; `request_id` is the id to use if this request was not started yet."""
        if not self.request_id:
            self.request_id = request_id
            self.start = self.request.start(request_id)
            return self.start
        payload = self.request.payload
        begin, end = self._offset, self._offset + chunk_bytes(len(payload))
        self._offset = end
        self._done = end >= len(payload)
        return Chunk(request_id=self.request_id, offset=begin, data=payload[begin:end], last=self._done)

    @property
    def done(self) -> bool:
        """Whether the last chunk was given out."""
        return self._done

    @property
    def rank(self) -> tuple[int, bool]:
        """Smaller goes first: by priority, and of the same priority what was begun."""
        return (-int(self.request.priority), self.request_id == 0)
