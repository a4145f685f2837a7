"""Measuring heads and tails: knows engines only as callables, keeps to a time budget, and says what it did not measure.

Edge: `run` takes an image and gives the boundary. Cloud: `run` takes the boundary. What crosses is coded in `payloads`,
what is not measured is predicted in `predict`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from suture_models.manifest import Cut
from suture_partitioner.device import resident_bytes
from suture_partitioner.predict import predicted
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import CutTiming

#: Runs a head (an image in, the boundary out) or a tail (the boundary in, anything out).
Run = Callable[[Any], Any]
Load = Callable[[], tuple[Run, Callable[[], None]]]
Progress = Callable[[int, int, str], None]
Save = Callable[[Mapping[str, CutTiming]], None]

#: Fewer than three runs have no median worth the name.
MIN_REPEATS: Final = 3
MAX_REPEATS: Final = 15
#: Cuts held in memory and timed in turns, so that a slow second on the machine falls on all of them alike.
GROUP: Final = 4
#: So many measured cuts predict the others well; before there are, time goes into their repeats and not into more.
ENOUGH: Final = 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One cut to measure: how to load it, and the inputs to run it on (edge: images, cloud: boundaries).

    The head of cut 0 is a `run` that gives back its image as the only tensor of a boundary.
    """

    cut: Cut
    load: Load
    samples: Sequence[Any]


@dataclass(slots=True)
class _Timed:
    """A loaded subject and what was measured of it so far."""

    subject: Subject
    run: Run
    close: Callable[[], None]
    load_s: float
    first_s: float
    memory_bytes: int
    compute_s: list[float] = field(default_factory=list)

    def timing(self) -> CutTiming:
        return CutTiming(
            compute_s=statistics.median(self.compute_s),
            compute_min_s=min(self.compute_s),
            samples=len(self.compute_s),
            load_s=self.load_s,
            first_s=self.first_s,
            memory_bytes=self.memory_bytes,
        )


def measure(
    subjects: Sequence[Subject],
    *,
    budget_s: float,
    kept: Mapping[str, CutTiming] | None = None,
    save: Save | None = None,
    progress: Progress | None = None,
    watch: Stopwatch | None = None,
    resident: Callable[[], int] = resident_bytes,
) -> dict[str, CutTiming]:
    """Measures the subjects that the budget allows, in the order given, at least the first two.

    They are loaded in groups and timed in turns, each after a run to warm up, `MIN_REPEATS` to `MAX_REPEATS` times.

    Args:
        subjects: The cuts, each once, each with at least one sample, the most wanted first; see `in_order`.
        budget_s: Aimed at, and overrun by no more than one group.
        kept: What was measured before, by an attempt that did not come to its end; not measured again.
        save: Told all that is measured so far, after each group.
        progress: Told (cuts done, cuts in all, text) before each group and at the end.
        watch: What to time with.
        resident: Memory of the process, in bytes.

    Returns:
        The timings of those that were measured, without codecs.

    Raises:
        ValueError: no subject, or one without samples.
    """
    if not subjects or any(not subject.samples for subject in subjects):
        raise ValueError("measuring takes at least one cut, and for each cut at least one sample input")
    watch = watch or Stopwatch()
    report, start_s = progress or _silent, watch.clock()
    known = {subject.cut.id for subject in subjects}
    measured = {cut_id: timing for cut_id, timing in (kept or {}).items() if cut_id in known and timing.samples}
    left = [subject for subject in subjects if subject.cut.id not in measured]
    least_per_cut_s = 0.0
    for group in _groups(left, first=not measured):
        left_s = budget_s - (watch.clock() - start_s)
        if measured and left_s < least_per_cut_s * len(group):
            break
        report(len(measured), len(subjects), f"measuring cut {group[0].cut.id}, {max(left_s, 0):.0f} s left at most")
        still = max(min(ENOUGH, len(subjects)) - len(measured), len(group))
        timings, least_s = _measure_group(group, max(left_s, 0.0) * len(group) / still, watch, resident)
        least_per_cut_s = least_s / len(group)
        measured |= timings
        if save is not None:
            save(measured)
    report(len(subjects), len(subjects), f"measured {len(measured)} of {len(subjects)} cuts")
    return measured


def completed(
    measured: Mapping[str, CutTiming], described: Mapping[str, Sequence[float]], slower: float = 1.0
) -> dict[str, CutTiming]:
    """`measured`, and for every other described cut a timing with `samples` 0; in the order of `described`.

    Args:
        measured: Cut → timing; at least one.
        described: Cut → what predicts it; see `suture_partitioner.predict.terms`.
        slower: What every time is multiplied by, as for an emulated device.
    """
    times_s = predicted(described, {cut_id: timing.compute_s for cut_id, timing in measured.items()})
    below = [t.compute_min_s / t.compute_s for t in measured.values() if t.compute_s > 0]
    least = statistics.median(below) if below else 1.0
    found = {}
    for cut_id, seconds in times_s.items():
        timing = measured.get(cut_id) or _between(seconds, least, list(measured.values()))
        found[cut_id] = replace(
            timing,
            compute_s=timing.compute_s * slower,
            compute_min_s=timing.compute_min_s * slower,
            load_s=timing.load_s * slower,
            first_s=timing.first_s * slower,
        )
    return found


def _between(seconds: float, least: float, measured: Sequence[CutTiming]) -> CutTiming:
    """A timing that was predicted: cold figures as typical, memory as the measured cuts next to it take at most."""
    around = sorted(measured, key=lambda timing: abs(timing.compute_s - seconds))[:2]
    return CutTiming(
        compute_s=seconds,
        compute_min_s=seconds * least,
        samples=0,
        load_s=statistics.mean(timing.load_s for timing in around),
        first_s=seconds + statistics.mean(max(timing.first_s - timing.compute_s, 0.0) for timing in around),
        memory_bytes=max(timing.memory_bytes for timing in around),
    )


def in_order(efforts: Mapping[str, float], sizes: Mapping[str, int]) -> list[str]:
    """Cuts in the order in which they are worth measuring.

    First the two ends, then those that a plan may choose: no other takes less work before it and sends no more. Both of
    these, and then the rest, from the outside in (middle, quarters, …), so that wherever measuring stops, what was
    measured lies spread out.

    Args:
        efforts: Cut → anything that grows with the time of what is measured.
        sizes: Cut → bytes it sends; a cut that sends nothing is missing.
    """
    by_effort = sorted(efforts, key=lambda cut_id: efforts[cut_id])
    ends = {by_effort[0], by_effort[-1]}
    least, front = float("inf"), list[str]()
    for cut_id in by_effort:
        if sizes.get(cut_id, 0) < least:
            front.append(cut_id)
            least = sizes.get(cut_id, 0)
    ordered = [by_effort[0], by_effort[-1]] if len(by_effort) > 1 else by_effort
    chosen = _outside_in([c for c in front if c not in ends])
    others = _outside_in([c for c in by_effort if c not in ends and c not in set(front)])
    return [*ordered, *chosen, *others]


def _silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""


def _groups(subjects: Sequence[Subject], *, first: bool) -> Iterable[Sequence[Subject]]:
    """The two ends, then `GROUP` at a time."""
    start = 2 if first else 0
    if first:
        yield subjects[:start]
    for i in range(start, len(subjects), GROUP):
        yield subjects[i : i + GROUP]


def _measure_group(
    group: Sequence[Subject], share_s: float, watch: Stopwatch, resident: Callable[[], int]
) -> tuple[dict[str, CutTiming], float]:
    """The group's timings, and what it would have cost with the fewest repeats, in seconds."""
    start_s = watch.clock()
    loaded: list[_Timed] = []
    try:
        for subject in group:
            loaded.append(_loaded(subject, watch, resident))  # noqa: PERF401 closed below when the next one fails
        ready_s = now_s = watch.clock()
        rounds = 0
        while rounds < MAX_REPEATS:
            round_start_s = now_s
            for timed in loaded:
                sample = timed.subject.samples[rounds % len(timed.subject.samples)]
                timed.compute_s.append(watch.timed(partial(timed.run, sample))[1])
            rounds += 1
            now_s = watch.clock()
            if rounds >= MIN_REPEATS and (now_s - start_s) + (now_s - round_start_s) > share_s:
                break
        least_s = (ready_s - start_s) + (now_s - ready_s) * MIN_REPEATS / rounds
        return {timed.subject.cut.id: timed.timing() for timed in loaded}, least_s
    finally:
        for timed in loaded:
            timed.close()


def _loaded(subject: Subject, watch: Stopwatch, resident: Callable[[], int]) -> _Timed:
    before_bytes, start_s = resident(), watch.clock()
    run, close = subject.load()
    load_s = watch.clock() - start_s  # reading its file is part of it, so not the processor's time
    try:
        _, first_s = watch.timed(partial(run, subject.samples[0]))
    except BaseException:
        close()
        raise
    return _Timed(
        subject=subject,
        run=run,
        close=close,
        load_s=load_s,
        first_s=first_s,
        memory_bytes=max(resident() - before_bytes, 0),
    )


def _outside_in(cuts: Sequence[str]) -> list[str]:
    """First, last, then the middles of the widest gaps."""
    if len(cuts) < 3:
        return list(cuts)
    order, gaps = [0, len(cuts) - 1], [(0, len(cuts) - 1)]
    for low, high in gaps:
        if high - low >= 2:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [cuts[i] for i in order]
