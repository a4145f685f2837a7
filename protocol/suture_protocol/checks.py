"""What makes a single event well-formed, whatever the session's state; used for what is sent and what is received."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from suture_protocol import limits
from suture_protocol.codecs.layout import ITEM_BYTES
from suture_protocol.events import (
    Cancel,
    Chunk,
    Event,
    Hello,
    Load,
    Ping,
    Pong,
    Refusal,
    Result,
    Start,
    Welcome,
)

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_UINT64_MAX: Final = 2**64 - 1
_UINT32_MAX: Final = 2**32 - 1


def check(event: Event) -> None:
    """Checks `event` on its own.

    Raises:
        ValueError: a field is missing or out of bounds; the message says which.
    """
    _CHECKS[type(event)](event)


def decoded_bytes(shape: Iterable[int], dtype: str) -> int:
    """Size of such a tensor in memory, where `check` has passed it."""
    return math.prod(shape) * ITEM_BYTES[dtype]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _text(value: str, what: str, limit: int, *, empty: bool = False) -> None:
    _require(len(value) <= limit, f"{what} has {len(value)} characters, the limit is {limit}")
    _require(empty or bool(value), f"{what} is empty")
    # All text ends up in logs and on terminals.
    _require(value.isprintable(), f"{what} holds characters that cannot be printed")


def _seconds(value: float, what: str) -> None:
    _require(math.isfinite(value) and value >= 0, f"{what} is {value}, not a time")


def _uint64(value: int, what: str, *, least: int = 0) -> None:
    _require(least <= value <= _UINT64_MAX, f"{what} {value} is out of range")


def _shape(shape: Iterable[int], dtype: str, what: str) -> None:
    axes = tuple(shape)
    _require(1 <= len(axes) <= limits.MAX_AXES, f"{what} has {len(axes)} axes, allowed are 1 to {limits.MAX_AXES}")
    _require(all(1 <= length <= _UINT32_MAX for length in axes), f"{what} has an axis without extent: {axes}")
    _require(dtype in ITEM_BYTES, f"{what} has dtype {dtype[:40]!r}, which may not cross the wire")


def _hello(event: Hello) -> None:
    _require(0 < event.version_min <= event.version_max <= _UINT32_MAX, "Hello offers no version")
    _text(event.software, "Hello's software", limits.MAX_ID_CHARS)


def _welcome(event: Welcome) -> None:
    _require(0 < event.version <= _UINT32_MAX, "Welcome settles on no version")
    _text(event.software, "Welcome's software", limits.MAX_ID_CHARS)
    _text(event.device, "Welcome's device", limits.MAX_ID_CHARS, empty=True)
    _require(len(event.bundles) <= limits.MAX_BUNDLES, f"Welcome names {len(event.bundles)} bundles")
    for bundle in event.bundles:
        _text(bundle.digest, "a bundle's digest", limits.MAX_ID_CHARS)
        _text(bundle.network, "a bundle's network", limits.MAX_ID_CHARS)
    told = event.limits
    _require(0 < told.max_requests <= _UINT32_MAX, f"Welcome allows {told.max_requests} requests")
    _require(0 < told.max_payload_bytes <= _UINT64_MAX, f"Welcome allows payloads of {told.max_payload_bytes} bytes")
    _require(0 < told.max_buffered_bytes <= _UINT64_MAX, f"Welcome buffers {told.max_buffered_bytes} bytes")


def _start(event: Start) -> None:
    _uint64(event.request_id, "Start's request id", least=1)
    for what, text in (("bundle digest", event.bundle_digest), ("cut id", event.cut_id), ("codec", event.codec)):
        _text(text, f"Start's {what}", limits.MAX_ID_CHARS)
    for what, text in (
        ("variant id", event.variant_id),
        ("idempotency key", event.idempotency_key),
        ("study key", event.study_key),
    ):
        _text(text, f"Start's {what}", limits.MAX_ID_CHARS, empty=True)
    _codec_config(event.codec_config)
    _seconds(event.deadline_s, "Start's deadline")
    count = len(event.tensors)
    _require(1 <= count <= limits.MAX_TENSORS, f"Start has {count} tensors, allowed are 1 to {limits.MAX_TENSORS}")
    for index, header in enumerate(event.tensors):
        _shape(header.shape, header.dtype, f"tensor {index}")
        _uint64(header.payload_bytes, f"tensor {index}'s payload size")
    _uint64(event.payload_bytes, "Start's payload size")
    _require(0 <= event.upload_offset <= event.payload_bytes, "Start's upload offset is beyond its payload")


def _codec_config(config: Mapping[str, str]) -> None:
    _require(len(config) <= limits.MAX_CODEC_CONFIG, f"the codec's configuration has {len(config)} entries")
    for key, value in config.items():
        _text(key, "a codec setting's name", limits.MAX_ID_CHARS)
        _text(value, "a codec setting's value", limits.MAX_ID_CHARS, empty=True)


def _chunk(event: Chunk) -> None:
    _uint64(event.request_id, "Chunk's request id", least=1)
    _uint64(event.offset, "Chunk's offset")
    size = len(event.data)
    _require(size <= limits.MAX_CHUNK_BYTES, f"Chunk has {size} bytes, the limit is {limits.MAX_CHUNK_BYTES}")
    _require(event.last or size > 0, "Chunk is empty and not the last")


def _cancel(event: Cancel) -> None:
    _uint64(event.request_id, "Cancel's request id", least=1)


def _result(event: Result) -> None:
    _uint64(event.request_id, "Result's request id", least=1)
    count = len(event.outputs)
    _require(1 <= count <= limits.MAX_TENSORS, f"Result has {count} outputs, allowed are 1 to {limits.MAX_TENSORS}")
    for output in event.outputs:
        _text(output.name, "an output's name", limits.MAX_ID_CHARS)
        _shape(output.shape, output.dtype, f"output {output.name!r}")
        declared = decoded_bytes(output.shape, output.dtype)
        _require(declared == len(output.data), f"output {output.name!r} has {len(output.data)} bytes, not {declared}")
    _require(len({output.name for output in event.outputs}) == count, "Result names an output twice")
    for what in ("receive_s", "queue_s", "decode_s", "tail_s", "server_s"):
        _seconds(getattr(event, what), f"Result's {what}")
    _require(len(event.arrivals) <= limits.MAX_ARRIVALS, f"Result reports {len(event.arrivals)} arrivals")
    for arrival in event.arrivals:
        _uint64(arrival.offset_end, "an arrival's offset")
        _seconds(arrival.at_s, "an arrival's time")
    _load(event.load)


def _refusal(event: Refusal) -> None:
    _uint64(event.request_id, "Refusal's request id")
    _require(_CODE.fullmatch(event.code) is not None, f"{event.code[:40]!r} is no refusal code")
    _text(event.message, "Refusal's message", limits.MAX_MESSAGE_CHARS)


def _ping(event: Ping) -> None:
    _nonce(event)
    size, most = len(event.padding), limits.MAX_PADDING_BYTES
    _require(size <= most, f"Ping's padding has {size} bytes, allowed are {most}")


def _pong(event: Pong) -> None:
    _nonce(event)
    _load(event.load)


def _load(load: Load | None) -> None:
    if load is None:
        return
    for what in ("routine_wait_s", "stat_wait_s", "service_s"):
        _seconds(getattr(load, what), f"the load's {what}")
    _require(load.stat_wait_s <= load.routine_wait_s, "STAT waits longer than routine in the load")
    ratio, used = load.tail_ratio, load.utilisation
    _require(math.isfinite(ratio) and ratio > 0, f"the load's tail ratio is {ratio}")
    _require(0 <= used <= 1, f"the load's utilisation is {used}, not a share")
    for what in ("requests", "units"):
        count = getattr(load, what)
        _require(0 <= count <= _UINT32_MAX, f"the load counts {count} {what}")


def _nonce(event: Ping | Pong) -> None:
    _uint64(event.nonce, "the nonce")


_CHECKS: Final[Mapping[type, Callable[[Any], None]]] = {
    Hello: _hello,
    Welcome: _welcome,
    Start: _start,
    Chunk: _chunk,
    Cancel: _cancel,
    Result: _result,
    Refusal: _refusal,
    Ping: _ping,
    Pong: _pong,
}
