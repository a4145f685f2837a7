"""Measuring heads and tails: knows engines only as callables, keeps to a time budget, and says what it did not measure.

Edge: `run` takes an image and gives the boundary; each codec's encoding is timed and its payload weighed.
Cloud: `run` takes the boundary; each codec's decoding is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_partitioner.interpolate import interpolated
from suture_partitioner.types import CutTiming, Side
from suture_protocol.codecs.base import Codec
from suture_protocol.payload import PayloadTensor, pack, unpack

Tensors = tuple[NDArray[Any], ...]
#: Runs a head (an image in, the boundary out) or a tail (the boundary in, anything out).
Run = Callable[[Any], Any]
Load = Callable[[], tuple[Run, Callable[[], None]]]
Progress = Callable[[int, int, str], None]

#: Lossless codecs that both sides measure at each cut, since a plan needs encoding and decoding of the same one. A
#: lossy codec changes the answer and is used only when asked for.
PROFILED_CODECS: Final = ("zstd", "jpegls")
#: Fewer than three runs have no median worth the name.
MIN_REPEATS: Final = 3
MAX_REPEATS: Final = 15
#: Cuts held in memory and timed in turns, so that a slow second on the machine falls on all of them alike.
GROUP: Final = 4


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
    codecs: Sequence[Codec]
    compute_s: list[float] = field(default_factory=list)
    codec_s: dict[str, list[float]] = field(default_factory=dict)
    payload_bytes: dict[str, list[int]] = field(default_factory=dict)

    def timing(self) -> CutTiming:
        return CutTiming(
            compute_s=statistics.median(self.compute_s),
            compute_min_s=min(self.compute_s),
            samples=len(self.compute_s),
            codec_s={codec: statistics.median(times) for codec, times in self.codec_s.items()},
            payload_bytes={codec: round(statistics.median(sizes)) for codec, sizes in self.payload_bytes.items()},
        )


def measure(
    subjects: Sequence[Subject],
    *,
    side: Side,
    codecs: Sequence[Codec],
    budget_s: float,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Mapping[str, CutTiming]:
    """Measures every subject that the budget allows, at least the two outermost, and interpolates the rest.

    Cuts are measured from the outside in (first, last, middle, quarters, …), in groups that are loaded together and
    timed in turns, each after one run to warm up. Repeats fall from 15 to 3 before a cut is left out; a cut left out
    is interpolated by its share of multiply-accumulates and has `samples` 0.

    Args:
        subjects: The cuts, in any order, each once, each with at least one sample.
        side: What is measured: heads and encoders (`edge`) or decoders and tails (`cloud`).
        codecs: Tried where they take the tensors; lossy ones at the input only, nothing at the last cut.
        budget_s: Aimed at, and overrun by no more than one group.
        progress: Told (cuts done, cuts in all, text) before each group and at the end.
        clock: Monotonic seconds.

    Raises:
        ValueError: no subject, or one without samples.
    """
    if not subjects or any(not subject.samples for subject in subjects):
        raise ValueError("measuring takes at least one cut, and for each cut at least one sample input")
    ordered = _outside_in(sorted(subjects, key=lambda subject: subject.cut.index))
    groups = [ordered[:2]] + [ordered[i : i + GROUP] for i in range(2, len(ordered), GROUP)]
    report = progress or _silent
    start_s = clock()
    measured: dict[str, CutTiming] = {}
    least_per_cut_s = 0.0
    for position, group in enumerate(groups):
        left_s = budget_s - (clock() - start_s)
        if position and left_s < least_per_cut_s * len(group):
            break
        report(len(measured), len(ordered), f"measuring cut {group[0].cut.id}")
        share_s = left_s * len(group) / (len(ordered) - len(measured))
        timings, least_s = _measure_group(group, side=side, codecs=codecs, share_s=share_s, clock=clock)
        least_per_cut_s = least_s / len(group)
        measured |= timings
    report(len(measured), len(ordered), f"measured {len(measured)} of {len(ordered)} cuts")
    return interpolated([subject.cut for subject in subjects], measured, side)


def _silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""


def _measure_group(
    group: Sequence[Subject], *, side: Side, codecs: Sequence[Codec], share_s: float, clock: Callable[[], float]
) -> tuple[dict[str, CutTiming], float]:
    """The group's timings, and what it would have cost with the fewest repeats, in seconds."""
    start_s = clock()
    loaded: list[_Timed] = []
    try:
        for subject in group:
            run, close = subject.load()
            loaded.append(_Timed(subject=subject, run=run, close=close, codecs=codecs))
            run(subject.samples[0])
        ready_s = now_s = clock()
        rounds = 0
        while rounds < MAX_REPEATS:
            round_start_s = now_s
            for timed in loaded:
                _measure_once(timed, rounds, side, clock)
            rounds += 1
            now_s = clock()
            if rounds >= MIN_REPEATS and (now_s - start_s) + (now_s - round_start_s) > share_s:
                break
        least_s = (ready_s - start_s) + (now_s - ready_s) * MIN_REPEATS / rounds
        return {timed.subject.cut.id: timed.timing() for timed in loaded}, least_s
    finally:
        for timed in loaded:
            timed.close()


def _measure_once(timed: _Timed, turn: int, side: Side, clock: Callable[[], float]) -> None:
    cut = timed.subject.cut
    sample = timed.subject.samples[turn % len(timed.subject.samples)]
    start_s = clock()
    result = timed.run(sample)
    timed.compute_s.append(clock() - start_s)
    if cut.id == LAST_CUT:
        return
    boundary: Tensors = result if side == "edge" else sample
    for codec in timed.codecs:
        if not codec.lossless and cut.id != INPUT_CUT:
            continue
        if not all(codec.accepts(tuple(tensor.shape), tensor.dtype.name) for tensor in boundary):
            continue
        start_s = clock()
        headers, payload = pack(boundary, codec)
        spent_s = clock() - start_s
        if side == "cloud":
            spent_s = _decode_s(headers, payload, codec, clock)
        timed.codec_s.setdefault(codec.id, []).append(spent_s)
        timed.payload_bytes.setdefault(codec.id, []).append(len(payload))


def _decode_s(headers: Sequence[PayloadTensor], payload: bytes, codec: Codec, clock: Callable[[], float]) -> float:
    start_s = clock()
    unpack(headers, payload, codec)
    return clock() - start_s


def _outside_in(subjects: Sequence[Subject]) -> list[Subject]:
    """First, last, then the middles of the widest gaps: wherever measuring stops, what was measured lies spread out."""
    last = len(subjects) - 1
    order = [0] if last == 0 else [0, last]
    gaps = [(0, last)]
    for low, high in gaps:
        if high - low >= 2:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [subjects[i] for i in order]
