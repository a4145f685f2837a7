"""A network's outputs as named tensors for the wire, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from suture_protocol.codecs.layout import array_from_bytes, array_to_bytes
from suture_protocol.events import NamedTensor, Result


def to_named(outputs: Mapping[str, NDArray[Any]]) -> tuple[NamedTensor, ...]:
    """`outputs` for a Result.

    Raises:
        ValueError: one has a shape or dtype that does not cross the wire.
    """
    return tuple(
        NamedTensor(name=name, shape=tuple(array.shape), dtype=array.dtype.name, data=array_to_bytes(array))
        for name, array in outputs.items()
    )


def from_result(result: Result) -> dict[str, NDArray[Any]]:
    """The arrays of `result`, by name; they belong to the caller.

    Raises:
        CodecError: one holds what its dtype cannot.
    """
    return {o.name: array_from_bytes(o.data, o.shape, o.dtype) for o in result.outputs}
