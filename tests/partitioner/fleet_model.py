"""Eight units and a cloud as a discrete-event model, so that thousands of images take a second and every draw is known.

Each unit does one image after the other, all by itself in `alone_s`, or with the cloud: `before_s` until its request is
there, a turn in the one first-come queue of `service_s`, `after_s` for the way back. Reports come as from a real cloud:
with each result, and four times a second while the unit has no request there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from suture_protocol.events import Load

PONG_S = 0.25
#: Of the reported utilisation.
SMOOTHING_S = 2.0
#: As the planner's: what is in force gives way only to what is faster by this.
HYSTERESIS = 0.05


class Waits(Protocol):
    """What a unit plans with."""

    def on_report(self, load: Load, now_s: float, *, waited_s: float | None = None) -> None: ...

    def queue_s(self, now_s: float) -> float: ...

    @property
    def others_s(self) -> float: ...


class LastHeard:
    """The rival: the last report as it is."""

    others_s = 0.0

    def __init__(self) -> None:
        self._wait_s = 0.0

    def on_report(self, load: Load, now_s: float, *, waited_s: float | None = None) -> None:
        self._wait_s = load.routine_wait_s

    def queue_s(self, now_s: float) -> float:
        return self._wait_s


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of fleet; times in seconds."""

    alone_s: float = 1.0
    before_s: float = 0.2
    service_s: float = 0.1
    after_s: float = 0.03
    jitter: float = 0.05
    units: int = 8

    @property
    def idle_s(self) -> float:
        """With the cloud, when nobody else is there."""
        return self.before_s + self.service_s + self.after_s


@dataclass(eq=False)
class Unit:
    """`waits` None keeps to `remote`. `log` holds (second, whether it turned to the cloud) of each change."""

    waits: Waits | None
    remote: bool = False
    away: bool = False
    done_s: list[float] = field(default_factory=list)
    log: list[tuple[float, bool]] = field(default_factory=list)


@dataclass
class Run:
    """What came of it."""

    units: list[Unit]
    length_s: float

    def per_s(self, from_s: float = 0.0, to_s: float | None = None) -> float:
        """Images done a second."""
        end_s = self.length_s if to_s is None else to_s
        return sum(from_s <= t < end_s for unit in self.units for t in unit.done_s) / (end_s - from_s)

    def remote(self, from_s: float, to_s: float, step_s: float = 0.25) -> list[int]:
        """How many units were with the cloud, every `step_s`."""
        counts = []
        for step in range(int((to_s - from_s) / step_s)):
            at_s = from_s + step * step_s
            counts.append(sum(next((r for t, r in reversed(unit.log) if t <= at_s), False) for unit in self.units))
        return counts

    def switches_per_minute(self, from_s: float, to_s: float) -> float:
        """Of the unit that switched most often."""
        return max(sum(from_s <= t < to_s for t, _ in unit.log[1:]) for unit in self.units) * 60 / (to_s - from_s)


def simulate(
    shape: Shape,
    units: Sequence[Unit],
    length_s: float,
    *,
    neighbour_per_s: Callable[[float], float] = lambda _t: 0.0,
    seed: int = 1,
) -> Run:
    """Lets the fleet work; `neighbour_per_s` are further requests to the cloud at a moment, at random times."""
    return _Model(shape, list(units), length_s, neighbour_per_s, random.Random(seed)).run()


class _Model:
    def __init__(
        self,
        shape: Shape,
        units: list[Unit],
        length_s: float,
        neighbour_per_s: Callable[[float], float],
        draw: random.Random,
    ) -> None:
        self.shape, self.units, self.length_s = shape, units, length_s
        self.neighbour_per_s, self.draw = neighbour_per_s, draw
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.tickets = itertools.count()
        self.line: list[tuple[float, float, Unit | None]] = []
        self.free_s = 0.0
        self.serving: tuple[Unit | None, float] | None = None
        self.used = self.used_at_s = 0.0

    def run(self) -> Run:
        for unit in self.units:
            self.at(self.draw.uniform(0, self.shape.alone_s), self.begin, unit)
            self.at(self.draw.uniform(0, PONG_S), self.pong, unit)
        self.at(0.0, self.neighbour)
        while self.events[0][0] <= self.length_s:
            at_s, _, what, about = heapq.heappop(self.events)
            what(at_s, *about)
        return Run(self.units, self.length_s)

    def at(self, at_s: float, what: Callable[..., None], *about: Any) -> None:
        heapq.heappush(self.events, (at_s, next(self.tickets), what, about))

    def about(self, mean_s: float) -> float:
        return mean_s * self.draw.lognormvariate(0, self.shape.jitter)

    def load(self, now_s: float) -> Load:
        wait_s = sum(took_s for _, took_s, _ in self.line) + (max(self.free_s - now_s, 0.0) if self.serving else 0.0)
        self.settle(now_s)
        return Load(
            routine_wait_s=wait_s,
            stat_wait_s=wait_s,
            service_s=self.shape.service_s,
            utilisation=self.used,
            units=len(self.units),
        )

    def settle(self, now_s: float) -> None:
        """The smoothed share of time at work, as a real cloud reports it; to be called before `serving` changes."""
        weight = 1 - math.exp(-(now_s - self.used_at_s) / SMOOTHING_S)
        self.used += weight * ((self.serving is not None) - self.used)
        self.used_at_s = now_s

    def begin(self, now_s: float, unit: Unit) -> None:
        if unit.waits is not None:
            shape, wait_s = self.shape, unit.waits.queue_s(now_s) + unit.waits.others_s
            cloud_s, stays = shape.idle_s + wait_s, 1 + HYSTERESIS
            remote = cloud_s <= shape.alone_s * stays if unit.remote else cloud_s * stays < shape.alone_s
        else:
            remote = unit.remote
        if remote != unit.remote or not unit.log:
            unit.log.append((now_s, remote))
        unit.remote = unit.away = remote
        if remote:
            self.at(now_s + self.about(self.shape.before_s), self.arrive, unit)
        else:
            self.at(now_s + self.about(self.shape.alone_s), self.end, unit)

    def arrive(self, now_s: float, unit: Unit | None) -> None:
        self.line.append((now_s, self.about(self.shape.service_s), unit))
        self.serve(now_s)

    def serve(self, now_s: float) -> None:
        self.settle(now_s)
        if self.serving is None and self.line:
            came_s, took_s, unit = self.line.pop(0)
            self.serving, self.free_s = (unit, now_s - came_s), now_s + took_s
            self.at(self.free_s, self.served)

    def served(self, now_s: float) -> None:
        assert self.serving is not None
        self.settle(now_s)
        (unit, waited_s), self.serving = self.serving, None
        self.serve(now_s)
        if unit is not None:
            self.at(now_s + self.shape.after_s, self.result, unit, self.load(now_s), waited_s)

    def result(self, now_s: float, unit: Unit, load: Load, waited_s: float) -> None:
        unit.away = False
        if unit.waits is not None:
            unit.waits.on_report(load, now_s, waited_s=waited_s)
        self.end(now_s, unit)

    def end(self, now_s: float, unit: Unit) -> None:
        unit.done_s.append(now_s)
        self.begin(now_s, unit)

    def pong(self, now_s: float, unit: Unit) -> None:
        if unit.waits is not None and not unit.away:
            unit.waits.on_report(self.load(now_s), now_s)
        self.at(now_s + PONG_S, self.pong, unit)

    def neighbour(self, now_s: float) -> None:
        rate = self.neighbour_per_s(now_s)
        if rate > 0:
            self.arrive(now_s, None)
        self.at(now_s + (self.draw.expovariate(rate) if rate > 0 else 0.5), self.neighbour)
