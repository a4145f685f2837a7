"""Dilation: after each operation it sleeps, so that the operation takes `factor` times as long. Knows no engine."""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# The end of a sleep is spun, not slept: timers are late by up to this, a third of the shortest operations.
_SPIN_S: Final = 150e-6
#: After so much running a core is warm: clock, vector units and caches are as in a loop without pauses.
WARM_S: Final = 0.04
WARM_RUNS: Final = 5
_RUNS_LEAST: Final = 3
#: A run that is not faster than those before by more than this ran on a warm core.
_SETTLED: Final = 0.95
#: Share of the slowed time that running may take before the wait.
_RUNNING_SHARE: Final = 0.9
#: For so long before the end of a wait the operation runs again, to leave the core warm.
_KEEP_WARM_S: Final = 0.01
#: What a run may take on a core that has just slept, in warm runs.
_COLD: Final = 1.6
#: Measured calls that the usual time of a piece of work is taken from, and pieces of work that are remembered.
_USUAL_CALLS: Final = 64
_WORKS_KEPT: Final = 1024
#: Work that was measured so often is measured at every sixteenth call from then on.
_KNOWN_CALLS: Final = 16
_MEASURED_EVERY: Final = 16


@dataclass(slots=True)
class _Work:
    """Processor time of the calls that were measured, and how many calls there were."""

    times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_USUAL_CALLS))
    calls: int = 0


class Dilated:
    """Wraps callables so that each call takes `factor` times the warm processor time of the operation.

    *Warm* is the time in a loop without pauses on a free core, which is what boards' published times are, and what the
    factor multiplies. A core that slept is cold: its clock and vector units (AMX most of all) take some 10 ms of
    running to come back, and whoever ran meanwhile has its caches. MobileNetV2 in INT8 was 45 % slower on AMX right
    after 20 ms of pause, 15 % on AVX2, no less when the pause was spent spinning. All that would be multiplied, and a
    slow device does not pause while it computes. So within the time that the call has anyway, an operation of less
    than 40 ms is run again, three times at least and until it gets no faster. The fastest run counts: what a neighbour
    on the host took from another would be multiplied as well. Some more are run in the last 10 ms of the wait, so that
    the core is left as if it had computed throughout. **Operations must therefore be repeatable**:
    computing, decoding, encoding, reading; never sending. Operations of 40 ms and more run once.

    Work that is named (`work`), the same at each call, takes the factor times its usual time: the median of the warm
    times measured last with this object, 64 at most. A processor shared with other tenants does the same work some
    5 % faster or slower by the minute, however quiet this machine is; multiplied, that hides what is to be compared.
    Once its time is known it mostly runs once, which also leaves the processor to whatever plays the other parts.

    The rest of the time it is asleep, so the core is left to others. Time that the call lost to other processes is
    made up for rather than stretched, so that a busy host does not make the emulated device slower still.

    The processor time is the whole process's, because an engine may compute in a thread of its own (the caller's time
    alone would miss it), and at most the time that passed, because the emulated operation has one thread. So: one
    thread in the engine. Other threads of the process count only while the operation itself has lost the core.

    Not given: warmth for factors below about 4 where something else paused the core before the call (the wait for a
    link), since no further run finds room: up to 1.5 × too slow at factor 2, 1.1 × at 4; exactness where other
    processes press on caches and memory while the operation runs; punctual waking on a loaded machine. `calibrate`
    tells. Memory bandwidth, disk and cores are not emulated.

    Args:
        factor: 1 or more; 1 changes nothing.
    """

    def __init__(
        self,
        factor: float,
        *,
        wall: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 1 <= factor < 1e4:
            raise ValueError(f"device factor {factor:g}; a slower device has a factor of 1 or more")
        self.factor = factor
        self._wall, self._processor, self._sleep = wall, processor, sleep
        self._works: OrderedDict[Hashable, _Work] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, operation: Callable[_P, _R], /, *, work: Hashable = None) -> Callable[_P, _R]:
        """The same operation, slowed; exceptions pass at once."""
        if self.factor == 1:
            return operation

        @functools.wraps(operation)
        def slowed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            began_s = self._wall()
            known_s = None if work is None else self._known_s(work)
            if known_s is not None:
                result = operation(*args, **kwargs)
                self._wait_until(began_s + self.factor * known_s)
                return result
            result, used_s = self._warm_run(lambda: operation(*args, **kwargs), began_s)
            if work is not None:
                used_s = self._learn(work, used_s)
            end_s = began_s + self.factor * used_s
            if used_s < WARM_S:
                self._wait_until(end_s - max(_KEEP_WARM_S, _COLD * used_s))
                while self._wall() + _COLD * used_s < end_s:
                    operation(*args, **kwargs)
            self._wait_until(end_s)
            return result

        return slowed

    def timed(self, operation: Callable[[], object]) -> float:
        """Seconds that one slowed call took."""
        slowed = self(operation)
        began_s = self._wall()
        slowed()
        return self._wall() - began_s

    def _warm_run(self, operation: Callable[[], _R], began_s: float) -> tuple[_R, float]:
        """The operation's result, and its processor time on a core as warm as there is room for."""
        least_s, started_s = float("inf"), began_s
        for run in range(1, WARM_RUNS + 1):
            processor_s = self._processor()
            result = operation()
            ended_s = self._wall()
            used_s = min(self._processor() - processor_s, ended_s - started_s)
            spent_s = ended_s - began_s
            full = spent_s >= WARM_S or spent_s + used_s > _RUNNING_SHARE * self.factor * used_s
            settled = run >= _RUNS_LEAST and used_s > _SETTLED * least_s
            least_s = min(least_s, used_s)
            if full or settled:
                break
            started_s = ended_s
        return result, least_s

    def _known_s(self, work: Hashable) -> float | None:
        """The usual time of work that need not be measured this time."""
        with self._lock:
            one = self._works.setdefault(work, _Work())
            self._works.move_to_end(work)
            if len(self._works) > _WORKS_KEPT:
                self._works.popitem(last=False)
            one.calls += 1
            if len(one.times_s) < _KNOWN_CALLS or one.calls % _MEASURED_EVERY == 0:
                return None
            return statistics.median(one.times_s)

    def _learn(self, work: Hashable, used_s: float) -> float:
        """The usual time of work, this time with it."""
        with self._lock:
            one = self._works.setdefault(work, _Work())
            one.times_s.append(used_s)
            return statistics.median(one.times_s)

    def _wait_until(self, end_s: float) -> None:
        while (left_s := end_s - self._wall()) > 0:
            if left_s > _SPIN_S:
                self._sleep(left_s - _SPIN_S)


def dilate(factor: float) -> Dilated:
    """A wrapper that makes operations `factor` times slower: `run = dilate(12.0)(head.run)`."""
    return Dilated(factor)
