"""What comes back from the cloud: the outputs, where the time went, and a handle to wait for both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from suture_protocol.errors import LinkError, SutureError
from suture_protocol.events import Arrival, Load


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudTimings:
    """Where one request's time went, in seconds.

    `total_s` is from handing it in to having the result; `waited_s` of it passed here before its first byte was sent,
    `server_s` on the cloud after its last byte had arrived (`queue_s`, `decode_s` and `tail_s` are parts of that).
    `receive_s` is the cloud's view of the upload, from Start to the last byte.
    """

    total_s: float
    waited_s: float
    receive_s: float
    queue_s: float
    decode_s: float
    tail_s: float
    server_s: float

    @property
    def transfer_s(self) -> float:
        """Time on the wire, both ways, with what the two ends needed to read and write."""
        return max(self.total_s - self.waited_s - self.server_s, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CloudResult:
    """A request's outputs by name, batch axis 1, with what the link estimate needs."""

    outputs: Mapping[str, NDArray[Any]]
    timings: CloudTimings
    arrivals: tuple[Arrival, ...]
    payload_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSample:
    """How busy the cloud said it is; `at_s` on the client's clock.

    `waited_s` is what the request had waited that it came with; None where it came with a pong, which counts only
    while this unit has no request there: its own would be in the wait that is reported.
    """

    at_s: float
    load: Load
    waited_s: float | None = None


class PendingResult:
    """A request in flight; `wait` or `cancel` it from any thread."""

    def __init__(self, cancel: Callable[[], None], address: str) -> None:
        self._cancel = cancel
        self._address = address
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._result: CloudResult | None = None
        self._error: SutureError | None = None
        self._settled_at_s = 0.0
        self._callbacks: list[Callable[[], None]] = []

    @property
    def settled_at_s(self) -> float:
        """When it was settled, on `time.perf_counter`'s clock."""
        return self._settled_at_s

    @property
    def done(self) -> bool:
        """Whether `wait` would return at once."""
        return self._done.is_set()

    def settled(self, timeout_s: float) -> bool:
        """Waits until `wait` would return at once, and tells whether it would."""
        return self._done.wait(timeout_s)

    def wait(self, timeout_s: float) -> CloudResult:
        """The result. A request that does not come back in time is cancelled.

        Raises:
            Refused: the cloud declined it, or it was cancelled (code `cancelled`).
            LinkError: the path failed, or `timeout_s` passed.
            ProtocolError: the cloud broke the protocol.
        """
        if not self._done.wait(timeout_s):
            self.fail(LinkError(f"no result from the cloud at {self._address} within {timeout_s:.1f} s"))
            self.cancel()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise RuntimeError("done without a result")
        return self._result

    def cancel(self) -> None:
        """Tells the cloud that the result is no longer wanted; `wait` then raises, unless the result was faster."""
        self._cancel()

    def when_settled(self, callback: Callable[[], None]) -> None:
        """Has `callback` called once it is settled, by the thread that settles it; at once where it is."""
        with self._lock:
            if not self._done.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def succeed(self, result: CloudResult) -> None:
        """Settles it, unless it is settled already."""
        self._settle(result, None)

    def fail(self, error: SutureError) -> None:
        """Settles it with an error, unless it is settled already."""
        self._settle(None, error)

    def _settle(self, result: CloudResult | None, error: SutureError | None) -> None:
        with self._lock:
            if self._done.is_set():
                return
            self._result, self._error, self._settled_at_s = result, error, time.perf_counter()
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
