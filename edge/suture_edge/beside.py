"""Finishing alone beside a cloud that is late: whichever answer is first counts.

The tail of a link's delays is longer than a unit's own time: a request caught in an outage would cost a second until
the path is called dead, and then the whole image. So an answer that is later than it should be makes the unit begin on
its own, which else would only wait; as in "hedged requests" (J. Dean and L. A. Barroso, The tail at scale, CACM 2013).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from suture_edge.results import CloudResult, PendingResult
from suture_partitioner.types import Steps
from suture_protocol.errors import LinkError, SutureError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinishedAlone:
    """What the unit's own last cut gave; begun at `began_s` on `time.perf_counter`'s clock, and how long it took.

    `instead` is what the cloud answered, or how the path failed, meanwhile; None where nothing came.
    """

    outputs: tuple[NDArray[Any], ...]
    began_s: float
    head_s: float
    instead: SutureError | None = None

    def steps(self, preprocess_s: float, *, lost_s: float) -> Steps:
        """Where the image's time went; what was lost on the link before counts as transfer."""
        return Steps(
            preprocess_s=preprocess_s,
            head_s=self.head_s,
            encode_s=0.0,
            transfer_s=lost_s,
            queue_s=0.0,
            decode_s=0.0,
            tail_s=0.0,
        )


class _Overtaken(LinkError):
    """The unit was faster."""


def first_of(
    pending: PendingResult,
    finish: Callable[[], tuple[NDArray[Any], ...]],
    *,
    patience_s: Callable[[], float],
    timeout_s: float,
) -> CloudResult | FinishedAlone:
    """The cloud's answer, or this unit's own, begun after `patience_s()`; the other one is cancelled, or not looked at.

    Patience is asked for again when it has passed, since it grows while the request is held back here. A head that was
    begun is not stopped: where the cloud answers meanwhile, it runs to its end in its thread.

    Raises:
        SutureError: the cloud declined or the path failed, and the unit had not begun or failed as well.
    """
    asked_s = time.perf_counter()
    while (left_s := min(patience_s(), timeout_s) + asked_s - time.perf_counter()) > 0:
        if pending.settled(left_s):
            return pending.wait(0.0)
    finished: list[FinishedAlone] = []

    def alone() -> None:
        began_s = time.perf_counter()
        try:
            outputs = finish()
        except SutureError as error:
            _log.warning("finishing alone failed: %s", error)
            return
        finished.append(FinishedAlone(outputs=outputs, began_s=began_s, head_s=time.perf_counter() - began_s))
        pending.fail(_Overtaken())  # wakes who waits below, unless the answer has just come

    worker = threading.Thread(target=alone, name="suture-alone")
    worker.start()
    try:
        return pending.wait(max(timeout_s + asked_s - time.perf_counter(), 0.0))
    except SutureError as error:
        worker.join()
        if not finished:
            raise
        instead = None if isinstance(error, _Overtaken) else error
    pending.cancel()
    return replace(finished[0], instead=instead)
