"""Measuring within a budget, over a clock that only the measured callables move; going on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_models.manifest import Cut, TensorSpec
from suture_partitioner.profile import ENOUGH, MAX_REPEATS, MIN_REPEATS, Subject, completed, in_order, measure
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import CutTiming


class Clock:
    """Seconds that pass only when somebody spends them."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def spend(self, time_s: float) -> None:
        self.now_s += time_s


def cut_at(i: int, count: int) -> Cut:
    cut_id = {0: "0", count - 1: "last"}.get(i, f"node_{i}")
    return Cut(
        id=cut_id,
        index=i,
        boundary=(TensorSpec(name=f"t{i}", shape=(1, 1, 8, 8 * (i + 1)), dtype="float32"),),
        head_macs=1000 * i,
        tail_macs=1000 * (count - 1 - i),
    )


class Bench:
    """Heads of a pretended network in which every multiply-accumulate takes a microsecond, the first time two."""

    def __init__(self, count: int, *, load_s: float = 0.5) -> None:
        self.clock, self.load_s, self.bytes = Clock(), load_s, 0
        self.open: set[str] = set()
        self.most_open = 0
        self.loaded: list[str] = []
        cuts = {cut.id: cut for cut in (cut_at(i, count) for i in range(count))}
        order = in_order({cut_id: cut.head_macs for cut_id, cut in cuts.items()}, {})
        self.subjects = [self.subject(cuts[cut_id]) for cut_id in order]
        self.described = {cut_id: (cut.head_macs * 1e-6, 1.0) for cut_id, cut in cuts.items()}

    def subject(self, cut: Cut) -> Subject:
        sample = np.zeros((1, 1, 8, 8), np.uint8)

        def load():
            self.clock.spend(self.load_s)
            self.bytes += 1_000_000
            self.loaded.append(cut.id)
            self.open.add(cut.id)
            self.most_open = max(self.most_open, len(self.open))
            cold = [True]

            def run(given):
                assert cut.id in self.open
                assert given is sample
                self.clock.spend(1e-6 * cut.head_macs * (2 if cold else 1))
                cold.clear()
                return (given,)

            return run, lambda: self.open.remove(cut.id)

        return Subject(cut=cut, load=load, samples=[sample])

    def measure(self, budget_s, **settings):
        watch = Stopwatch(clock=self.clock, processor=self.clock)
        return measure(self.subjects, budget_s=budget_s, watch=watch, resident=lambda: self.bytes, **settings)


def test_with_time_enough_every_cut_is_measured_often_and_closed():
    bench = Bench(11)
    told = []
    cuts = bench.measure(100.0, progress=lambda done, total, text: told.append((done, total, text)))
    assert set(cuts) == {s.cut.id for s in bench.subjects}
    assert {timing.samples for timing in cuts.values()} == {MAX_REPEATS}
    for subject in bench.subjects:
        assert cuts[subject.cut.id].compute_s == pytest.approx(1e-6 * subject.cut.head_macs)
    assert not bench.open
    assert bench.most_open <= 4
    assert told[0] == (0, 11, "measuring cut 0, 100 s left at most")
    assert told[-1] == (11, 11, "measured 11 of 11 cuts")


def test_cold_times_and_memory_are_kept_apart_from_the_warm_ones():
    timing = Bench(5).measure(100.0)["node_2"]
    assert (timing.load_s, timing.memory_bytes) == (pytest.approx(0.5), 1_000_000)
    assert timing.first_s == pytest.approx(0.004)
    assert timing.compute_s == pytest.approx(0.002)


def test_with_less_time_repeats_fall_but_never_below_three():
    bench = Bench(11, load_s=0.1)
    cuts = bench.measure(1.4)
    assert {timing.samples for timing in cuts.values()} <= set(range(MIN_REPEATS, MAX_REPEATS + 1))
    assert min(timing.samples for timing in cuts.values()) < MAX_REPEATS
    assert bench.clock.now_s < 1.4 + 0.5


def test_with_too_little_time_some_cuts_are_left_out_and_the_budget_is_kept_but_for_a_group():
    bench = Bench(41)
    cuts = bench.measure(5.0)
    assert {"0", "last"} <= set(cuts)
    assert 6 <= len(cuts) < 41
    assert bench.clock.now_s < 5.0 + 2.5


def test_a_budget_of_nothing_still_measures_the_two_ends():
    bench = Bench(9)
    cuts = bench.measure(0.0)
    assert bench.loaded == ["0", "last"]
    assert cuts["0"].samples == cuts["last"].samples == MIN_REPEATS


def test_time_goes_into_repeats_of_enough_cuts_before_it_goes_into_more_cuts():
    bench = Bench(80, load_s=0.05)
    cuts = bench.measure(ENOUGH * 0.05 + 4.0)
    repeats = [timing.samples for timing in cuts.values()]
    assert len(cuts) < 40
    assert sorted(repeats)[len(repeats) // 2] > MIN_REPEATS


def test_a_measurement_that_was_stopped_goes_on_where_it_was():
    bench = Bench(11)
    saved: list[dict[str, CutTiming]] = []

    def stop_after_two(timings):
        saved.append(dict(timings))
        if len(saved) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.measure(100.0, save=stop_after_two)
    assert not bench.open
    done = set(saved[-1])
    assert len(done) == 6
    bench.loaded.clear()
    cuts = bench.measure(100.0, kept=saved[-1])
    assert not done & set(bench.loaded)
    assert set(cuts) == {s.cut.id for s in bench.subjects}
    assert cuts["last"] == saved[-1]["last"]


def test_what_was_kept_of_another_network_is_not_used():
    cuts = Bench(3).measure(100.0, kept={"elsewhere": CutTiming(compute_s=1.0, compute_min_s=1.0, samples=5)})
    assert set(cuts) == {"0", "node_1", "last"}


def test_heads_are_closed_when_one_of_them_fails():
    bench = Bench(7)

    def broken():
        raise RuntimeError("no such head")

    bench.subjects[4] = Subject(cut=bench.subjects[4].cut, load=broken, samples=bench.subjects[4].samples)
    with pytest.raises(RuntimeError, match="no such head"):
        bench.measure(100.0)
    assert not bench.open


@pytest.mark.parametrize("subjects", [[], [Subject(cut=cut_at(1, 3), load=lambda: None, samples=[])]])
def test_nothing_to_measure_or_to_measure_with_is_refused(subjects):
    with pytest.raises(ValueError, match="at least one"):
        measure(subjects, budget_s=1.0)


def test_the_cuts_that_were_left_out_are_predicted_and_marked():
    bench = Bench(41)
    measured = bench.measure(5.0)
    cuts = completed(measured, bench.described)
    assert list(cuts) == list(bench.described)
    for cut_id, (seconds, _) in bench.described.items():
        assert cuts[cut_id].compute_s == pytest.approx(seconds, rel=1e-6, abs=1e-9)
        assert (cuts[cut_id].samples == 0) == (cut_id not in measured)
        assert cuts[cut_id].first_s == pytest.approx(2 * seconds, rel=0.5, abs=1e-3)
        assert cuts[cut_id].memory_bytes == 1_000_000


def test_an_emulated_device_slows_every_time():
    bench = Bench(5)
    measured = bench.measure(100.0)
    for cut_id, timing in completed(measured, bench.described, slower=11.0).items():
        assert timing.compute_s == pytest.approx(11 * measured[cut_id].compute_s)
        assert timing.compute_min_s == pytest.approx(11 * measured[cut_id].compute_min_s)
        assert timing.load_s == pytest.approx(5.5)


def test_the_two_ends_come_first_then_the_cuts_that_a_plan_may_choose():
    efforts = {"0": 0.0, "a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "last": 5.0}
    sizes = {"0": 100, "a": 900, "b": 90, "c": 400, "d": 10}
    assert in_order(efforts, sizes) == ["0", "last", "b", "d", "a", "c"]


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 10**6)), min_size=1, max_size=40))
def test_each_cut_is_in_the_order_once(entries):
    efforts = {f"n{i}": effort for i, (effort, _) in enumerate(entries)}
    sizes = {f"n{i}": size for i, (_, size) in enumerate(entries)}
    order = in_order(efforts, sizes)
    assert sorted(order) == sorted(efforts)
    assert efforts[order[0]] == min(efforts.values())


def test_a_stopwatch_leaves_out_what_other_processes_took():
    clock, processor = Clock(), Clock()

    def interrupted():
        clock.spend(0.05)
        processor.spend(0.02)
        return "done"

    assert Stopwatch(clock=clock, processor=processor).timed(interrupted) == ("done", pytest.approx(0.02))
    assert Stopwatch(clock=clock, processor=None).timed(interrupted)[1] == pytest.approx(0.05)


def test_a_stopwatch_of_several_threads_goes_by_the_clock():
    clock, processor = Clock(), Clock()

    def parallel():
        clock.spend(0.01)
        processor.spend(0.02)

    assert Stopwatch(clock=clock, processor=processor).timed(parallel)[1] == pytest.approx(0.01)
