"""The edge's client of a cloud: connect, send requests, get results; every wait has a bound.

with CloudClient("127.0.0.1:7000", PlainChannels(insecure=True)) as cloud:
    welcome = cloud.connect(timeout_s=5)
    result = cloud.infer(request, timeout_s=30)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from suture_edge.channels import ChannelFactory
from suture_edge.connection import Connection
from suture_edge.heartbeat import ProbeSample, Pulse, RttSample
from suture_edge.results import CloudResult, LoadSample, PendingResult
from suture_edge.sockets import Tuning
from suture_edge.uploads import CloudRequest
from suture_protocol import codes
from suture_protocol.address import Address, parse_address
from suture_protocol.errors import LinkError, Refused
from suture_protocol.events import Priority, Welcome
from suture_protocol.service import (
    PROFILE_METHOD,
    SERVICE,
    CloudProfile,
    decode_profile_reply,
    encode_profile_request,
)
from suture_protocol.version import VERSION_MAX, VERSION_MIN, hello, software

CONNECT_TIMEOUT_S: Final = 5.0
RESULT_TIMEOUT_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.1
#: Longest pause between two attempts to connect: a link that is back should be used within a second.
_LONGEST_PAUSE_S: Final = 1.0


class CloudClient:
    """A client of one cloud; safe to use from several threads.

    Args:
        address: The cloud's, or `HOST:PORT`.
        channels: Makes the channels; where TLS will live.
        software_name: This side's name and version, told to the cloud.
        versions: The span of protocol versions to offer.
        pulse: The heartbeat's settings; None for none, and then a dead path is noticed only by time-outs.
        clock: Seconds, monotonic.
        tuning: What to ask of the sockets, where the system allows it.
    """

    def __init__(
        self,
        address: Address | str,
        channels: ChannelFactory,
        software_name: str | None = None,
        *,
        versions: tuple[int, int] = (VERSION_MIN, VERSION_MAX),
        pulse: Pulse | None = Pulse(),  # noqa: B008 frozen
        clock: Callable[[], float] = time.monotonic,
        tuning: Tuning = Tuning(),  # noqa: B008 frozen
    ) -> None:
        self._tuning = tuning
        self.address = parse_address(address) if isinstance(address, str) else address
        self._channels = channels
        self._hello = hello(software_name or software(), version_min=versions[0], version_max=versions[1])
        self._pulse = pulse
        self._clock = clock
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._connection: Connection | None = None
        self._opening: Connection | None = None
        self._welcome: Welcome | None = None
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        with self._lock:
            return self._connection is not None and self._connection.alive

    @property
    def closed(self) -> bool:
        """Whether it was closed for good."""
        return self._closed.is_set()

    @property
    def welcome(self) -> Welcome | None:
        """The last welcome: the cloud's bundles, device and limits."""
        return self._welcome

    def rtt_samples(self) -> tuple[RttSample, ...]:
        """The present connection's last round trips, oldest first."""
        with self._lock:
            connection = self._connection
        return () if connection is None else connection.rtt_samples()

    @property
    def held_s(self) -> float:
        """For how long, all in all, the present connection held routine requests for urgent ones."""
        with self._lock:
            connection = self._connection
        return 0.0 if connection is None else connection.held_s

    def slowest_ping_s(self, since_s: float) -> float:
        """The longest that a pong took since then, on this client's clock, or is due for; 0 where none is."""
        with self._lock:
            connection = self._connection
        return 0.0 if connection is None else connection.slowest_ping_s(since_s)

    def load_samples(self) -> tuple[LoadSample, ...]:
        """What the cloud last said of its load on the present connection, oldest first; none from one that does not."""
        with self._lock:
            connection = self._connection
        return () if connection is None else connection.load_samples()

    def probe(self) -> bool:
        """Sends some 12 KB to measure the rate of a link that carries nothing else; the outcome is among `probes`.

        Returns:
            False where nothing was sent: there is no connection or heartbeat, or one is on its way.
        """
        with self._lock:
            connection = self._connection
        return connection is not None and connection.alive and connection.probe()

    def probes(self) -> tuple[ProbeSample, ...]:
        """The present connection's last probes, oldest first."""
        with self._lock:
            connection = self._connection
        return () if connection is None else connection.probes()

    def connect(self, timeout_s: float = CONNECT_TIMEOUT_S, *, anew: bool = True) -> Welcome:
        """Makes a new connection, once; what was in flight on an old one fails.

        Args:
            timeout_s: How long it may take.
            anew: Whether to do so although there is a connection, which another thread may have made just now.

        Raises:
            Refused: the cloud declined; code `version` where no protocol version fits.
            LinkError: it cannot be reached, did not answer in time, or this client is closed.
            UsageError: the address must not be used so.
        """
        with self._connecting:
            if not anew and self.connected and self._welcome is not None:
                return self._welcome
            self._drop()
            if self._closed.is_set():
                raise LinkError(f"this client of the cloud at {self.address} is closed")
            connection = Connection(self.address, self._channels, self._hello, self._pulse, self._clock, self._tuning)
            with self._lock:
                self._opening = connection
            try:
                welcome = connection.open(timeout_s)
            finally:
                with self._lock:
                    self._opening = None
            with self._lock:
                self._connection, self._welcome = connection, welcome
        return welcome

    def ensure_connected(self, timeout_s: float = CONNECT_TIMEOUT_S) -> Welcome:
        """Connects where there is no connection, again and again until `timeout_s` has passed.

        Raises:
            Refused: the cloud declined; trying again would not help.
            LinkError: it could not be reached in that time.
            UsageError: the address must not be used so.
        """
        until_s = self._clock() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self.connect(max(until_s - self._clock(), 0.1), anew=False)
            except LinkError:
                left_s = until_s - self._clock()
                if left_s <= 0 or self._closed.wait(min(pause_s, left_s)):
                    raise
            except Refused as refused:
                left_s = until_s - self._clock()
                if refused.code != codes.STOPPING or left_s <= 0 or self._closed.wait(min(pause_s, left_s)):
                    raise
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def submit(self, request: CloudRequest, timeout_s: float = RESULT_TIMEOUT_S) -> PendingResult:
        """Puts a request on its way and returns; more urgent ones overtake it chunk by chunk.

        Waits while so many requests are under way that one more would only fill this side's memory: 64, or 64 MiB.

        Raises:
            Refused: it is beyond what the cloud takes.
            LinkError: not connected, or none of those under way was answered in `timeout_s`.
            ProtocolError: the request is malformed.
        """
        return self._connected().submit(request, timeout_s)

    @contextmanager
    def way(self, priority: Priority) -> Iterator[None]:
        """While an urgent request is being made: routine ones hold back, so that it finds the path free."""
        with self._lock:
            connection = self._connection
        if connection is None:
            yield
            return
        with connection.way(priority):
            yield

    def infer(self, request: CloudRequest, timeout_s: float = RESULT_TIMEOUT_S) -> CloudResult:
        """Sends a request and waits for its result.

        Raises:
            Refused: the cloud declined it.
            LinkError: not connected, the path failed, or `timeout_s` passed.
            ProtocolError: the request is malformed, or the cloud broke the protocol.
            CodecError: an output cannot be read.
        """
        until_s = self._clock() + timeout_s
        return self.submit(request, timeout_s).wait(max(until_s - self._clock(), 0.0))

    def fetch_profile(self, bundle_digest: str, timeout_s: float = CONNECT_TIMEOUT_S) -> CloudProfile:
        """The cloud's measured tail times of a bundle, as JSON, if it has them already.

        Raises:
            Refused: the cloud does not hold that bundle (code `unknown_bundle`).
            LinkError: not connected, or no answer in time.
        """
        channel = self._connected().channel
        import grpc

        try:
            reply = channel.unary_unary(f"/{SERVICE}/{PROFILE_METHOD}")(
                encode_profile_request(bundle_digest), timeout=timeout_s
            )
            return decode_profile_reply(reply)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise Refused(codes.UNKNOWN_BUNDLE, error.details()) from error
            message = f"no profile from the cloud at {self.address} ({error.code().name}: {error.details()})"
            raise LinkError(message) from error
        except ValueError as error:
            raise LinkError(f"the cloud at {self.address} sent no profile: {error}") from error

    def close(self) -> None:
        """Closes the connection for good; what is in flight fails with a LinkError."""
        self._closed.set()
        with self._lock:
            opening = self._opening
        if opening is not None:  # or closing would wait as long as an attempt to connect may take
            opening.close()
        with self._connecting:
            self._drop()

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is None:
                raise LinkError(f"not connected to the cloud at {self.address}; connect first")
            return self._connection

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
