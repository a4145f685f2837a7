"""The pulse of the path: pings on a connection of their own give round-trip times and notice within a second that the
path is dead."""

from __future__ import annotations

import math
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
from suture_protocol.events import Event, Hello, Load, Ping, Pong, Received

#: Round-trip times kept: the last half minute at four a second.
_SAMPLES: Final = 120
#: A probe is a bare ping and so many padded ones behind it: together below TCP's first window of 14.6 KB (RFC 6928), so
#: that the bottleneck spaces them and not TCP.
_PROBE_PINGS: Final = 3
_PROBE_PADDING: Final = bytes(4_000)
#: Round trips that count as the last ones, and by how many of the slowest of them a ping is late.
_RECENT: Final = 8
_LATE: Final = 2.0


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
    """A measured round trip; `at_s` on the client's clock.

    `uploading`: a request was under way when the ping was sent or answered, so that either may have queued behind it.
    """

    at_s: float
    rtt_s: float
    uploading: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSample:
    """A probe's outcome: the padding, how long after the bare ping's pong the last one's came, and from the bare ping
    to that; `at_s` is when."""

    at_s: float
    padding_bytes: int
    spacing_s: float
    round_trip_s: float


@dataclass(slots=True)
class _Probe:
    """A probe on its way: the bare ping's nonce, the last one's, and when the bare one's pong came."""

    first: int
    last: int
    sent_s: float = 0.0
    began_s: float | None = None


class Heartbeat:
    """Pings the cloud until closed.

    Args:
        channel: A channel of its own, so that pings wait behind no upload; closed with the heartbeat.
        address: The cloud's.
        hello: What to offer.
        pulse: How often, and when to give up.
        pressure: Whether bulk fills the path beside it, and when the transport last took some of it.
        uploading: Whether any request is under way beside it.
        on_dead: Told once, from a thread of the heartbeat's, that the path is dead.
        clock: Seconds, monotonic.
        on_load: Told what a pong says of the cloud's load, and when it came.
    """

    def __init__(
        self,
        channel: Any,
        address: Address,
        hello: Hello,
        pulse: Pulse,
        pressure: Callable[[], tuple[bool, float]],
        uploading: Callable[[], bool],
        on_dead: Callable[[SutureError], None],
        clock: Callable[[], float] = time.monotonic,
        on_load: Callable[[Load, float], None] = lambda _load, _at_s: None,
    ) -> None:
        self._channel = channel
        self._address = address
        self._pulse = pulse
        self._pressure = pressure
        self._uploading = uploading
        self._on_dead = on_dead
        self._on_load = on_load
        self._clock = clock
        self._sent: dict[int, tuple[float, bool]] = {}
        self._samples: deque[RttSample] = deque(maxlen=_SAMPLES)
        self._nonce = 0
        self._probe: _Probe | None = None
        self._probed: deque[ProbeSample] = deque(maxlen=_SAMPLES)
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

    def slowest_s(self, since_s: float) -> float:
        """The longest that a pong took which came since then, or that one is due for by now."""
        now_s = self._clock()
        with self._lock:
            due = [now_s - at_s for at_s, _ in self._sent.values()]
            took = [sample.rtt_s for sample in self._samples if sample.at_s >= since_s]
        return max((*due, *took), default=0.0)

    def probe(self) -> bool:
        """Sends some 12 KB to measure the rate of a link that carries nothing else; its outcome is among `probes`.

        Returns:
            False where nothing was sent: one is on its way, or the path may be dead. A ping that is out for no longer
            than usual is no reason: images come by a clock as pings do, and could meet one every time.
        """
        with self._lock:
            if self._probe is not None or self._closed.is_set() or self._late():
                return False
            first, last = self._nonce + 1, self._nonce + 1 + _PROBE_PINGS
            self._nonce = last
            self._probe = _Probe(first, last)
        # Not under the lock: the call holds its own while it tells what was sent.
        self._call.post(Ping(nonce=first))
        for nonce in range(first + 1, last + 1):
            self._call.post(Ping(nonce=nonce, padding=_PROBE_PADDING))
        return True

    def probes(self) -> tuple[ProbeSample, ...]:
        """The last probes' outcomes, oldest first."""
        with self._lock:
            return tuple(self._probed)

    def close(self) -> None:
        """Stops pinging and closes the channel; `on_dead` is not told after that."""
        self._closed.set()
        self._call.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        self._channel.close()

    def sent(self, event: Event, upload: Upload | None, at_s: float) -> None:  # noqa: ARG002 a Listener's signature
        if isinstance(event, Ping):
            uploading = self._uploading()
            with self._lock:
                self._sent[event.nonce] = at_s, uploading
                if self._probe is not None and event.nonce == self._probe.first:
                    self._probe.sent_s = at_s

    def received(self, event: Received, at_s: float) -> None:
        if isinstance(event, Pong):
            uploading = self._uploading()
            with self._lock:
                sent_at_s, beside = self._sent.pop(event.nonce, (None, False))
                # A padded ping's round trip holds its own transfer.
                if sent_at_s is not None and not self._padded(event.nonce):
                    sample = RttSample(at_s=at_s, rtt_s=at_s - sent_at_s, uploading=beside or uploading)
                    self._samples.append(sample)
                self._note_probe(event.nonce, at_s)
            if event.load is not None:
                self._on_load(event.load, at_s)

    def ended(self, error: SutureError) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._on_dead(error)

    def _beat(self) -> None:
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
                self._nonce += 1
                nonce = self._nonce
            # A few suffice to see life return, and a path that stalls must not be met with a burst afterwards.
            if outstanding < 16:
                self._call.post(Ping(nonce=nonce))

    def _late(self) -> bool:
        """Whether a ping is out for much longer than the last ones were."""
        oldest_s = min((at_s for at_s, _ in self._sent.values()), default=math.inf)
        return self._clock() - oldest_s > _LATE * self._recent_s()

    def _recent_s(self) -> float:
        """The slowest of the last round trips; 0 before the first."""
        return max((sample.rtt_s for sample in list(self._samples)[-_RECENT:]), default=0.0)

    def _padded(self, nonce: int) -> bool:
        return self._probe is not None and self._probe.first < nonce <= self._probe.last

    def _note_probe(self, nonce: int, at_s: float) -> None:
        probe = self._probe
        if probe is None:
            return
        if nonce == probe.first:
            probe.began_s = at_s
        elif nonce == probe.last:
            self._probe = None
            if probe.began_s is not None:
                self._probed.append(
                    ProbeSample(
                        at_s=at_s,
                        padding_bytes=_PROBE_PINGS * len(_PROBE_PADDING),
                        spacing_s=at_s - probe.began_s,
                        round_trip_s=at_s - probe.sent_s,
                    )
                )

    def _silence_s(self) -> float:
        """How long nothing was heard although an answer is due."""
        with self._lock:
            if not self._sent:
                return 0.0
            oldest = min(at_s for at_s, _ in self._sent.values())
        bulk, moved_at_s = self._pressure()
        # What is no bulk is taken although the path is dead, until the window is full.
        return self._clock() - max(oldest, self._call.heard_at_s, moved_at_s if bulk else oldest)

    def _patience_s(self) -> float:
        bulk, _ = self._pressure()
        with self._lock:
            least = self._pulse.dead_after_bulk_s if bulk or self._probe else self._pulse.dead_after_s
            return max(least, self._pulse.rtts * self._recent_s())
