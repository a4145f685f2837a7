"""One well-formed sample of every event, and a pair of sessions that talk to each other."""

from __future__ import annotations

import dataclasses

import numpy as np

from suture_protocol import version
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
    Received,
    Refusal,
    Result,
    SessionLimits,
    Start,
    TensorHeader,
    Welcome,
)
from suture_protocol.session import Session
from suture_protocol.states import Role

PAYLOAD = bytes(range(24))

HELLO = version.hello("suture 0.1.0")
WELCOME = Welcome(
    version=1,
    software="suture 0.1.0",
    bundles=(BundleInfo(digest="d" * 64, network="unet"),),
    device="cpu",
    limits=SessionLimits(max_requests=3, max_payload_bytes=64, max_buffered_bytes=100),
)
REFUSED_CONNECTION = Refusal(request_id=0, code="version", message="update the edge")


def start(request_id: int = 1, payload_bytes: int = len(PAYLOAD), **changes: object) -> Start:
    """A request of two tensors whose payloads together have `payload_bytes`."""
    headers = (
        TensorHeader(shape=(1, 4, 4), dtype="uint8", payload_bytes=payload_bytes - payload_bytes // 3),
        TensorHeader(shape=(1, 2), dtype="float32", payload_bytes=payload_bytes // 3),
    )
    sample = Start(
        request_id=request_id,
        bundle_digest="d" * 64,
        cut_id="relu+cat_3",
        variant_id="openvino-int8-vnni",
        codec="zstd",
        codec_config={"level": "3"},
        tensors=headers,
        idempotency_key="k1",
        kind=Kind.INFER,
        priority=Priority.STAT,
        deadline_s=1.5,
        study_key="s1",
    )
    return dataclasses.replace(sample, **changes)  # type: ignore[arg-type]


def chunk(request_id: int = 1, offset: int = 0, size: int = 8, *, last: bool = False) -> Chunk:
    return Chunk(request_id=request_id, offset=offset, data=PAYLOAD[offset : offset + size], last=last)


def result(request_id: int = 1) -> Result:
    mask = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    return Result(
        request_id=request_id,
        outputs=(NamedTensor(name="mask", shape=(1, 2, 3), dtype="float32", data=mask.tobytes()),),
        receive_s=0.25,
        queue_s=0.5,
        decode_s=0.125,
        tail_s=1.0,
        server_s=1.75,
        arrivals=(Arrival(offset_end=8, at_s=0.0), Arrival(offset_end=24, at_s=0.25)),
    )


LOAD = Load(
    routine_wait_s=1.5,
    stat_wait_s=0.25,
    service_s=0.125,
    tail_ratio=1.25,
    utilisation=0.75,
    requests=9,
    units=8,
)


def refusal(request_id: int = 1) -> Refusal:
    return Refusal(request_id=request_id, code="unknown_bundle", message="this cloud has unet")


EVERY_EVENT: tuple[Event, ...] = (
    HELLO,
    Hello(version_min=2, version_max=7, software="suture 9"),
    WELCOME,
    start(),
    start(kind=Kind.EXPLAIN, priority=Priority.URGENT, upload_offset=5),
    chunk(),
    chunk(last=True),
    Cancel(request_id=3),
    result(),
    refusal(),
    REFUSED_CONNECTION,
    Ping(nonce=7),
    Ping(nonce=8, padding=bytes(4_000)),
    Pong(nonce=2**64 - 1),
    Pong(nonce=8, load=LOAD),
    dataclasses.replace(result(2), load=LOAD),
)


class Pair:
    """An edge's and a cloud's session, wired to each other."""

    def __init__(self, *, connected: bool = True) -> None:
        self.edge = Session(Role.EDGE)
        self.cloud = Session(Role.CLOUD)
        if connected:
            self.edge_sends(HELLO)
            self.cloud_sends(WELCOME)

    def edge_sends(self, *events: Event) -> list[Received]:
        return [told for event in events for told in self.cloud.receive(self.edge.send(event))]

    def cloud_sends(self, *events: Event) -> list[Received]:
        return [told for event in events for told in self.edge.receive(self.cloud.send(event))]

    def upload(self, request_id: int = 1) -> list[Received]:
        return self.edge_sends(
            start(request_id), chunk(request_id), chunk(request_id, 8), chunk(request_id, 16, last=True)
        )
