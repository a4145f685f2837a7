"""Whether the cloud can be used now: reconnects in the background, so that no image waits for a cloud that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from suture_edge.client import CONNECT_TIMEOUT_S, CloudClient
from suture_protocol import codes
from suture_protocol.errors import LinkError, Refused, SutureError

#: What the first image waits for the first connection: four round trips by satellite.
FIRST_WAIT_S: Final = 3.0
#: What an image waits for a connection that was just lost; it often is back at once.
RECONNECT_WAIT_S: Final = 1.0
#: Rest after a request that failed although there was a connection; doubles with each that follows.
FIRST_REST_S: Final = 2.0
LONGEST_REST_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0


class Reach:
    """The way to one cloud. `ensure` is for one thread; the connecting happens in another.

    Only the first image waits `FIRST_WAIT_S` for a cloud, and the first after a loss `RECONNECT_WAIT_S`. While it
    stays away, attempts go on in the background, about one a second, and `ensure` answers at once.
    """

    def __init__(self, cloud: CloudClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepares; nothing is connected yet."""
        self.cloud = cloud
        self._clock = clock
        self._patience_s = FIRST_WAIT_S
        self._pending: Future[None] | None = None
        self._why: LinkError | None = None
        self._closed = threading.Event()
        self._rest_s = FIRST_REST_S
        self._rest_until_s = float("-inf")

    def ensure(self) -> None:
        """Returns with a connection, or raises soon.

        Raises:
            LinkError: there is none now, or the last request failed a moment ago.
            Refused: the cloud declined, as for a version that does not fit.
            UsageError: the address must not be used so.
        """
        if self._clock() < self._rest_until_s:
            raise LinkError(f"the last request to the cloud at {self.cloud.address} failed; it is given a rest")
        while not self.cloud.connected:
            self._wait()
        self._patience_s = RECONNECT_WAIT_S

    def nudge(self) -> None:
        """Sees to it that a connection is being made, without waiting for it."""
        if not self.cloud.connected and (self._pending is None or self._pending.done()):
            self._pending = self._start()

    def failed(self) -> None:
        """A request failed although there was a connection: rest before the next, so as not to lose time on each."""
        self._rest_until_s = self._clock() + self._rest_s
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)

    def succeeded(self) -> None:
        """A request was answered."""
        self._rest_s = FIRST_REST_S

    def close(self) -> None:
        """Stops connecting; the client stays its owner's."""
        self._closed.set()

    def _wait(self) -> None:
        pending = self._pending = self._pending or self._start()
        try:
            pending.result(self._patience_s)
        except TimeoutError:
            self._patience_s = 0.0
            raise self._why or LinkError(
                f"the cloud at {self.cloud.address} did not answer in time; "
                "check the address, and that `suture cloud` runs there"
            ) from None
        finally:
            if pending.done():
                self._pending = None

    def _start(self) -> Future[None]:
        outcome: Future[None] = Future()
        self._why = None
        threading.Thread(target=self._connect, args=(outcome,), name="suture-reach", daemon=True).start()
        return outcome

    def _connect(self, outcome: Future[None]) -> None:
        pause_s = _FIRST_PAUSE_S
        while not (self._closed.is_set() or self.cloud.closed):
            try:
                self.cloud.connect(CONNECT_TIMEOUT_S, anew=False)
            except LinkError as error:
                self._why = error
            except SutureError as error:
                if not (isinstance(error, Refused) and error.code == codes.STOPPING):
                    outcome.set_exception(error)
                    return
            else:
                outcome.set_result(None)
                return
            self._closed.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        outcome.set_exception(LinkError(f"this unit's way to the cloud at {self.cloud.address} is closed"))
