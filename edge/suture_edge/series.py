"""A series of images as a pipeline: one in the head, those before it on the wire and in the tail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from suture_edge.record import Inference
from suture_edge.settings import AUTO
from suture_edge.unit import Begun, Unit
from suture_models.picture import Picture

#: Images begun and not finished. Three stages need three; the others cover the round trip where the stages are short,
#: and what one image takes longer than another. Each costs memory for its codes on both sides.
IN_FLIGHT: Final = 8


def infer_series(
    unit: Unit,
    inputs: Iterable[tuple[str, Callable[[], Picture]]],
    cut: str = AUTO,
    *,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Inference]:
    """Does images one behind the other and gives their records, in order.

    While one image's codes travel and its tail computes, the next one's head runs: the slowest stage sets the pace.
    The source is asked for the next image only when there is room for it. The caller's thread runs all heads. An
    image's transfer then includes what it waited behind the images before it.

    Args:
        unit: Does the images; nothing else may use it meanwhile.
        inputs: Name and reader of each image, as `Unit.infer` takes them.
        cut: A cut's id, or `auto` to plan each.
        in_flight: Images begun and not finished, at most; 1 does one after the other.

    Raises:
        ValueError: `in_flight` is below 1.
        SutureError: see `Unit.infer`; what is on its way is then cancelled, as it is when the caller stops early.
    """
    if in_flight < 1:
        raise ValueError(f"{in_flight} images in flight")
    begun: deque[Begun] = deque()
    try:
        for name, read in inputs:
            begun.append(unit.begin(name, read, cut))
            while begun and (len(begun) >= in_flight or begun[0].settled):
                yield unit.finish(begun.popleft())
        while begun:
            yield unit.finish(begun.popleft())
    finally:
        for left in begun:
            unit.abandon(left)
