"""The waiting line: the most urgent first, fair within a priority, bounded, grouped for batches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from suture_cloud.queue import WaitingLine


@dataclass(eq=False)
class Item:
    priority: int
    group: str = "a"


def test_stat_goes_first_and_equals_in_their_order():
    async def drain() -> None:
        line: WaitingLine[Item] = WaitingLine(9)
        items = [Item(p) for p in (0, 2, 1, 0, 2)]
        for item in items:
            assert line.put(item) is None
        taken = [(await line.take())[0] for _ in items]
        assert taken == [items[i] for i in (1, 4, 2, 0, 3)]

    asyncio.run(drain())


def test_a_full_line_leaves_out_the_last_of_the_least_urgent():
    async def fill() -> None:
        line: WaitingLine[Item] = WaitingLine(2)
        first, second, third, stat, later, again = (Item(p) for p in (0, 0, 0, 2, 1, 1))
        assert [line.put(item) for item in (first, second, third)] == [None, None, third]
        assert line.put(stat) is second
        assert line.put(later) is first
        assert line.put(again) is again
        assert [(await line.take())[0] for _ in range(len(line))] == [stat, later]

    asyncio.run(fill())


def test_a_batch_is_the_most_urgent_and_its_group():
    async def batch() -> None:
        line: WaitingLine[Item] = WaitingLine(9)
        a1, b, a2, a3 = Item(0, "a"), Item(1, "b"), Item(2, "a"), Item(0, "a")
        for item in (a1, b, a2, a3):
            line.put(item)
        assert await line.take(2) == [a2, a1]
        assert await line.take(9) == [b]
        assert await line.take(9) == [a3]

    asyncio.run(batch())


def test_a_discarded_item_is_not_taken():
    async def discard() -> None:
        line: WaitingLine[Item] = WaitingLine(9)
        items = [Item(p) for p in (0, 1, 2, 1, 0)]
        for item in items:
            line.put(item)
        assert line.discard(items[1])
        assert not line.discard(items[1])
        assert [(await line.take())[0] for _ in range(4)] == [items[i] for i in (2, 3, 0, 4)]

    asyncio.run(discard())


def test_several_takers_get_one_each():
    async def takers() -> None:
        line: WaitingLine[Item] = WaitingLine(9)
        waiting = [asyncio.create_task(line.take()) for _ in range(3)]
        await asyncio.sleep(0)
        items = [Item(0), Item(0), Item(0)]
        for item in items:
            line.put(item)
        taken = [item for batch in await asyncio.gather(*waiting) for item in batch]
        assert {id(item) for item in taken} == {id(item) for item in items}

    asyncio.run(takers())
