"""The pulse of the path: pings on a connection of their own give round-trip times and notice within a second that the
path is dead."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from suture_edge.call import SessionCall
from suture_edge.uploads import Upload
from suture_protocol.address import Address
from suture_protocol.errors import LinkError, SutureError
from suture_protocol.events import Event, Hello, Ping, Pong, Received

#: Round-trip times kept: the last half minute at four a second.
_SAMPLES: Final = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """How often to ping and when to give up, in seconds.

    An upload fills a slow link's queue, and pings wait in it: 64 KB, what HTTP/2 has under way, take 2.6 s at
    200 kbit/s. So silence is judged by the longer time while bulk is on its way, and never by less than `rtts` round
    trips.
    """

    interval_s: float = 0.25
    dead_after_s: float = 1.0
    dead_after_bulk_s: float = 3.0
    rtts: float = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RttSample:
    """A measured round trip; `at_s` on the client's clock."""

    at_s: float
    rtt_s: float


class Heartbeat:
    """Pings the cloud until closed.

    Args:
        channel: A channel of its own, so that pings wait behind no upload; closed with the heartbeat.
        address: The cloud's.
        hello: What to offer.
        pulse: How often, and when to give up.
        pressure: Whether bulk fills the path beside it, and when the transport last took some of it.
        on_dead: Told once, from a thread of the heartbeat's, that the path is dead.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        channel: Any,
        address: Address,
        hello: Hello,
        pulse: Pulse,
        pressure: Callable[[], tuple[bool, float]],
        on_dead: Callable[[SutureError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._address = address
        self._pulse = pulse
        self._pressure = pressure
        self._on_dead = on_dead
        self._clock = clock
        self._sent: dict[int, float] = {}
        self._samples: deque[RttSample] = deque(maxlen=_SAMPLES)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="suture-heartbeat", daemon=True)
        self._call = SessionCall(channel, address, hello, self, clock)

    def start(self, timeout_s: float) -> None:
        """Waits for the connection and begins to ping.

        Raises:
            LinkError: the cloud did not answer.
            Refused: it declined.
        """
        self._call.wait_welcome(timeout_s)
        self._thread.start()

    def samples(self) -> tuple[RttSample, ...]:
        """The last round trips, oldest first."""
        with self._lock:
            return tuple(self._samples)

    def close(self) -> None:
        """Stops pinging and closes the channel; `on_dead` is not told after that."""
        self._closed.set()
        self._call.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        self._channel.close()

    def sent(self, event: Event, upload: Upload | None, at_s: float) -> None:  # noqa: ARG002 a Listener's signature
        if isinstance(event, Ping):
            with self._lock:
                self._sent[event.nonce] = at_s

    def received(self, event: Received, at_s: float) -> None:
        if isinstance(event, Pong):
            with self._lock:
                sent_at_s = self._sent.pop(event.nonce, None)
                if sent_at_s is not None:
                    self._samples.append(RttSample(at_s=at_s, rtt_s=at_s - sent_at_s))

    def ended(self, error: SutureError) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._on_dead(error)

    def _beat(self) -> None:
        nonce = 0
        beat_at_s = self._clock()
        while not self._closed.wait(self._pulse.interval_s):
            was_at_s, beat_at_s = beat_at_s, self._clock()
            if beat_at_s - was_at_s > 3 * self._pulse.interval_s:
                # This process was held up (or suspended), so that pongs may lie unread: it is in no place to judge.
                continue
            silent_s = self._silence_s()
            if silent_s > self._patience_s():
                self.ended(LinkError(f"no sign of life from the cloud at {self._address} for {silent_s:.1f} s"))
                return
            with self._lock:
                outstanding = len(self._sent)
            # A few suffice to see life return, and a path that stalls must not be met with a burst afterwards.
            if outstanding < 16:
                nonce += 1
                self._call.post(Ping(nonce=nonce))

    def _silence_s(self) -> float:
        """How long nothing was heard although an answer is due."""
        with self._lock:
            if not self._sent:
                return 0.0
            oldest = min(self._sent.values())
        _, moved_at_s = self._pressure()
        return self._clock() - max(oldest, self._call.heard_at_s, moved_at_s)

    def _patience_s(self) -> float:
        bulk, _ = self._pressure()
        least = self._pulse.dead_after_bulk_s if bulk else self._pulse.dead_after_s
        with self._lock:
            recent = [sample.rtt_s for sample in list(self._samples)[-8:]]
        return max(least, self._pulse.rtts * max(recent, default=0.0))
