"""A request's payload: the boundary tensors of one cut, coded one behind the other. Bytes in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import declared_bytes, dtype_name
from suture_protocol.errors import CodecError
from suture_protocol.limits import MAX_DECODED_BYTES, MAX_ELEMENTS, MAX_PAYLOAD_BYTES, MAX_TENSORS


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadTensor:
    """What the wire's TensorHeader says of one tensor: its shape (batch axis included), dtype and coded size."""

    shape: tuple[int, ...]
    dtype: str
    payload_bytes: int


def pack(tensors: Sequence[NDArray[Any]], codec: Codec) -> tuple[tuple[PayloadTensor, ...], bytes]:
    """Codes `tensors` with `codec`, in their order.

    Raises:
        ValueError: the codec does not take one of them, or together they are beyond what one request carries.
    """
    _check_declared([(tuple(t.shape), dtype_name(t.dtype)) for t in tensors], ValueError)
    parts = [codec.of_tensor(place).encode(tensor) for place, tensor in enumerate(tensors)]
    if sum(map(len, parts)) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"the payload is larger than {MAX_PAYLOAD_BYTES} bytes")
    headers = tuple(
        PayloadTensor(shape=tuple(tensor.shape), dtype=dtype_name(tensor.dtype), payload_bytes=len(part))
        for tensor, part in zip(tensors, parts, strict=True)
    )
    return headers, b"".join(parts)


def check_headers(headers: Sequence[PayloadTensor]) -> int:
    """Checks a request's headers against the limits, before its payload arrives.

    Returns:
        The payload's size in bytes that they declare.

    Raises:
        CodecError: they declare more than one request may carry.
    """
    _check_declared([(h.shape, h.dtype) for h in headers], CodecError)
    if any(h.payload_bytes < 0 for h in headers):
        raise CodecError("a tensor declares a negative payload")
    size = sum(h.payload_bytes for h in headers)
    if size > MAX_PAYLOAD_BYTES:
        raise CodecError(f"the request declares {size} bytes of payload; at most {MAX_PAYLOAD_BYTES} are accepted")
    return size


def unpack(
    headers: Sequence[PayloadTensor], payload: bytes | bytearray | memoryview, codec: Codec
) -> tuple[NDArray[Any], ...]:
    """Decodes what `pack` made; allocates no more than the headers declare plus a constant.

    Raises:
        CodecError: the headers are beyond the limits, the payload is damaged, or the two do not fit.
    """
    declared = check_headers(headers)
    view = memoryview(payload).cast("B").toreadonly()
    if view.nbytes != declared:
        raise CodecError(f"the payload has {view.nbytes} bytes, its headers declare {declared}")
    tensors = []
    start = 0
    for place, header in enumerate(headers):
        own = codec.of_tensor(place)
        if not own.accepts(header.shape, header.dtype):
            raise CodecError(f"codec {codec.spec} carries no tensor of shape {header.shape} and dtype {header.dtype!r}")
        end = start + header.payload_bytes
        tensors.append(own.decode(view[start:end], header.shape, header.dtype))
        start = end
    return tuple(tensors)


def _check_declared(tensors: Sequence[tuple[tuple[int, ...], str]], error: type[Exception]) -> None:
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise error(f"{len(tensors)} tensors in one request; between 1 and {MAX_TENSORS} are accepted")
    elements = decoded = 0
    for shape, dtype in tensors:
        try:
            decoded += declared_bytes(shape, dtype)
        except CodecError as beyond:
            raise error(str(beyond)) from beyond
        elements += math.prod(shape)
    if elements > MAX_ELEMENTS or decoded > MAX_DECODED_BYTES:
        raise error(f"the tensors of one request take {decoded} bytes decoded, beyond the limit of {MAX_DECODED_BYTES}")
