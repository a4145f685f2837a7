"""A connection's two lanes and their roles: routine requests have one; urgent ones overtake them on the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from suture_edge.lane import Lane
from suture_edge.sockets import Brake, RateReader, Tuned, Tuning, tune
from suture_protocol import codes
from suture_protocol.errors import Refused, SutureError

_log = logging.getLogger(__name__)

#: A lane is slow that would send at less than this share of what the other delivers, or would send.
_SLOW: Final = 0.7
#: While requests are under way, that is looked at no more often than this.
_LOOK_S: Final = 0.5


@dataclass(slots=True, eq=False)
class MarkedLane:
    """A lane, the mark of its socket, and what is in force there once that was asked for."""

    lane: Lane
    mark: int
    brake: Brake
    rates: RateReader
    tuned: Tuned | None = None

    def tune(self, tuning: Tuning, cloud: str) -> None:
        """Once the socket is there, and once only."""
        if self.tuned is None and (tuned := tune(self.mark, tuning)) is not None:
            self.tuned = tuned
            _log.info("connection to the cloud at %s: %s", cloud, tuned)


class Lanes:
    """The routine lane, and the express one, opened when what is handed in becomes bulk: once the path is full,
    connecting takes several seconds.

    TCP paces what is urgent by what it knows of the line, and short requests alone never show it a rate above their
    size by a round trip: it sent 25 KB at 10 Mbit/s of 50. Only bulk shows it more. So the lanes change roles where
    the express one knows too little while routine requests follow each other: they go on there, and what is urgent has
    the lane that knows the line. A request that has the connection to itself goes on that lane, too.

    Args:
        make: Makes a lane; told whom to tell that it ended.
        tuning: What to ask of the lanes' sockets.
        cloud: The cloud's address, for messages.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        make: Callable[[Callable[[SutureError], None]], MarkedLane],
        tuning: Tuning,
        cloud: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._tuning = tuning
        self._cloud = cloud
        self._clock = clock
        self._lock = threading.Lock()
        self._express: MarkedLane | None = None
        self._looked_at_s = clock()
        with self._lock:  # it may end at once
            self._routine = self._made()

    @property
    def routine(self) -> MarkedLane:
        """The one that carries routine requests."""
        return self._routine

    @property
    def express(self) -> MarkedLane | None:
        """The other; None until it is opened."""
        return self._express

    def marked(self) -> list[MarkedLane]:
        """Those that there are."""
        with self._lock:
            return [one for one in (self._routine, self._express) if one is not None]

    def all(self) -> list[Lane]:
        """The same without their marks."""
        return [one.lane for one in self.marked()]

    def open_express(self) -> MarkedLane:
        """The express lane, opened now if it is not yet; the routine one where the connection is over."""
        with self._lock:
            stale = self._express if self._express is not None and not self._express.lane.alive else None
            if (self._express is None or stale is not None) and self._routine.lane.alive:
                self._express = self._made()
            found = self._express or self._routine
        if stale is not None:
            stale.lane.close()
        return found

    def change_roles(self) -> MarkedLane | None:
        """Does so where it would have urgent requests sent sooner.

        Returns:
            What was the routine lane, for its requests that were not begun to be handed over. What was begun remains
            there, ahead of what is urgent, until it is through. None where nothing changed.
        """
        with self._lock:
            routine, express = self._routine, self._express
            if express is None or not self._tuning.change_lanes or not express.lane.call.welcomed:
                return None
            if not routine.lane.alive:
                return None
            if routine.lane.busy or express.lane.busy:
                now_s = self._clock()
                if now_s < self._looked_at_s + _LOOK_S or not routine.lane.bulk_under_way():
                    return None
                self._looked_at_s = now_s
            for one in (routine, express):
                one.tune(self._tuning, self._cloud)
            # What ends after this finds its new role.
            if not _better(routine, express) or not express.lane.alive:
                return None
            self._routine, self._express = express, routine
            express.lane.succeeded_by(None)
            routine.lane.succeeded_by(express.lane)
        _log.debug("routine requests to the cloud at %s go on another connection", self._cloud)
        return routine

    def _made(self) -> MarkedLane:
        """A lane; under the lock, so that what ends is known by then."""
        made: list[MarkedLane] = []

        def ended(error: SutureError) -> None:
            with self._lock:
                was_routine, express = made[0] is self._routine, self._express
            if not was_routine:
                _log.info("an express lane ended: %s", error)
            elif express is not None and not is_stopping(error):
                express.lane.call.close(error)

        made.append(self._make(ended))
        return made[0]


def is_stopping(error: SutureError) -> bool:
    """Whether the cloud ends the session because it is told to: it still answers what other sessions have begun."""
    return isinstance(error, Refused) and error.code == codes.STOPPING


def _better(routine: MarkedLane, express: MarkedLane) -> bool:
    """Whether the lanes should change roles, by what the kernel knows of the line on each."""
    # Others than BBR forget in a pause what they knew.
    if any(one.tuned is None or one.tuned.congestion_control != "bbr" for one in (routine, express)):
        return False
    ours, other = routine.rates.read(), express.rates.read()
    if ours is None or other is None:
        return False
    if routine.lane.busy:  # so that routine requests teach the other one
        return other.sending_bps < _SLOW * ours.delivery_bps
    return ours.sending_bps < _SLOW * other.sending_bps
