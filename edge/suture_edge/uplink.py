"""The unit's way through the cloud: runs a head and hands its codes in, waits for the answer, learns from both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.beside import FinishedAlone, first_of
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.planning import Planning
from suture_edge.reach import Reach
from suture_edge.record import Work
from suture_edge.results import CloudResult, PendingResult
from suture_edge.settings import AUTO, UnitSettings, codec_for
from suture_edge.slowdown import Slowdown, SlowedCodec
from suture_edge.uploads import request_of
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_partitioner.types import Choice, Steps
from suture_protocol.errors import CodecError, LinkError, ProtocolError
from suture_protocol.events import Priority

#: What makes the unit finish an image alone: no path, a cloud that declines, or one that answers nonsense.
CLOUD_FAILED: Final = (LinkError, ProtocolError, CodecError)

#: Where time is not what counts, an image is not done twice.
_HURRIED: Final = ("latency", "latency_quantile")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Flight:
    """A request that was handed in for an image; `sent_at_s` is when, on `time.perf_counter`'s clock.

    Attributes:
        choice: The plan's; None where the cut was forced.
        connect_s: What was lost before on getting a connection.
        at_hand: Whether the head was loaded already, so that its time says something of the device.
        alone: Whether no other request of this unit was on its way: only then do its times say something of the link.
        held_s: What the connection had held routine requests for, all in all, when it was handed in.
    """

    work: Work
    cut: Cut
    choice: Choice | None
    variant_id: str
    engine: str
    codec: str
    payload_bytes: int
    pending: PendingResult
    connect_s: float
    head_s: float
    encode_s: float
    sent_at_s: float
    at_hand: bool
    alone: bool
    held_s: float

    def steps(self, result: CloudResult, away_s: float) -> Steps:
        """Where the image's time went; `away_s` is from handing it in to the answer."""
        took = result.timings
        return Steps(
            preprocess_s=self.work.preprocess_s,
            head_s=self.head_s,
            encode_s=self.encode_s,
            transfer_s=self.connect_s + max(away_s - took.queue_s - took.decode_s - took.tail_s, 0.0),
            queue_s=took.queue_s,
            decode_s=took.decode_s,
            tail_s=took.tail_s,
        )


class Uplink:
    """Of one unit. Not thread-safe.

    Args:
        cloud: The cloud; stays the caller's to close.
        heads: Gives a choice's heads; for None, those that a forced cut takes.
        settings: How the unit works.
        planning: Chooses, and learns.
        slow: The emulated slow device.
    """

    def __init__(
        self,
        cloud: CloudClient,
        heads: Callable[[Choice | None], Heads],
        settings: UnitSettings,
        planning: Planning,
        slow: Slowdown,
    ) -> None:
        self._cloud = cloud
        self._heads = heads
        self._settings = settings
        self._planning = planning
        self._slow = slow
        self._reach = Reach(cloud)
        self._flying = 0
        self._failed_at_s = -math.inf

    def send(self, work: Work, cut: str) -> Flight | None:
        """Runs an image's head and hands its codes in; None where the plan says that the unit should do all of it.

        What was sent must be landed or abandoned; several may be under way.

        Raises:
            LinkError: there is no connection.
            SutureError: as `Planning.choose` and `CloudClient.submit`.
        """
        with self._cloud.way(self._settings.priority):
            return self._sent(work, cut)

    def _sent(self, work: Work, cut: str) -> Flight | None:
        if self._cloud.welcome is None or (cut == AUTO and not self._planning.ready):
            self._reach.ensure()
        choice = self._choose(work) if cut == AUTO else None
        chosen_id = cut if choice is None else choice.cut_id
        if chosen_id == LAST_CUT:
            self._reach.nudge()  # its heartbeat shows when the link would make another choice better
            return None
        work.tried_at_s = time.perf_counter()
        self._reach.ensure()
        connect_s = time.perf_counter() - work.tried_at_s
        try:
            flight = self._handed_in(work, chosen_id, choice, connect_s)
        except LinkError:
            self._reach.failed()
            raise
        self._flying += 1
        return flight

    def land(
        self, flight: Flight, alone: Callable[[], tuple[NDArray[Any], ...]] | None
    ) -> tuple[CloudResult, Steps] | FinishedAlone:
        """The answer to what was sent, with where the time went; or this unit's own where that is late.

        An answer that came while the unit was at another image counts from when it came. In a series nothing is done
        twice: its images wait for each other, and the unit has the next one to do.

        Args:
            flight: What was sent.
            alone: Finishes the image on the unit; None where it is not ready for that.

        Raises:
            LinkError: the path failed, or no answer came in time.
            ProtocolError: the cloud declined, or broke the protocol.
            CodecError: its answer is no answer.
        """
        was_there = flight.pending.done
        hurried = flight.choice is not None and self._flying == 1 and self._settings.objective in _HURRIED
        self._flying -= 1
        timeout_s = self._left_s(flight)
        try:
            if hurried and alone is not None:
                patience_s = partial(self._patience_s, flight)
                found = first_of(flight.pending, alone, patience_s=patience_s, timeout_s=timeout_s)
            else:
                found = flight.pending.wait(timeout_s)
        except LinkError:
            self._gave_up(flight)
            self._failed(flight)
            raise
        if isinstance(found, FinishedAlone):
            if found.instead is None or isinstance(found.instead, LinkError):  # a refusal has passed the link
                self._gave_up(flight)
            return found
        away_s = (flight.pending.settled_at_s if was_there else time.perf_counter()) - flight.sent_at_s
        self._reach.succeeded()
        if self._held_s(flight) <= found.timings.waited_s:  # what was held on its way says nothing of the link
            self._planning.learn(found, alone=flight.alone)
        if flight.at_hand:
            tail_s = found.timings.tail_s
            self._planning.observe(flight.variant_id, flight.cut.id, head_s=flight.head_s, tail_s=tail_s)
        return found, flight.steps(found, away_s)

    def abandon(self, flight: Flight) -> None:
        """Tells the cloud that the answer is no longer wanted."""
        self._flying -= 1
        flight.pending.cancel()

    def close(self) -> None:
        """Stops connecting."""
        self._reach.close()

    def _choose(self, work: Work) -> Choice:
        try:
            return self._planning.choose([work.image], work.preprocess_s)
        except LinkError:
            self._reach.failed()
            raise

    def _handed_in(self, work: Work, cut_id: str, choice: Choice | None, connect_s: float) -> Flight:
        heads = self._heads(choice)
        cut = heads.bundle.cut(cut_id)
        at_hand = heads.ready(cut)
        start_s = time.perf_counter()
        boundary = heads.run(cut, work.image)
        encode_start_s = time.perf_counter()
        codec = SlowedCodec(codec_for(self._settings, cut, boundary, choice, heads.tables), self._slow)
        request = request_of(
            boundary,
            codec,
            bundle_digest=heads.bundle.digest,
            cut_id=cut.id,
            variant_id="" if cut.id == INPUT_CUT else heads.variant.id,
            priority=self._settings.priority,
        )
        sent_at_s, held_s = time.perf_counter(), self._cloud.held_s
        return Flight(
            work=work,
            cut=cut,
            choice=choice,
            variant_id=heads.variant.id,
            engine=heads.engine.name,
            codec=codec.spec,
            payload_bytes=len(request.payload),
            pending=self._cloud.submit(request, self._settings.timeout_s),
            connect_s=connect_s,
            head_s=encode_start_s - start_s,
            encode_s=sent_at_s - encode_start_s,
            sent_at_s=sent_at_s,
            at_hand=at_hand,
            alone=not self._flying,
            held_s=held_s,
        )

    def _patience_s(self, flight: Flight) -> float:
        return self._planning.patience_s + self._held_s(flight)

    def _held_s(self, flight: Flight) -> float:
        """For how long urgent requests of others on this connection have held it back."""
        urgent = self._settings.priority > Priority.ROUTINE
        return 0.0 if urgent else max(self._cloud.held_s - flight.held_s, 0.0)

    def _left_s(self, flight: Flight) -> float:
        """How long to wait for an answer. What was on its way when another waited in vain has waited as long."""
        waited_s = time.perf_counter() - flight.sent_at_s if flight.sent_at_s <= self._failed_at_s else 0.0
        return max(self._settings.timeout_s - waited_s, 0.0)

    def _gave_up(self, flight: Flight) -> None:
        if flight.alone and not self._held_s(flight):
            self._planning.gave_up(flight.payload_bytes, time.perf_counter() - flight.sent_at_s)

    def _failed(self, flight: Flight) -> None:
        """Has the link rest; once for all that were on their way when it failed."""
        if flight.sent_at_s > self._failed_at_s:
            self._reach.failed()
            self._failed_at_s = time.perf_counter()
