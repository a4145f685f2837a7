"""The requests of one session that are admitted and not answered: when their bytes came, what they hold, their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from suture_cloud.admission import Admitted
from suture_cloud.budget import Budget, Held
from suture_protocol.events import Arrival, Chunk, Priority

#: Arrivals kept of one request: several times the chunks that a unit cuts a payload into. They do not count in the
#: budget, and a peer may send a payload byte by byte.
ARRIVALS_KEPT: Final = 128


@dataclass(kw_only=True, slots=True)
class OpenRequest:
    """One of them; times on the server's clock. `held` is its part of the budget; `task` answers it."""

    admitted: Admitted
    held: Held
    began: float
    received: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    freed: bool = False

    @property
    def deadline(self) -> float | None:
        """When its result is of no use any more; None for never."""
        deadline_s = self.admitted.start.deadline_s
        return self.began + deadline_s if deadline_s else None


class OpenRequests:
    """Of one session, on one event loop.

    Args:
        budget: What they may hold, shared with other sessions.
        expired: Told of a request, with its id, whose deadline passes while its payload is on its way. It is taken
            out by then; to be freed when the bytes that came of it are gone.
    """

    def __init__(self, budget: Budget, expired: Callable[[OpenRequest, int], None]) -> None:
        self._budget = budget
        self._expired = expired
        self._open: dict[int, OpenRequest] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, admitted: Admitted, began: float) -> bool:
        """Takes a request in; False where the budget has no room for it."""
        start = admitted.start
        held = self._budget.take(admitted.memory_bytes, urgent=start.priority > Priority.ROUTINE)
        if held is None:
            return False
        request = self._open[start.request_id] = OpenRequest(admitted=admitted, held=held, began=began)
        if start.deadline_s:
            loop = asyncio.get_running_loop()
            request.expiry = loop.call_later(start.deadline_s, self._expire, start.request_id)
        return True

    def get(self, request_id: int) -> OpenRequest | None:
        """The request of that id."""
        return self._open.get(request_id)

    def note_arrival(self, chunk: Chunk, arrived: float) -> None:
        """Notes when a chunk came; of very many chunks only some, each with what came since the one noted before."""
        request = self._open.get(chunk.request_id)
        if request is None:
            return
        request.arrivals.append(Arrival(offset_end=chunk.offset + len(chunk.data), at_s=arrived - request.began))
        if len(request.arrivals) > ARRIVALS_KEPT:
            del request.arrivals[1:-1:2]

    def answered(self, request_id: int) -> None:
        """Takes a request out whose answer will be written; what it holds stays counted until `free`."""
        self._open.pop(request_id, None)

    def give_up(self, request_id: int) -> OpenRequest | None:
        """Takes a request out and frees it; None where it is answered."""
        request = self._open.pop(request_id, None)
        if request is not None:
            self.free(request)
        return request

    def free(self, request: OpenRequest) -> None:
        """Gives back what it holds, once, and not before a thread that still works with it is done."""
        if not request.freed:
            request.freed = True
            request.held.let_go()
        if request.expiry is not None:
            request.expiry.cancel()

    def close(self) -> None:
        """Frees all."""
        for request_id in list(self._open):
            self.give_up(request_id)

    def _expire(self, request_id: int) -> None:
        request = self._open.get(request_id)
        # Once the payload is there, the dispatcher sees to it.
        if request is not None and request.task is None:
            self.answered(request_id)
            self._expired(request, request_id)
