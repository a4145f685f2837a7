"""The engine interface: load a head, run it, close it. Adding an engine is one file and one row in `registry`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from numpy.typing import NDArray

from suture_models.bundle import Bundle
from suture_models.manifest import Cut, Variant
from suture_protocol.errors import BundleError


@contextmanager
def library_errors(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Within it, what an engine's library raises is a BundleError, so that nobody else need know the library's errors.

    Args:
        what: Which library and head, for a person.
        kinds: The library's own errors.

    Raises:
        BundleError: the library raised one of `kinds`.
    """
    try:
        yield
    except kinds as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise BundleError(f"{what}: {reason}; build the bundle again") from error


class Head(Protocol):
    """The first part of a network, compiled for this machine. Not thread-safe."""

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Runs the head on one input of the bundle's input shape and dtype.

        Returns:
            One array per tensor of the cut's boundary, in its order and shape: uint8 codes where the variant has
            a quantiser for the tensor, else the tensor's own dtype. For the last cut: the network's outputs, float32.
            The arrays belong to the caller.

        Raises:
            BundleError: the library cannot run it.
        """
        ...

    def layer_times_s(self) -> dict[str, float]:
        """Time of each layer of the last `run` in seconds, by the engine's own counters; empty where it has none.

        A layer is named after the nodes of the bundle's graph that it computes, joined by `+`, with the engine's own
        name for it behind `#`: `getitem_3+hardtanh_1#node_Conv_811`. One that computes none (a change of layout) is
        named after the nodes that it works for.
        """
        ...

    def close(self) -> None:
        """Frees the head's memory; it cannot be run again."""
        ...


class Engine(Protocol):
    """One inference library."""

    name: str

    def version(self) -> str:
        """Version of the library, for fingerprints."""
        ...

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> Head:
        """Compiles the head of `cut` from the bundle's artefact for `variant`.

        Raises:
            BundleError: the variant has no head for that cut, or the library cannot compile it.
            CapabilityMissing: the library is not installed; the message says how to install it.
        """
        ...
