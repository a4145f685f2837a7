"""The cloud process's front end: a grpc.aio server with the session, the profile call and gRPC's health service."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from suture_cloud.budget import MAX_MEMORY_BYTES, Budget
from suture_cloud.dispatch import Dispatcher
from suture_cloud.executor import Executor
from suture_cloud.holdings import Holdings
from suture_cloud.ports import PlainPorts, PortFactory
from suture_cloud.stream import Services, Stream
from suture_models.bundle import Bundle
from suture_partitioner.profile_file import profile_from_json
from suture_protocol.address import Address, parse_address
from suture_protocol.errors import LinkError, Refused
from suture_protocol.events import Load, SessionLimits
from suture_protocol.limits import MAX_EDGE_FRAME_BYTES, MAX_FRAME_BYTES
from suture_protocol.service import (
    PROFILE_METHOD,
    SERVICE,
    SESSION_METHOD,
    CloudProfile,
    decode_profile_request,
    encode_profile_reply,
)
from suture_protocol.version import VERSION_MAX, VERSION_MIN, software

_log = logging.getLogger(__name__)

#: Sessions, profile calls and health checks at a time; each session costs a few KB until it sends.
MAX_STREAMS: Final = 256
#: What may be under way to a session that this side has not looked at: 84 Mbit/s over 100 ms, a large payload at once.
RECEIVE_WINDOW_BYTES: Final = 1 << 20
#: How long requests at work may go on once the server was told to stop.
STOP_GRACE_S: Final = 5.0

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_EDGE_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    # A unit has a session and a heartbeat, each on a connection of its own; the rest is room for people's tools.
    ("grpc.max_concurrent_streams", 16),
    # gRPC widens a connection's window by what it takes for its bandwidth and delay, and that grows with load.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", RECEIVE_WINDOW_BYTES),
    # Units ping every 3 s, also while they have no call, to keep NAT entries and notice dead paths; gRPC's default
    # takes that for abuse (one ping in 5 minutes) and closes the connection with GOAWAY.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    # A unit that vanished must not hold its stream for TCP's quarter of an hour.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this two servers may share a port, and a forgotten one answers half of the requests.
    ("grpc.so_reuseport", 0),
)


class ProfileSource(Protocol):
    """Where the server finds its tails' measured times."""

    def profile_json(self, bundle_digest: str) -> str | None:
        """The profile as JSON; None while it is still being measured."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudConfig:
    """How a cloud process serves. `device` is what the tails run on, in words, for people; `memory_bytes` is what
    requests may hold together."""

    listen: Address
    device: str = "cpu"
    allow_files: bool = False
    max_batch: int = 1
    memory_bytes: int = MAX_MEMORY_BYTES
    limits: SessionLimits = field(default_factory=SessionLimits)
    versions: tuple[int, int] = (VERSION_MIN, VERSION_MAX)
    stop_grace_s: float = STOP_GRACE_S


class CloudServer:
    """A cloud's front end, from `start` to `stop`, on one event loop.

    Args:
        bundles: What it holds.
        executor: Runs the tails.
        ports: Makes its port.
        config: How it serves.
        profiles: Its tails' measured times; without a source no profile is ever ready.

    Raises:
        UsageError: no bundle, or the address must not be used so.
    """

    def __init__(
        self,
        bundles: Iterable[Bundle],
        executor: Executor,
        ports: PortFactory,
        config: CloudConfig,
        profiles: ProfileSource | None = None,
    ) -> None:
        ports.check(config.listen)
        self._config = config
        self._ports = ports
        self._profiles = profiles
        self._holdings = Holdings(bundles)
        self._profiled: dict[str, dict[str, float]] = {}
        self._dispatcher = Dispatcher(executor, max_batch=config.max_batch, profiled_s=self._profiled_s)
        self._services = Services(
            holdings=self._holdings,
            dispatcher=self._dispatcher,
            budget=Budget(config.memory_bytes),
            software=software(),
            device=config.device,
            allow_files=config.allow_files,
            limits=config.limits,
            versions=config.versions,
            load=self._load,
        )
        self._streams: set[Stream] = set()
        self._server: Any = None
        self._health: Any = None

    async def start(self) -> Address:
        """Starts serving and returns the address, with the port that was free where it asked for port 0.

        Raises:
            UsageError: the address cannot be listened on.
        """
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_STREAMS)
        handlers = {
            # No serialisers: frames are bytes, and the session reads them.
            SESSION_METHOD: grpc.stream_stream_rpc_method_handler(self._session),
            PROFILE_METHOD: grpc.unary_unary_rpc_method_handler(self._profile),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        port = self._ports.add(self._server, self._config.listen)
        self._dispatcher.start()
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        address = Address(host=self._config.listen.host, port=port)
        _log.info("%s listens on %s", self._services.software, address)
        return address

    async def stop(self) -> None:
        """Stops taking requests, gives those at work `stop_grace_s` to be answered, and closes."""
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        for stream in self._streams:
            stream.stop()
        await self._server.stop(self._config.stop_grace_s)
        await self._dispatcher.stop()
        self._server = None

    def _load(self) -> Load:
        return self._dispatcher.load(
            requests=sum(stream.open_requests for stream in self._streams),
            units=sum(stream.pings for stream in self._streams),
        )

    def _profiled_s(self, digest: str, cut_id: str) -> float | None:
        """What the served profile says of a tail; None while there is none."""
        if digest not in self._profiled:
            text = None if self._profiles is None else self._profiles.profile_json(digest)
            if text is None:
                return None
            cuts = profile_from_json(text, "this cloud's profile").cuts
            self._profiled[digest] = {name: timing.compute_s for name, timing in cuts.items()}
        return self._profiled[digest].get(cut_id)

    async def _session(self, _requests: Any, context: Any) -> None:
        async def read() -> bytes | None:
            frame = await context.read()
            return None if frame is grpc.aio.EOF else bytes(frame)

        stream = Stream(self._services, context.peer(), read, _writer(context))
        self._streams.add(stream)
        try:
            await stream.run()
        except LinkError as error:
            _log.info("%s: %s", context.peer(), error)
        finally:
            self._streams.discard(stream)

    async def _profile(self, request: bytes, context: Any) -> bytes:
        try:
            digest = decode_profile_request(request)
            self._holdings.get(digest)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Refused as refused:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(refused))
        found = None if self._profiles is None else self._profiles.profile_json(digest)
        return encode_profile_reply(CloudProfile(ready=found is not None, profile_json=found or ""))


def _writer(context: Any) -> Callable[[bytes], Awaitable[None]]:
    async def write(frame: bytes) -> None:
        try:
            await context.write(frame)
        except Exception as error:  # grpc raises several kinds of its own, all meaning that the call is over
            raise LinkError("the edge is gone") from error

    return write


async def serve(
    bundles: Iterable[Bundle],
    listen: str,
    device: str,
    insecure: bool,
    executor: Executor,
    *,
    allow_files: bool = False,
    max_batch: int = 1,
    memory_bytes: int = MAX_MEMORY_BYTES,
    profiles: ProfileSource | None = None,
    on_ready: Callable[[Address], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then stops gracefully; a second signal while stopping has no effect.

    Args:
        bundles: The bundles to hold.
        listen: `HOST:PORT`; port 0 takes a free one, which `on_ready` is told.
        device: What the tails run on, in words.
        insecure: Whether the user accepts to serve without TLS.
        executor: Runs the tails.
        allow_files: Whether to take pictures as files, which carry identifiers; for experiments.
        max_batch: How many requests of one cut may run together.
        memory_bytes: What requests may hold together; beyond that they are refused as `busy`.
        profiles: The tails' measured times.
        on_ready: Called once with the address in use.

    Raises:
        UsageError: no bundle, or an address that is refused or taken.
    """
    config = CloudConfig(
        listen=parse_address(listen),
        device=device,
        allow_files=allow_files,
        max_batch=max_batch,
        memory_bytes=memory_bytes,
    )
    server = CloudServer(bundles, executor, PlainPorts(insecure=insecure), config, profiles)
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    try:
        address = await server.start()
        if on_ready is not None:
            on_ready(address)
        await told_to_stop.wait()
        _log.info("stopping")
    finally:
        await server.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
