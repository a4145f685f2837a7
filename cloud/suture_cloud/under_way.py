"""The requests of one session that are admitted and not answered: when their bytes came, what they hold, their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from suture_cloud.admission import Admitted
from suture_cloud.budget import Budget
from suture_protocol.events import Arrival, Chunk, Priority
from suture_protocol.limits import MAX_ARRIVALS


@dataclass(kw_only=True, slots=True)
class OpenRequest:
    """One of them; times on the server's clock. `held_bytes` count in the budget; `task` answers it."""

    admitted: Admitted
    held_bytes: int
    began: float
    received: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None

    @property
    def deadline(self) -> float | None:
        """When its result is of no use any more; None for never."""
        deadline_s = self.admitted.start.deadline_s
        return self.began + deadline_s if deadline_s else None


class OpenRequests:
    """Of one session, on one event loop.

    Args:
        budget: What they may hold, shared with other sessions.
        expired: Told the id of a request whose deadline passes while its payload is on its way; it is free by then.
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
        if not self._budget.take(admitted.memory_bytes, urgent=start.priority > Priority.ROUTINE):
            return False
        request = self._open[start.request_id] = OpenRequest(
            admitted=admitted, held_bytes=admitted.memory_bytes, began=began
        )
        if start.deadline_s:
            loop = asyncio.get_running_loop()
            request.expiry = loop.call_later(start.deadline_s, self._expire, start.request_id)
        return True

    def get(self, request_id: int) -> OpenRequest | None:
        """The request of that id."""
        return self._open.get(request_id)

    def note_arrival(self, chunk: Chunk, arrived: float) -> None:
        """Notes when a chunk came."""
        request = self._open.get(chunk.request_id)
        if request is None:
            return
        arrival = Arrival(offset_end=chunk.offset + len(chunk.data), at_s=arrived - request.began)
        if len(request.arrivals) < MAX_ARRIVALS:
            request.arrivals.append(arrival)
        else:
            request.arrivals[-1] = arrival

    def answered(self, request_id: int) -> None:
        """Takes a request out whose answer will be written; what it holds stays counted until `free`."""
        self._open.pop(request_id, None)

    def give_up(self, request_id: int) -> OpenRequest | None:
        """Takes a request out and frees what it holds; None where it is answered."""
        request = self._open.pop(request_id, None)
        if request is not None:
            self.free(request)
        return request

    def free(self, request: OpenRequest) -> None:
        """Gives back what it holds, once."""
        self._budget.give_back(request.held_bytes)
        request.held_bytes = 0
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
            self.give_up(request_id)
            self._expired(request, request_id)
