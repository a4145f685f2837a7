"""A busy cloud's reports as a wait to plan with: smoothed, priced, aged; and a fleet that settles where it should."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_partitioner.load import FADING_S, FRESH_S, SMOOTHING_S, CloudLoad
from suture_protocol.events import Load
from tests.partitioner.fleet_model import LastHeard, Run, Shape, Unit, Waits, simulate


def report(wait_s: float, **fields: float) -> Load:
    given_too = {"service_s": 0.1, "units": 1, **fields}
    return Load(routine_wait_s=wait_s, stat_wait_s=min(wait_s, 0.01), **given_too)  # type: ignore[arg-type]


def heard(load: CloudLoad, wait_s: float, *, until_s: float, from_s: float = 0.0, **fields: float) -> None:
    """A pong four times a second."""
    for step in range(int((until_s - from_s) * 4) + 1):
        load.on_report(report(wait_s, **fields), from_s + step / 4)


def test_a_cloud_of_which_nothing_was_heard_is_taken_for_free():
    load = CloudLoad(seed=1)
    assert (load.queue_s(5.0), load.others_s, load.wait_s(5.0), load.tail_ratio(5.0)) == (0.0, 0.0, 0.0, 1.0)


def test_a_lone_unit_follows_the_load_up_and_down_again():
    load = CloudLoad(seed=1)
    heard(load, 0.8, until_s=10)
    assert load.wait_s(10) == pytest.approx(0.8)
    assert load.queue_s(10) == pytest.approx(0.8)
    assert load.others_s > 0.8
    heard(load, 0.0, from_s=10.25, until_s=30)
    assert load.queue_s(30) < 0.01
    assert load.others_s < 0.01


def test_one_stray_report_moves_little():
    load = CloudLoad(seed=1)
    heard(load, 0.1, until_s=10)
    load.on_report(report(5.0), 10.25)
    assert load.wait_s(10.25) < 0.1 + 5 * 0.25 / SMOOTHING_S


def test_what_an_own_request_waited_counts_as_much_as_what_is_reported():
    load = CloudLoad(seed=1)
    load.on_report(report(0.2), 0.0, waited_s=0.6)
    assert load.wait_s(0.0) == pytest.approx(0.4)


def test_old_news_fade():
    load = CloudLoad(seed=1)
    heard(load, 1.0, until_s=10)
    assert load.wait_s(10 + FRESH_S) == pytest.approx(1.0)
    assert load.wait_s(10 + FRESH_S + 5 * FADING_S) < 0.01
    assert load.queue_s(10 + FRESH_S + 5 * FADING_S) < 0.05


def test_the_measured_tail_ratio_fades_to_one():
    load = CloudLoad(seed=1)
    heard(load, 0.0, until_s=10, tail_ratio=3.0)
    assert load.tail_ratio(10) == pytest.approx(3.0)
    assert load.tail_ratio(10 + FRESH_S + 5 * FADING_S) == pytest.approx(1.0, abs=0.02)


def test_stat_pays_its_own_wait_alone():
    load = CloudLoad(seed=1, stat=True)
    heard(load, 2.0, until_s=10)
    assert load.queue_s(10) == pytest.approx(0.01)
    assert load.others_s == 0


@given(wait_s=st.floats(0, 100), service_s=st.floats(1e-4, 10))
def test_the_price_is_at_least_twice_the_wait_and_rises_with_it(wait_s: float, service_s: float):
    asked = []
    for factor in (1.0, 1.1):
        load = CloudLoad(seed=0)
        load.on_report(report(factor * wait_s, service_s=service_s), 0.0)
        assert load.queue_s(0.0) == pytest.approx(factor * wait_s)
        asked.append(load.queue_s(0.0) + load.others_s)
    assert asked[0] >= 2 * wait_s * (1 - 1e-9)
    assert asked[1] >= asked[0]


@given(seed=st.integers(0, 2**32), waits_s=st.lists(st.floats(0, 10), min_size=1, max_size=30), units=st.integers(0, 9))
def test_the_same_seed_and_reports_give_the_same_waits_which_are_never_negative(
    seed: int, waits_s: list[float], units: int
):
    def told() -> list[float]:
        load, found = CloudLoad(seed=seed), []
        for step, wait_s in enumerate(waits_s):
            load.on_report(report(wait_s, units=units), step / 3)
            found.append(load.queue_s(step / 3))
        return found

    first = told()
    assert first == told()
    assert min(first) >= 0


def test_of_many_units_few_look_again_at_once():
    """After a small change, about one in the time that a move takes to show; so they cannot all move together."""
    units = [CloudLoad(seed=seed) for seed in range(8)]
    for load in units:
        heard(load, 0.0, until_s=4, units=8)
        load.queue_s(4.0)
    for load in units:
        heard(load, 0.1, from_s=4.25, until_s=8, units=8)
        load.queue_s(4.5)
    changed = [sum(load.queue_s(4.5 + step / 2) > 0.1 for load in units) for step in range(1, 4)]
    assert changed[0] <= 2
    assert changed[-1] <= 5


def test_a_unit_that_is_not_with_the_cloud_reckons_with_the_work_that_it_would_find_there():
    def asked(utilisation: float, *, own: bool) -> tuple[float, float]:
        """After a minute, so that it has looked."""
        load = CloudLoad(seed=1)
        for second in range(60):
            waited_s = 0.0 if own else None
            load.on_report(report(0.0, units=8, utilisation=utilisation), float(second), waited_s=waited_s)
            found = load.queue_s(second + 0.5), load.others_s
        return found

    assert asked(0.0, own=False) == (0, 0)
    assert asked(0.9, own=True) == (0, 0)
    assert asked(0.9, own=False) == pytest.approx((0.09, 0.09 * (1 + 0.9)))


# --- Eight units under a load step --------------------------------------------------------------------------------

LENGTH_S = 180.0
#: A fleet that the cloud helps a lot, one that it helps a little, and one on a fast cloud.
SHAPES = {
    "helps a lot": Shape(),
    "helps a little": Shape(alone_s=0.5, before_s=0.15),
    "two fill it": Shape(alone_s=0.446, before_s=0.07, service_s=0.09, after_s=0.02),
    "fast cloud": Shape(alone_s=0.5, before_s=0.1, service_s=0.03, after_s=0.02),
}


def run(shape: Shape, waits: Callable[[int], Waits | None], *, on_edge: int = 0) -> Run:
    """Calm, a neighbour that takes six tenths of the cloud, calm again: a minute each."""
    third_s = LENGTH_S / 3

    def neighbour_per_s(at_s: float) -> float:
        return 0.6 / shape.service_s if third_s <= at_s < 2 * third_s else 0.0

    units = [Unit(waits=waits(number), remote=number >= on_edge) for number in range(shape.units)]
    return simulate(shape, units, LENGTH_S, neighbour_per_s=neighbour_per_s)


@functools.cache
def planned(name: str) -> Run:
    return run(SHAPES[name], lambda number: CloudLoad(seed=number))


@functools.cache
def undamped(name: str) -> Run:
    return run(SHAPES[name], lambda _: LastHeard())


def swinging(of: Run) -> tuple[float, float]:
    """Standard deviation of the units on the cloud while it is busy, and the most switches of a unit in a minute."""
    return statistics.pstdev(of.remote(90, 120)), of.switches_per_minute(90, 120)


@pytest.mark.parametrize("name", SHAPES)
def test_the_fleet_settles_under_load_and_swings_without_the_damping(name: str):
    spread, switches = swinging(planned(name))
    spread_without, switches_without = swinging(undamped(name))
    assert spread < 1.1
    assert switches <= 6
    assert spread_without > 1.5 * spread
    assert switches_without > 2 * switches


@pytest.mark.parametrize("name", SHAPES)
def test_the_fleet_leaves_a_busy_cloud_and_comes_back(name: str):
    calm, busy, calm_again = (
        statistics.fmean(planned(name).remote(from_s, from_s + 30)) for from_s in (30.0, 90.0, 150.0)
    )
    assert busy < calm - 1
    assert calm_again == pytest.approx(calm, abs=1.0)


@pytest.mark.parametrize("name", SHAPES)
def test_the_fleet_does_as_much_as_under_the_best_static_assignment(name: str):
    shape = SHAPES[name]
    best = max(run(shape, lambda _: None, on_edge=k).per_s() for k in range(shape.units + 1))
    assert planned(name).per_s() >= 0.95 * best
    assert undamped(name).per_s() < 0.93 * best
