"""From the last byte of a payload to the outputs: decode and tail, each with its own line, the most urgent first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from suture_cloud.admission import Admitted
from suture_cloud.budget import Held
from suture_cloud.decoding import decode
from suture_cloud.executor import Executor, TailRequest, TailResult
from suture_cloud.load import Key, Meter
from suture_cloud.queue import WaitingLine
from suture_protocol import codes
from suture_protocol.codecs.raw import RawCodec
from suture_protocol.errors import Refused
from suture_protocol.events import Load, Priority

_log = logging.getLogger(__name__)

#: Requests waiting in one line. Beyond this the wait is longer than any deadline, and refusing is kinder.
MAX_WAITING: Final = 256
#: Decoding threads. Codecs let go of the interpreter's lock while they work, and none needs more than a few ms.
DECODERS: Final = 2
#: What is copied on the event loop: within a tenth of a millisecond.
_COPIED_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Where a request's time in this process went; `queue_s` is the time in both lines, and stopped for urgent ones."""

    queue_s: float
    decode_s: float
    tail_s: float


@dataclass(kw_only=True, slots=True, eq=False)
class _Job:
    """A request on its way. `since` is when it entered its present line."""

    admitted: Admitted
    payload: memoryview | None
    held: Held
    deadline: float | None
    since: float
    done: asyncio.Future[tuple[TailResult, Timings]]
    request: TailRequest | None = None
    queue_s: float = 0.0
    decode_s: float = field(default=0.0)

    @property
    def priority(self) -> int:
        return int(self.admitted.start.priority)

    @property
    def is_urgent(self) -> bool:
        return self.admitted.start.priority > Priority.ROUTINE

    @property
    def group(self) -> Hashable:
        start = self.admitted.start
        return (start.bundle_digest, start.cut_id, start.variant_id)

    @property
    def key(self) -> Key:
        start = self.admitted.start
        return (start.bundle_digest, start.cut_id)

    @property
    def is_short_copy(self) -> bool:
        """Whether decoding is a copy that takes less than a turn in a line."""
        start = self.admitted.start
        return start.codec == RawCodec.id and start.payload_bytes <= _COPIED_BYTES

    def refuse(self, code: str, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(Refused(code, message, request_id=self.admitted.start.request_id))


class Dispatcher:
    """Runs admitted requests through decoding and the executor.

    Args:
        executor: Runs the tails.
        max_batch: How many requests of one cut may go to the executor together.
        parallel: How many batches may be with the executor at a time.
        profiled_s: What the served profile says that a bundle's tail behind a cut takes; None where it says nothing.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        max_batch: int = 1,
        parallel: int = 1,
        profiled_s: Callable[[str, str], float | None] = lambda _digest, _cut_id: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._executor = executor
        self._max_batch = max_batch
        self._parallel = parallel
        self._clock = clock
        self._meter = Meter(parallel, profiled_s)
        #: Those that the executor does not have yet, in the order they came; decoding is a short part of that.
        self._ahead: dict[_Job, None] = {}
        self._to_decode: WaitingLine[_Job] = WaitingLine(MAX_WAITING)
        self._to_run: WaitingLine[_Job] = WaitingLine(MAX_WAITING)
        #: An executor that stops others for what is urgent is given that at once.
        self._to_pass: WaitingLine[_Job] = WaitingLine(MAX_WAITING) if executor.preempts else self._to_run
        self._threads = ThreadPoolExecutor(DECODERS, thread_name_prefix="suture-decode")
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the workers on the running event loop."""
        decoders = [self._decode_for_ever() for _ in range(DECODERS)]
        runners = [self._run_for_ever(self._to_run) for _ in range(self._parallel)]
        if self._to_pass is not self._to_run:
            runners.append(self._run_for_ever(self._to_pass))
        self._workers = [asyncio.create_task(worker) for worker in (*decoders, *runners)]

    async def stop(self) -> None:
        """Stops the workers; what waits is refused by whoever waits for it."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(
        self, admitted: Admitted, payload: memoryview, held: Held, *, deadline: float | None
    ) -> tuple[TailResult, Timings]:
        """Decodes and finishes one request; cancelling this takes it out of the line.

        Args:
            admitted: The request.
            payload: All its bytes.
            held: What it takes of the memory for requests; kept as long as a decoder or the executor has it, which
                neither a deadline nor cancelling this can call back.
            deadline: On this dispatcher's clock; a request that still waits then is refused at once.

        Raises:
            Refused: damaged payload, deadline passed, too many waiting, or the tail failed (code `internal`).
        """
        job = _Job(
            admitted=admitted,
            payload=payload,
            held=held,
            deadline=deadline,
            since=self._clock(),
            done=asyncio.get_running_loop().create_future(),
        )
        self._ahead[job] = None
        expiry = self._expire_in_time(job)
        try:
            if job.is_short_copy:
                await self._prepare(job)  # a copy of bytes: a turn in that line would cost more than it does
            else:
                self._enter(self._to_decode, job)
            return await job.done
        finally:
            if expiry is not None:
                expiry.cancel()
            self._to_decode.discard(job)
            self._line_of(job).discard(job)
            self._ahead.pop(job, None)

    def load(self, *, requests: int, units: int) -> Load:
        """How busy this cloud is now; how many requests and units there are is the streams' to know."""
        now_s = self._clock()
        waiting = sorted((job for job in self._ahead if not job.done.done()), key=lambda job: -job.priority)
        stat = [job.key for job in waiting if job.priority >= Priority.STAT]
        passing = self._to_pass is not self._to_run
        return Load(
            routine_wait_s=self._meter.wait_s([job.key for job in waiting], now_s),
            stat_wait_s=self._meter.wait_s(stat, now_s, passing=passing),
            service_s=self._meter.service_s,
            tail_ratio=self._meter.tail_ratio(now_s),
            utilisation=self._meter.utilisation(now_s),
            requests=requests,
            units=units,
        )

    def _line_of(self, job: _Job) -> WaitingLine[_Job]:
        """Where it waits for its tail."""
        return self._to_pass if job.is_urgent else self._to_run

    def _enter(self, line: WaitingLine[_Job], job: _Job) -> None:
        job.since = self._clock()
        if (left_out := line.put(job)) is not None:
            message = f"{len(line)} requests are waiting in this cloud; finish on the unit or try later"
            left_out.refuse(codes.BUSY, message)

    def _leave(self, job: _Job) -> bool:
        """Notes the wait; False where the job is no longer wanted."""
        job.queue_s += self._clock() - job.since
        return not job.done.done()

    def _expire_in_time(self, job: _Job) -> asyncio.TimerHandle | None:
        """Has a job refused when its deadline passes, unless the executor has it by then: its memory goes at once."""
        if job.deadline is None:
            return None

        def expire() -> None:
            if job in self._ahead:
                job.refuse(codes.DEADLINE, "the deadline passed while the request waited in this cloud")

        return asyncio.get_running_loop().call_later(max(job.deadline - self._clock(), 0.0), expire)

    async def _decode_for_ever(self) -> None:
        while True:
            await self._prepare_next()

    async def _prepare_next(self) -> None:
        # A function of its own, as `_run_next` is: what it held must not outlive it while nothing comes.
        (job,) = await self._to_decode.take()
        if self._leave(job):
            await self._prepare(job)

    async def _prepare(self, job: _Job) -> None:
        """Decodes, and puts the job in line for its tail."""
        try:
            if job.is_short_copy:
                self._decode(job)
            else:
                with job.held:
                    await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, job)
        except Refused as refused:
            job.refuse(refused.code, str(refused))
        except Exception:  # noqa: BLE001 a parser's surprise must not end the worker that all requests share
            _log.exception("decoding a request at cut %r failed", job.admitted.start.cut_id)
            job.refuse(codes.INTERNAL, "the cloud failed to decode the payload; its log says why")
        if not job.done.done():
            self._enter(self._line_of(job), job)

    def _decode(self, job: _Job) -> None:
        if job.payload is None:
            return
        begin = self._clock()
        job.request = decode(job.admitted, job.payload)
        job.payload = None
        job.decode_s = self._clock() - begin

    async def _run_for_ever(self, line: WaitingLine[_Job]) -> None:
        while True:
            await self._run_next(line)

    async def _run_next(self, line: WaitingLine[_Job]) -> None:
        jobs = [job for job in await line.take(self._max_batch) if self._leave(job)]
        requests = [job.request for job in jobs if job.request is not None]
        if not requests:
            return
        keys = [job.key for job in jobs]
        for job in jobs:
            self._ahead.pop(job, None)
        began_s = self._clock()
        ticket = self._meter.began(keys, began_s, passing=line is not self._to_run)
        with ExitStack() as held:
            for job in jobs:
                held.enter_context(job.held)
            results = await self._execute(requests)
        ended_s = self._clock()
        self._meter.ended(ticket, keys, results, ended_s - began_s, ended_s)
        for job, result in zip(jobs, results, strict=True):
            self._finish(job, result)

    async def _execute(self, requests: list[TailRequest]) -> list[TailResult]:
        try:
            results = await self._executor.run(requests)
        except Exception:  # noqa: BLE001 the boundary to whatever runs tails: one bad batch must not end the server
            _log.exception("the executor failed on %d requests at cut %r", len(requests), requests[0].cut_id)
            return [TailResult(outputs={}, tail_s=0.0, error="the executor raised")] * len(requests)
        if len(results) != len(requests):
            _log.error("the executor answered %d of %d requests", len(results), len(requests))
            return [TailResult(outputs={}, tail_s=0.0, error="the executor lost an answer")] * len(requests)
        return results

    def _finish(self, job: _Job, result: TailResult) -> None:
        if result.error:
            start = job.admitted.start
            _log.error("the tail of %s at cut %r failed: %s", job.admitted.bundle.name, start.cut_id, result.error)
            job.refuse(codes.INTERNAL, "the cloud failed to compute the tail; its log says why")
        elif not job.done.done():
            timings = Timings(queue_s=job.queue_s + result.stopped_s, decode_s=job.decode_s, tail_s=result.tail_s)
            job.done.set_result((result, timings))
