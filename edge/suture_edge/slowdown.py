"""The seam through which an emulated slow device comes in: a wrapper put around each timed operation of the unit."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, Protocol, TypeVar

from numpy.typing import NDArray

from suture_protocol.codecs.base import Codec

P = ParamSpec("P")
R = TypeVar("R")


class Slowdown(Protocol):
    """Gives an operation back, slowed or as it was; it may be run more often than it is called.

    `work` names what is the same work at each call (a head, the reading of one file), so that an emulated device can
    take its usual time for it.
    """

    def __call__(self, function: Callable[P, R], /, *, work: Hashable = None) -> Callable[P, R]: ...


def full_speed(function: Callable[P, R], /, *, work: Hashable = None) -> Callable[P, R]:  # noqa: ARG001 see `Slowdown`
    """No emulation: the operation as it was."""
    return function


class SlowedCodec(Codec):
    """A codec whose encoding is slowed; what it writes is unchanged."""

    def __init__(self, codec: Codec, slow: Slowdown) -> None:
        """Wraps `codec`."""
        self.id = codec.id  # type: ignore[misc]
        self.lossless = codec.lossless
        self.bits = codec.bits
        self.point = codec.point
        self._codec, self._slow = codec, slow
        self._encode = slow(codec.encode)

    @property
    def spec(self) -> str:
        """The wrapped codec's."""
        return self._codec.spec

    @property
    def config(self) -> Any:
        """The wrapped codec's settings."""
        return self._codec.config

    def of_tensor(self, place: int) -> Codec:
        """The wrapped codec's for one tensor, slowed."""
        own = self._codec.of_tensor(place)
        return self if own is self._codec else SlowedCodec(own, self._slow)

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        """As the wrapped codec."""
        return self._codec.accepts(shape, dtype)

    def encode(self, array: NDArray[Any]) -> bytes:
        """As the wrapped codec, slowed."""
        return self._encode(array)

    def decode(self, payload: bytes | memoryview, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """As the wrapped codec."""
        return self._codec.decode(payload, shape, dtype)
