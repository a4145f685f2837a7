"""A series of images as a pipeline: one is read, one in the head, those before it on the wire and in the tail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from suture_edge.record import Inference, Work
from suture_edge.settings import AUTO
from suture_edge.unit import Begun, Unit
from suture_models.picture import Picture

#: Images asked for and not finished. Four stages need four; the others cover the round trip where the stages are short,
#: and what one image takes longer than another. Each costs memory for its codes on both sides.
IN_FLIGHT: Final = 8

#: A source's items: name and reader of an image.
Source = Iterator[tuple[str, Callable[[], Picture]]]


def infer_series(
    unit: Unit,
    inputs: Iterable[tuple[str, Callable[[], Picture]]],
    cut: str = AUTO,
    *,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Inference]:
    """Does images one behind the other and gives their records, in order.

    While one image's codes travel and its tail computes, the next one's head runs, and the one after that is read: the
    slowest stage sets the pace. The source is asked for the next image only when there is room for it. The caller's
    thread asks it, and runs all heads; a thread beside it reads. An image's transfer then includes what it waited
    behind the images before it.

    Args:
        unit: Does the images; nothing else may use it meanwhile.
        inputs: Name and reader of each image, as `Unit.infer` takes them.
        cut: A cut's id, or `auto` to plan each.
        in_flight: Images asked for and not finished, at most; 1 does one after the other.

    Raises:
        ValueError: `in_flight` is below 1.
        SutureError: see `Unit.infer`; what is on its way is then cancelled, as it is when the caller stops early.
    """
    if in_flight < 1:
        raise ValueError(f"{in_flight} images in flight")
    begun: deque[Begun] = deque()
    source = iter(inputs)
    with ThreadPoolExecutor(1, thread_name_prefix="suture-read") as beside:
        try:
            reading = _next(unit, source, beside)
            while reading is not None:
                work = reading.result()
                # Before this one's head, if there is room for both.
                ahead = len(begun) + 2 <= in_flight
                reading = _next(unit, source, beside) if ahead else None
                begun.append(unit.begin(work, cut))
                while begun and (len(begun) >= in_flight or begun[0].settled):
                    yield unit.finish(begun.popleft())
                reading = reading if ahead else _next(unit, source, beside)
            while begun:
                yield unit.finish(begun.popleft())
        finally:
            for left in begun:
                unit.abandon(left)


def _next(unit: Unit, source: Source, beside: ThreadPoolExecutor) -> Future[Work | Inference] | None:
    """The source's next image, being read; None where there is none."""
    for name, read in source:
        return beside.submit(unit.read, name, read)
    return None
