"""The waiting line: STAT first, then URGENT, then ROUTINE, first come first served within each; bounded."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What may stand in line. Items with the same `group` can be served together."""

    @property
    def priority(self) -> int: ...

    @property
    def group(self) -> Hashable: ...


T = TypeVar("T", bound=Waiting)


@dataclass(order=True, slots=True)
class _Place(Generic[T]):
    order: tuple[int, int]
    item: T = field(compare=False)


class WaitingLine(Generic[T]):
    """A priority queue for one event loop; several tasks may take from it.

    Args:
        limit: How many may wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[_Place[T]] = []
        self._arrived = asyncio.Event()
        self._ticket = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, item: T) -> T | None:
        """Puts `item` in line, and returns for whom there is no room: None, or the last where the line was full, which
        may be `item`."""
        heapq.heappush(self._heap, _Place((-item.priority, next(self._ticket)), item))
        self._arrived.set()
        if len(self._heap) <= self._limit:
            return None
        last = max(self._heap).item
        self.discard(last)
        return last

    async def take(self, most: int = 1) -> list[T]:
        """Waits for an item and takes it, with up to `most` - 1 others of its group, in their order."""
        while not self._heap:
            self._arrived.clear()
            await self._arrived.wait()
        first = heapq.heappop(self._heap).item
        taken = [first]
        if most > 1:
            mates = heapq.nsmallest(most - 1, (p for p in self._heap if p.item.group == first.group))
            for place in mates:
                self._heap.remove(place)
                taken.append(place.item)
            heapq.heapify(self._heap)
        return taken

    def discard(self, item: T) -> bool:
        """Takes `item` out of the line; False where it is not in it."""
        for index, place in enumerate(self._heap):
            if place.item is item:
                self._heap[index] = self._heap[-1]
                self._heap.pop()
                heapq.heapify(self._heap)
                return True
        return False
