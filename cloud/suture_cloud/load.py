"""How busy the executor is, from what it was measured to take: what the cloud reports to its units."""

from __future__ import annotations

import heapq
import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from suture_cloud.executor import TailResult

#: The median over so many runs of a cut is what its next one is expected to take.
RUNS: Final = 9
#: Tails of all cuts that the ratio to the profile, and the time of any one, are medians of.
RECENT: Final = 31
#: How long a measured ratio to the profile says something about now.
RATIO_LIFE_S: Final = 60.0
#: Utilisation is smoothed over about so long.
SMOOTHING_S: Final = 2.0

#: A bundle's digest and a cut's id.
Key = tuple[str, str]


class Meter:
    """Times of the executor by cut, and the share of time in which it was at work. For one event loop.

    Args:
        parallel: How many batches may be with the executor at a time.
        profiled_s: What the served profile says that a tail takes; None where it says nothing.
    """

    def __init__(self, parallel: int, profiled_s: Callable[[str, str], float | None]) -> None:
        self._parallel = parallel
        self._profiled_s = profiled_s
        self._by_cut: dict[Key, deque[float]] = {}
        #: Medians of those, made once per run and not per question: hundreds may wait, and every pong asks.
        self._median_s: dict[Key, float] = {}
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self._ratios: deque[tuple[float, float]] = deque(maxlen=RECENT)
        #: When each batch began and should be back. What passes stops the others: it counts apart from them.
        self._running: dict[int, tuple[float, float]] = {}
        self._passing: dict[int, tuple[float, float]] = {}
        self._used = 0.0
        self._used_at_s = 0.0
        self._ticket = 0

    def began(self, keys: Iterable[Key], now_s: float, *, passing: bool = False) -> int:
        """A batch is with the executor, and stops others where it is `passing`; gives what `ended` wants back."""
        self._settle(now_s)
        self._ticket += 1
        until_s = now_s + sum(self.expected_s(key) for key in keys)
        (self._passing if passing else self._running)[self._ticket] = (now_s, until_s)
        return self._ticket

    def ended(self, ticket: int, keys: list[Key], results: list[TailResult], took_s: float, now_s: float) -> None:
        """The batch is back after `took_s`; failed ones say nothing of how long the next will take."""
        self._settle(now_s)
        if (passed := self._passing.pop(ticket, None)) is not None:
            for other, (began_s, until_s) in self._running.items():
                self._running[other] = (began_s, until_s + now_s - max(began_s, passed[0]))
        self._running.pop(ticket, None)
        each_s = (took_s - sum(result.stopped_s for result in results)) / len(keys)
        for key, result in zip(keys, results, strict=True):
            if result.error:
                continue
            runs = self._by_cut.setdefault(key, deque(maxlen=RUNS))
            runs.append(each_s)
            self._median_s[key] = statistics.median(runs)
            self._recent_s.append(each_s)
            profiled_s = self._profiled_s(*key)
            if profiled_s and result.tail_s > 0 and len(keys) == 1:
                self._ratios.append((now_s, result.tail_s / profiled_s))

    def expected_s(self, key: Key) -> float:
        """What one request of that cut will keep the executor for: as lately measured, else as profiled, else as any
        request lately; 0 where nothing is known at all."""
        measured_s = self._median_s.get(key)
        return measured_s if measured_s is not None else self._profiled_s(*key) or self.service_s

    @property
    def service_s(self) -> float:
        """What the executor lately took for one request, whatever its cut: the mean, since short and long ones mix."""
        return statistics.fmean(self._recent_s) if self._recent_s else 0.0

    def wait_s(self, ahead: Iterable[Key], now_s: float, *, passing: bool = False) -> float:
        """What a request waits that comes behind `ahead`, given in the order in which they will be served; one that is
        `passing` waits for no others that run."""
        running = [] if passing else [max(until_s - now_s, 0.0) for _, until_s in self._running.values()]
        free_s = [0.0] * (self._parallel - len(running)) + running
        heapq.heapify(free_s)
        before = [max(until_s - now_s, 0.0) for _, until_s in self._passing.values()]
        for each_s in (*before, *map(self.expected_s, ahead)):
            heapq.heapreplace(free_s, free_s[0] + each_s)
        return free_s[0]

    def tail_ratio(self, now_s: float) -> float:
        """Lately measured tail times ÷ the profile's; 1 where nothing comparable ran."""
        recent = [ratio for at_s, ratio in self._ratios if now_s - at_s <= RATIO_LIFE_S]
        return statistics.median(recent) if recent else 1.0

    def utilisation(self, now_s: float) -> float:
        """Share of the last seconds in which the executor was at work, from 0 to 1."""
        self._settle(now_s)
        return self._used

    def _settle(self, now_s: float) -> None:
        """Brings the smoothed share up to now; what runs has not changed since the last time."""
        weight = 1 - math.exp(-max(now_s - self._used_at_s, 0.0) / SMOOTHING_S)
        working = min(len(self._running) + len(self._passing), self._parallel)
        self._used += weight * (working / self._parallel - self._used)
        self._used_at_s = now_s
