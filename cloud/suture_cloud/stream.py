"""One edge's session on the server: reads frames, admits requests, answers them; everything it holds is bounded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from suture_cloud.admission import admit
from suture_cloud.budget import Budget
from suture_cloud.dispatch import Dispatcher
from suture_cloud.holdings import Holdings
from suture_cloud.under_way import OpenRequest, OpenRequests
from suture_protocol import codes
from suture_protocol.errors import LinkError, ProtocolError, Refused
from suture_protocol.events import (
    Cancel,
    Chunk,
    Event,
    Hello,
    Load,
    OverLimit,
    Ping,
    Pong,
    Received,
    Refusal,
    Result,
    SessionLimits,
    Start,
    Uploaded,
    Welcome,
)
from suture_protocol.limits import MAX_MESSAGE_CHARS
from suture_protocol.outputs import to_named
from suture_protocol.session import Session
from suture_protocol.states import Role
from suture_protocol.version import VERSION_MAX, VERSION_MIN, agree

_log = logging.getLogger(__name__)

#: How long a new stream may stay silent. A satellite's round trip is below a second.
HELLO_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What all streams of a server share. `versions` is the span of protocol versions it speaks; `load` tells how busy
    the cloud is, and None reports nothing."""

    holdings: Holdings
    dispatcher: Dispatcher
    budget: Budget
    software: str
    device: str
    allow_files: bool
    limits: SessionLimits = field(default_factory=SessionLimits)
    versions: tuple[int, int] = (VERSION_MIN, VERSION_MAX)
    clock: Callable[[], float] = time.perf_counter
    load: Callable[[], Load] | None = None


class Stream:
    """Serves one session.

    Args:
        services: What it shares with the other streams.
        peer: Who is at the other end, for the log.
        read: Waits for the next frame; None at the end of the stream.
        write: Sends a frame, waiting while the peer does not read; raises LinkError where the peer is gone.
    """

    def __init__(
        self,
        services: Services,
        peer: str,
        read: Callable[[], Awaitable[bytes | None]],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._services = services
        self._peer = peer
        self._read = read
        self._write = write
        self._session = Session(Role.CLOUD)
        self._open = OpenRequests(services.budget, self._expired)
        self._answers: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.pings = False

    @property
    def open_requests(self) -> int:
        """Requests admitted and not yet answered."""
        return len(self._open)

    async def run(self) -> None:
        """Serves until the edge ends the stream, breaks the protocol, or `stop` was called and all is answered."""
        reader = asyncio.create_task(self._read_all())
        stopper = asyncio.create_task(self._stopped())
        try:
            await asyncio.wait({reader, stopper}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            else:
                await self._refuse(0, codes.STOPPING, "this cloud is being stopped; connect again later")
        finally:
            tasks = [reader, stopper, *self._answers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open.close()

    def stop(self) -> None:
        """Takes no new requests, and ends the stream when those at work are answered."""
        self._stopping.set()

    async def _stopped(self) -> None:
        await self._stopping.wait()
        await self._idle.wait()

    async def _read_all(self) -> None:
        try:
            frame = await asyncio.wait_for(self._read(), HELLO_TIMEOUT_S)
        except TimeoutError:
            await self._refuse(0, codes.PROTOCOL, f"no Hello within {HELLO_TIMEOUT_S:.0f} s")
            return
        while frame is not None and await self._take(frame):
            frame = await self._read()

    async def _take(self, frame: bytes) -> bool:
        """Handles what a frame brings; False where that ends the session. What it held goes when it returns."""
        arrived = self._services.clock()
        try:
            for told in self._session.receive(frame):
                await self._handle(told, arrived)
        except Refused as refused:
            await self._refuse(0, refused.code, str(refused))
            return False
        except ProtocolError as error:
            _log.warning("%s: %s; the connection is refused", self._peer, error)
            await self._refuse(0, codes.PROTOCOL, str(error))
            return False
        return True

    async def _handle(self, told: Received, arrived: float) -> None:
        match told:
            case Chunk():
                self._open.note_arrival(told, arrived)
            case Uploaded():
                self._begin_answer(told, arrived)
            case Start():
                await self._begin(told, arrived)
            case OverLimit():
                await self._refuse(told.start.request_id, codes.LIMIT, f"the request brings {told.reason} here")
            case Cancel():
                await self._cancel(told.request_id)
            case Ping():
                self.pings = True
                await self._send(Pong(nonce=told.nonce, load=self._load()))
            case Hello():
                await self._welcome(told)
            case _:
                raise TypeError(f"a cloud's session told {type(told).__name__}")

    async def _welcome(self, hello: Hello) -> None:
        shared = self._services
        low, high = shared.versions
        version = agree(hello, shared.software, version_min=low, version_max=high)
        await self._send(
            Welcome(
                version=version,
                software=shared.software,
                bundles=shared.holdings.infos(),
                device=shared.device,
                limits=shared.limits,
            )
        )

    async def _begin(self, start: Start, arrived: float) -> None:
        shared = self._services
        try:
            if self._stopping.is_set():
                raise Refused(codes.STOPPING, "this cloud is being stopped; finish on the unit or try another")
            admitted = admit(start, shared.holdings, allow_files=shared.allow_files)
            if not self._open.begin(admitted, arrived):
                raise Refused(codes.BUSY, "this cloud's memory for requests is taken; finish on the unit or try later")
        except Refused as refused:
            await self._refuse(start.request_id, refused.code, str(refused))
            return
        self._idle.clear()

    def _load(self) -> Load | None:
        return None if self._services.load is None else self._services.load()

    def _begin_answer(self, uploaded: Uploaded, arrived: float) -> None:
        request_id = uploaded.start.request_id
        request = self._open.get(request_id)
        if request is not None:
            request.received = arrived
            self._work(request, self._answer(request_id, request, uploaded.payload))

    def _expired(self, request: OpenRequest, request_id: int) -> None:
        text = "the deadline passed while the payload was on its way"
        self._work(request, self._give_up(request_id, codes.DEADLINE, text))

    def _work(self, request: OpenRequest, answering: Coroutine[Any, Any, None]) -> None:
        request.task = asyncio.create_task(answering)
        self._answers.add(request.task)
        request.task.add_done_callback(self._answered)
        # Not before its answer is written: a peer that reads none must not make this side keep more of them, and the
        # session has what came of a payload until then. Not in the task, which may be cancelled before it begins.
        request.task.add_done_callback(lambda _task: self._open.free(request))

    async def _answer(self, request_id: int, request: OpenRequest, payload: memoryview) -> None:
        event = await self._result(request_id, request, payload)
        self._open.answered(request_id)
        await self._send_answer(event, request_id)

    async def _result(self, request_id: int, request: OpenRequest, payload: memoryview) -> Event:
        run = self._services.dispatcher.run
        try:
            result, timings = await run(request.admitted, payload, request.held, deadline=request.deadline)
            return Result(
                request_id=request_id,
                outputs=to_named(result.outputs),
                receive_s=request.received - request.began,
                queue_s=timings.queue_s,
                decode_s=timings.decode_s,
                tail_s=timings.tail_s,
                server_s=self._services.clock() - request.received,
                arrivals=tuple(request.arrivals),
                load=self._load(),
            )
        except Refused as refused:
            return _refusal(request_id, refused.code, str(refused))
        except ValueError:
            _log.exception("the outputs of a request at cut %r cannot be sent", request.admitted.start.cut_id)
            return _refusal(request_id, codes.INTERNAL, "the cloud's outputs cannot be sent; its log says why")

    async def _send_answer(self, event: Event, request_id: int) -> None:
        try:
            await self._send(event)
        except LinkError as error:
            _log.info("%s: %s; an answer is dropped", self._peer, error)
        except ProtocolError:
            _log.exception("an answer cannot be sent")
            await self._refuse(request_id, codes.INTERNAL, "the cloud's answer cannot be sent; its log says why")

    async def _cancel(self, request_id: int) -> None:
        request = self._open.give_up(request_id)
        if request is not None and request.task is not None:
            request.task.cancel()
        self._note_idle()
        await self._give_up(request_id, codes.CANCELLED, "cancelled as asked")

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: answering a request failed", self._peer, exc_info=error)
        self._note_idle()

    def _note_idle(self) -> None:
        # An answer leaves `_open` before it is written, so that a Cancel cannot tear it; idle means written, too.
        if not self._open and not self._answers:
            self._idle.set()

    async def _refuse(self, request_id: int, code: str, message: str) -> None:
        await self._send(_refusal(request_id, code, message))

    async def _give_up(self, request_id: int, code: str, message: str) -> None:
        """Refuses a request unless its answer was faster; that may stand in line to be written."""
        with suppress(LinkError):
            async with self._writing:
                if request_id in self._session.in_flight:
                    await self._write(self._session.send(_refusal(request_id, code, message)))

    async def _send(self, event: Event) -> None:
        async with self._writing:
            await self._write(self._session.send(event))


def _refusal(request_id: int, code: str, message: str) -> Refusal:
    """A refusal whose message the wire takes, whatever a library or the peer put into it."""
    printable = "".join(c if c.isprintable() else " " for c in message[:MAX_MESSAGE_CHARS])
    return Refusal(request_id=request_id, code=code, message=printable)
