"""Measuring within a budget, over a clock that only the measured callables move; and interpolating the rest."""

import numpy as np
import pytest

from suture_models.manifest import Cut, TensorSpec
from suture_partitioner.profile import MAX_REPEATS, MIN_REPEATS, Subject, measure
from suture_protocol.codecs.registry import get_codec


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
    """Heads or tails of a pretended network in which every multiply-accumulate takes a microsecond."""

    def __init__(self, count: int, *, side: str = "edge", load_s: float = 0.5) -> None:
        self.clock, self.side, self.load_s = Clock(), side, load_s
        self.open: set[str] = set()
        self.most_open = 0
        self.loaded: list[str] = []
        self.subjects = [self.subject(cut_at(i, count)) for i in range(count)]

    def subject(self, cut: Cut) -> Subject:
        boundary = tuple(np.arange(t.elements, dtype=np.uint8).reshape(t.shape) for t in cut.boundary)
        sample = np.zeros((1, 1, 8, 8), np.uint8) if self.side == "edge" else boundary

        def load():
            self.clock.spend(self.load_s)
            self.loaded.append(cut.id)
            self.open.add(cut.id)
            self.most_open = max(self.most_open, len(self.open))

            def run(given):
                assert cut.id in self.open
                assert given is sample
                self.clock.spend(1e-6 * (cut.head_macs if self.side == "edge" else cut.tail_macs))
                return boundary

            return run, lambda: self.open.remove(cut.id)

        return Subject(cut=cut, load=load, samples=[sample])

    def measure(self, budget_s, **kwargs):
        codecs = kwargs.pop("codecs", [get_codec("raw"), get_codec("zstd"), get_codec("jpeg")])
        return measure(self.subjects, side=self.side, codecs=codecs, budget_s=budget_s, clock=self.clock, **kwargs)


def test_with_time_enough_every_cut_is_measured_often_and_closed():
    bench = Bench(11)
    told = []
    cuts = bench.measure(100.0, progress=lambda done, total, text: told.append((done, total, text)))
    assert list(cuts) == [s.cut.id for s in bench.subjects]
    assert {timing.samples for timing in cuts.values()} == {MAX_REPEATS}
    for subject in bench.subjects:
        assert cuts[subject.cut.id].compute_s == pytest.approx(1e-6 * subject.cut.head_macs)
    assert not bench.open
    assert bench.most_open <= 4
    assert told[0][:2] == (0, 11)
    assert told[-1] == (11, 11, "measured 11 of 11 cuts")


def test_with_less_time_repeats_fall_but_never_below_three():
    bench = Bench(11, load_s=0.1)
    cuts = bench.measure(1.4)
    assert {timing.samples for timing in cuts.values()} <= set(range(MIN_REPEATS, MAX_REPEATS + 1))
    assert min(timing.samples for timing in cuts.values()) < MAX_REPEATS
    assert bench.clock.now_s < 1.4 + 0.5


def test_with_too_little_time_cuts_in_between_are_interpolated_and_marked():
    bench = Bench(41)
    cuts = bench.measure(5.0)
    measured = {cut_id for cut_id, timing in cuts.items() if timing.samples}
    assert {"0", "last"} <= measured
    assert 6 <= len(measured) < 41
    assert bench.clock.now_s < 5.0 + 2.5
    for subject in bench.subjects:
        timing = cuts[subject.cut.id]
        # Here time is exactly proportional to arithmetic, so the interpolation must be exact too.
        assert timing.compute_s == pytest.approx(1e-6 * subject.cut.head_macs, abs=1e-9)
        if subject.cut.id not in ("0", "last"):
            assert set(timing.codec_s) == {"raw", "zstd"}
            assert timing.payload_bytes["raw"] == pytest.approx(subject.cut.bytes_codes, abs=1)


def test_a_budget_of_nothing_still_measures_the_two_outermost_cuts():
    bench = Bench(9)
    cuts = bench.measure(0.0)
    assert bench.loaded == ["0", "last"]
    assert cuts["0"].samples == cuts["last"].samples == MIN_REPEATS
    assert cuts["node_4"].compute_s == pytest.approx(0.004)


def test_lossy_codecs_are_tried_at_the_input_only_and_the_last_cut_sends_nothing():
    cuts = Bench(5).measure(100.0)
    assert set(cuts["0"].codec_s) == {"raw", "zstd", "jpeg"}
    assert set(cuts["node_2"].codec_s) == {"raw", "zstd"}
    assert cuts["last"].codec_s == {}
    assert cuts["last"].payload_bytes == {}


def test_in_the_cloud_tails_are_timed_over_their_boundaries_and_decoding_beside_them():
    bench = Bench(6, side="cloud")
    bench.subjects = bench.subjects[:-1]
    cuts = bench.measure(100.0)
    assert cuts["0"].compute_s == pytest.approx(0.005)
    assert cuts["node_4"].compute_s == pytest.approx(0.001)
    assert cuts["node_3"].payload_bytes["raw"] == 8 * 8 * 4
    assert set(cuts["node_3"].codec_s) == {"raw", "zstd"}


def test_unmeasured_tails_beyond_the_measured_ones_shrink_towards_nothing():
    bench = Bench(30, side="cloud")
    cuts = bench.measure(0.0)
    assert cuts["node_10"].samples == 0
    assert cuts["node_10"].compute_s == pytest.approx(0.019)


def test_heads_are_closed_even_when_one_fails():
    bench = Bench(5)

    def broken():
        raise RuntimeError("no such artefact")

    bench.subjects[4] = Subject(cut=bench.subjects[4].cut, load=broken, samples=[0])
    with pytest.raises(RuntimeError, match="no such artefact"):
        bench.measure(10.0)
    assert not bench.open


def test_nothing_to_measure_is_the_callers_mistake():
    with pytest.raises(ValueError, match="at least one"):
        measure([], side="edge", codecs=[], budget_s=1.0)
    with pytest.raises(ValueError, match="at least one"):
        measure(
            [Subject(cut=cut_at(0, 3), load=lambda: (print, print), samples=[])], side="edge", codecs=[], budget_s=1.0
        )


def test_a_single_cut_is_measured_alone():
    bench = Bench(3)
    bench.subjects = bench.subjects[1:2]
    assert bench.measure(10.0)["node_1"].samples == MAX_REPEATS
