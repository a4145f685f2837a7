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


# No message is made unless it is needed: each frame is checked where it is sent and where it arrives, and making them
# took half of a small frame's time.


def _text(value: str, what: str, limit: int, *, empty: bool = False) -> None:
    if len(value) > limit:
        raise ValueError(f"{what} has {len(value)} characters, the limit is {limit}")
    if not value and not empty:
        raise ValueError(f"{what} is empty")
    # All text ends up in logs and on terminals.
    if not value.isprintable():
        raise ValueError(f"{what} holds characters that cannot be printed")


def _seconds(value: float, what: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{what} is {value}, not a time")


def _uint64(value: int, what: str, *, least: int = 0) -> None:
    if not least <= value <= _UINT64_MAX:
        raise ValueError(f"{what} {value} is out of range")


def _shape(shape: Iterable[int], dtype: str, what: str) -> None:
    axes = tuple(shape)
    if not 1 <= len(axes) <= limits.MAX_AXES:
        raise ValueError(f"{what} has {len(axes)} axes, allowed are 1 to {limits.MAX_AXES}")
    if not all(1 <= length <= _UINT32_MAX for length in axes):
        raise ValueError(f"{what} has an axis without extent: {axes}")
    if dtype not in ITEM_BYTES:
        raise ValueError(f"{what} has dtype {dtype[:40]!r}, which may not cross the wire")


def _hello(event: Hello) -> None:
    if not 0 < event.version_min <= event.version_max <= _UINT32_MAX:
        raise ValueError("Hello offers no version")
    _text(event.software, "Hello's software", limits.MAX_ID_CHARS)


def _welcome(event: Welcome) -> None:
    if not 0 < event.version <= _UINT32_MAX:
        raise ValueError("Welcome settles on no version")
    _text(event.software, "Welcome's software", limits.MAX_ID_CHARS)
    _text(event.device, "Welcome's device", limits.MAX_ID_CHARS, empty=True)
    if len(event.bundles) > limits.MAX_BUNDLES:
        raise ValueError(f"Welcome names {len(event.bundles)} bundles")
    for bundle in event.bundles:
        _text(bundle.digest, "a bundle's digest", limits.MAX_ID_CHARS)
        _text(bundle.network, "a bundle's network", limits.MAX_ID_CHARS)
    told = event.limits
    if not 0 < told.max_requests <= _UINT32_MAX:
        raise ValueError(f"Welcome allows {told.max_requests} requests")
    if not 0 < told.max_payload_bytes <= _UINT64_MAX:
        raise ValueError(f"Welcome allows payloads of {told.max_payload_bytes} bytes")
    if not 0 < told.max_buffered_bytes <= _UINT64_MAX:
        raise ValueError(f"Welcome buffers {told.max_buffered_bytes} bytes")


def _start(event: Start) -> None:
    _uint64(event.request_id, "Start's request id", least=1)
    _text(event.bundle_digest, "Start's bundle digest", limits.MAX_ID_CHARS)
    _text(event.cut_id, "Start's cut id", limits.MAX_ID_CHARS)
    _text(event.codec, "Start's codec", limits.MAX_ID_CHARS)
    _text(event.variant_id, "Start's variant id", limits.MAX_ID_CHARS, empty=True)
    _text(event.idempotency_key, "Start's idempotency key", limits.MAX_ID_CHARS, empty=True)
    _text(event.study_key, "Start's study key", limits.MAX_ID_CHARS, empty=True)
    _codec_config(event.codec_config)
    _seconds(event.deadline_s, "Start's deadline")
    count = len(event.tensors)
    if not 1 <= count <= limits.MAX_TENSORS:
        raise ValueError(f"Start has {count} tensors, allowed are 1 to {limits.MAX_TENSORS}")
    for index, header in enumerate(event.tensors):
        try:
            _shape(header.shape, header.dtype, "it")
            _uint64(header.payload_bytes, "its payload size")
        except ValueError as error:
            raise ValueError(f"tensor {index}: {error}") from error
    size = event.payload_bytes
    _uint64(size, "Start's payload size")
    if not 0 <= event.upload_offset <= size:
        raise ValueError("Start's upload offset is beyond its payload")


def _codec_config(config: Mapping[str, str]) -> None:
    if len(config) > limits.MAX_CODEC_CONFIG:
        raise ValueError(f"the codec's configuration has {len(config)} entries")
    for key, value in config.items():
        _text(key, "a codec setting's name", limits.MAX_ID_CHARS)
        _text(value, "a codec setting's value", limits.MAX_ID_CHARS, empty=True)


def _chunk(event: Chunk) -> None:
    _uint64(event.request_id, "Chunk's request id", least=1)
    _uint64(event.offset, "Chunk's offset")
    size = len(event.data)
    if size > limits.MAX_CHUNK_BYTES:
        raise ValueError(f"Chunk has {size} bytes, the limit is {limits.MAX_CHUNK_BYTES}")
    if not size and not event.last:
        raise ValueError("Chunk is empty and not the last")


def _cancel(event: Cancel) -> None:
    _uint64(event.request_id, "Cancel's request id", least=1)


def _result(event: Result) -> None:
    _uint64(event.request_id, "Result's request id", least=1)
    count = len(event.outputs)
    if not 1 <= count <= limits.MAX_TENSORS:
        raise ValueError(f"Result has {count} outputs, allowed are 1 to {limits.MAX_TENSORS}")
    for output in event.outputs:
        _text(output.name, "an output's name", limits.MAX_ID_CHARS)
        try:
            _shape(output.shape, output.dtype, "it")
        except ValueError as error:
            raise ValueError(f"output {output.name!r}: {error}") from error
        declared = decoded_bytes(output.shape, output.dtype)
        if declared != len(output.data):
            raise ValueError(f"output {output.name!r} has {len(output.data)} bytes, not {declared}")
    if len({output.name for output in event.outputs}) != count:
        raise ValueError("Result names an output twice")
    _seconds(event.receive_s, "Result's receive_s")
    _seconds(event.queue_s, "Result's queue_s")
    _seconds(event.decode_s, "Result's decode_s")
    _seconds(event.tail_s, "Result's tail_s")
    _seconds(event.server_s, "Result's server_s")
    if len(event.arrivals) > limits.MAX_ARRIVALS:
        raise ValueError(f"Result reports {len(event.arrivals)} arrivals")
    for arrival in event.arrivals:
        _uint64(arrival.offset_end, "an arrival's offset")
        _seconds(arrival.at_s, "an arrival's time")
    _load(event.load)


def _refusal(event: Refusal) -> None:
    _uint64(event.request_id, "Refusal's request id")
    if _CODE.fullmatch(event.code) is None:
        raise ValueError(f"{event.code[:40]!r} is no refusal code")
    _text(event.message, "Refusal's message", limits.MAX_MESSAGE_CHARS)


def _ping(event: Ping) -> None:
    _nonce(event)
    size, most = len(event.padding), limits.MAX_PADDING_BYTES
    if size > most:
        raise ValueError(f"Ping's padding has {size} bytes, allowed are {most}")


def _pong(event: Pong) -> None:
    _nonce(event)
    _load(event.load)


def _load(load: Load | None) -> None:
    if load is None:
        return
    _seconds(load.routine_wait_s, "the load's routine_wait_s")
    _seconds(load.stat_wait_s, "the load's stat_wait_s")
    _seconds(load.service_s, "the load's service_s")
    if load.stat_wait_s > load.routine_wait_s:
        raise ValueError("STAT waits longer than routine in the load")
    if not (math.isfinite(load.tail_ratio) and load.tail_ratio > 0):
        raise ValueError(f"the load's tail ratio is {load.tail_ratio}")
    if not 0 <= load.utilisation <= 1:
        raise ValueError(f"the load's utilisation is {load.utilisation}, not a share")
    if not 0 <= load.requests <= _UINT32_MAX:
        raise ValueError(f"the load counts {load.requests} requests")
    if not 0 <= load.units <= _UINT32_MAX:
        raise ValueError(f"the load counts {load.units} units")


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
