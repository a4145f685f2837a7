"""Events to the bytes of one frame and back; the only file that knows the generated protobuf classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import fields
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError

from suture_protocol import limits, wire_pb2
from suture_protocol.checks import check
from suture_protocol.events import (
    Arrival,
    BundleInfo,
    Cancel,
    Chunk,
    Event,
    Hello,
    Kind,
    Load,
    NamedTensor,
    Ping,
    Pong,
    Priority,
    Refusal,
    Result,
    SessionLimits,
    Start,
    TensorHeader,
    Welcome,
)

_Repeated = TypeVar("_Repeated", bound=Sized)


def encode(event: Event) -> bytes:
    """The frame of `event`.

    Raises:
        ValueError: the event is malformed, or its frame would exceed the limit.
    """
    check(event)
    name, build = _ENCODERS[type(event)]
    data = bytes(wire_pb2.Frame(**{name: build(event)}).SerializeToString())
    if len(data) > limits.MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(data)} bytes is beyond the limit of {limits.MAX_FRAME_BYTES}")
    return data


def decode(data: bytes, *, limit_bytes: int = limits.MAX_FRAME_BYTES) -> Event:
    """The event of the frame `data`. Fields that this version does not know are ignored.

    Raises:
        ValueError: larger than `limit_bytes`, no frame, or its event is malformed.
    """
    if len(data) > limit_bytes:
        raise ValueError(f"a frame of {len(data)} bytes is beyond the limit of {limit_bytes}")
    try:
        frame = wire_pb2.Frame.FromString(data)
    except DecodeError as error:
        raise ValueError("bytes that are no frame") from error
    body = frame.WhichOneof("body")
    if body is None:
        raise ValueError("a frame without an event that this version knows")
    event = _DECODERS[body](getattr(frame, body))
    check(event)
    return event


def _few(repeated: _Repeated, limit: int, what: str) -> _Repeated:
    """`repeated`, if there are not too many of them to be worth turning into objects of ours."""
    if len(repeated) > limit:
        raise ValueError(f"{len(repeated)} {what}, allowed are {limit}")
    return repeated


def _hello_out(event: Hello) -> wire_pb2.Hello:
    return wire_pb2.Hello(version_min=event.version_min, version_max=event.version_max, software=event.software)


def _hello_in(wire: wire_pb2.Hello) -> Hello:
    return Hello(version_min=wire.version_min, version_max=wire.version_max, software=wire.software)


def _welcome_out(event: Welcome) -> wire_pb2.Welcome:
    told = event.limits
    return wire_pb2.Welcome(
        version=event.version,
        software=event.software,
        device=event.device,
        bundles=[wire_pb2.BundleInfo(digest=b.digest, network=b.network) for b in event.bundles],
        limits=wire_pb2.Limits(
            max_requests=told.max_requests,
            max_payload_bytes=told.max_payload_bytes,
            max_buffered_bytes=told.max_buffered_bytes,
        ),
    )


def _welcome_in(wire: wire_pb2.Welcome) -> Welcome:
    return Welcome(
        version=wire.version,
        software=wire.software,
        device=wire.device,
        bundles=tuple(
            BundleInfo(digest=b.digest, network=b.network) for b in _few(wire.bundles, limits.MAX_BUNDLES, "bundles")
        ),
        limits=SessionLimits(
            max_requests=wire.limits.max_requests,
            max_payload_bytes=wire.limits.max_payload_bytes,
            max_buffered_bytes=wire.limits.max_buffered_bytes,
        ),
    )


def _start_out(event: Start) -> wire_pb2.Start:
    return wire_pb2.Start(
        request_id=event.request_id,
        idempotency_key=event.idempotency_key,
        kind=event.kind.name,
        bundle_digest=event.bundle_digest,
        cut_id=event.cut_id,
        variant_id=event.variant_id,
        codec=event.codec,
        codec_config=dict(event.codec_config),
        tensors=[
            wire_pb2.TensorHeader(shape=t.shape, dtype=t.dtype, payload_bytes=t.payload_bytes) for t in event.tensors
        ],
        priority=event.priority.name,
        deadline_s=event.deadline_s,
        upload_offset=event.upload_offset,
        study_key=event.study_key,
    )


def _start_in(wire: wire_pb2.Start) -> Start:
    return Start(
        request_id=wire.request_id,
        idempotency_key=wire.idempotency_key,
        kind=Kind(wire.kind),
        bundle_digest=wire.bundle_digest,
        cut_id=wire.cut_id,
        variant_id=wire.variant_id,
        codec=wire.codec,
        codec_config=dict(_few(wire.codec_config, limits.MAX_CODEC_CONFIG, "settings of the codec")),
        tensors=tuple(
            TensorHeader(
                shape=tuple(_few(t.shape, limits.MAX_AXES, "axes")), dtype=t.dtype, payload_bytes=t.payload_bytes
            )
            for t in _few(wire.tensors, limits.MAX_TENSORS, "tensors")
        ),
        priority=Priority(wire.priority),
        deadline_s=wire.deadline_s,
        upload_offset=wire.upload_offset,
        study_key=wire.study_key,
    )


def _chunk_out(event: Chunk) -> wire_pb2.Chunk:
    return wire_pb2.Chunk(request_id=event.request_id, offset=event.offset, data=event.data, last=event.last)


def _chunk_in(wire: wire_pb2.Chunk) -> Chunk:
    return Chunk(request_id=wire.request_id, offset=wire.offset, data=wire.data, last=wire.last)


def _result_out(event: Result) -> wire_pb2.Result:
    return wire_pb2.Result(
        request_id=event.request_id,
        outputs=[wire_pb2.NamedTensor(name=o.name, shape=o.shape, dtype=o.dtype, data=o.data) for o in event.outputs],
        receive_s=event.receive_s,
        queue_s=event.queue_s,
        decode_s=event.decode_s,
        tail_s=event.tail_s,
        server_s=event.server_s,
        arrivals=[wire_pb2.Arrival(offset_end=a.offset_end, at_s=a.at_s) for a in event.arrivals],
        load=_load_out(event.load),
    )


def _result_in(wire: wire_pb2.Result) -> Result:
    return Result(
        request_id=wire.request_id,
        outputs=tuple(
            NamedTensor(name=o.name, shape=tuple(_few(o.shape, limits.MAX_AXES, "axes")), dtype=o.dtype, data=o.data)
            for o in _few(wire.outputs, limits.MAX_TENSORS, "outputs")
        ),
        receive_s=wire.receive_s,
        queue_s=wire.queue_s,
        decode_s=wire.decode_s,
        tail_s=wire.tail_s,
        server_s=wire.server_s,
        arrivals=tuple(
            Arrival(offset_end=a.offset_end, at_s=a.at_s) for a in _few(wire.arrivals, limits.MAX_ARRIVALS, "arrivals")
        ),
        load=_load_in(wire),
    )


def _load_out(load: Load | None) -> wire_pb2.LoadReport | None:
    return None if load is None else wire_pb2.LoadReport(**{name: getattr(load, name) for name in _LOAD_FIELDS})


def _load_in(wire: wire_pb2.Result | wire_pb2.Pong) -> Load | None:
    """None from a peer that does not know the field."""
    if not wire.HasField("load"):
        return None
    load = wire.load
    return Load(**{name: getattr(load, name) for name in _LOAD_FIELDS})


#: The wire names them as the event does.
_LOAD_FIELDS: Final = tuple(field.name for field in fields(Load))


_ENCODERS: Final[Mapping[type, tuple[str, Callable[[Any], Any]]]] = {
    Hello: ("hello", _hello_out),
    Welcome: ("welcome", _welcome_out),
    Start: ("start", _start_out),
    Chunk: ("chunk", _chunk_out),
    Cancel: ("cancel", lambda e: wire_pb2.Cancel(request_id=e.request_id)),
    Result: ("result", _result_out),
    Refusal: ("refusal", lambda e: wire_pb2.Refusal(request_id=e.request_id, code=e.code, message=e.message)),
    Ping: ("ping", lambda e: wire_pb2.Ping(nonce=e.nonce, padding=e.padding)),
    Pong: ("pong", lambda e: wire_pb2.Pong(nonce=e.nonce, load=_load_out(e.load))),
}

_DECODERS: Final[Mapping[str, Callable[[Any], Event]]] = {
    "hello": _hello_in,
    "welcome": _welcome_in,
    "start": _start_in,
    "chunk": _chunk_in,
    "cancel": lambda w: Cancel(request_id=w.request_id),
    "result": _result_in,
    "refusal": lambda w: Refusal(request_id=w.request_id, code=w.code, message=w.message),
    "ping": lambda w: Ping(nonce=w.nonce, padding=w.padding),
    "pong": lambda w: Pong(nonce=w.nonce, load=_load_in(w)),
}
