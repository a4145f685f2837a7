"""What the cloud reports of its load: computed from what waits and what it measured; told with results and pongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from suture_cloud.executor import TailRequest, TailResult
from suture_cloud.load import RATIO_LIFE_S, RUNS, Meter
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heartbeat import Pulse
from suture_models.bundle import Bundle
from suture_protocol.events import Priority
from tests.cloud.harness import NumpyExecutor, RunningCloud, mid_request, until, wide_request, write_bundle

SLOW, FAST = ("digest", "slow"), ("digest", "fast")
DONE = TailResult(outputs={}, tail_s=0.2)


def meter(parallel: int = 1, **profiled_s: float) -> Meter:
    return Meter(parallel, lambda _digest, cut_id: profiled_s.get(cut_id))


def ran(found: Meter, key: tuple[str, str], took_s: float, at_s: float = 0.0, result: TailResult = DONE) -> None:
    ticket = found.began([key], at_s)
    found.ended(ticket, [key], [result], took_s, at_s + took_s)


def test_a_cut_is_expected_to_take_what_it_lately_took():
    found = meter(slow=9.0)
    for took_s in (0.4, 0.5, 0.6):
        ran(found, SLOW, took_s)
    ran(found, FAST, 0.1)
    assert found.expected_s(SLOW) == pytest.approx(0.5)
    for _ in range(RUNS):
        ran(found, SLOW, 0.8)
    assert found.expected_s(SLOW) == pytest.approx(0.8)


def test_a_cut_that_never_ran_takes_what_the_profile_says_and_else_what_others_took():
    found = meter(slow=0.7)
    assert found.expected_s(FAST) == 0.0
    ran(found, ("digest", "other"), 0.3)
    assert found.expected_s(SLOW) == 0.7
    assert found.expected_s(FAST) == pytest.approx(0.3)


def test_the_wait_is_the_rest_of_what_runs_and_all_that_is_ahead():
    found = meter(slow=1.0, fast=0.1)
    assert found.wait_s([], 0.0) == 0.0
    found.began([SLOW], 0.0)
    assert found.wait_s([], 0.4) == pytest.approx(0.6)
    assert found.wait_s([FAST, FAST, SLOW], 0.4) == pytest.approx(0.6 + 1.2)
    assert found.wait_s([FAST], 5.0) == pytest.approx(0.1)  # overdue, not in the past


def test_two_executors_share_what_is_ahead():
    found = meter(2, slow=1.0, fast=0.1)
    found.began([SLOW], 0.0)
    assert found.wait_s([], 0.0) == 0.0
    assert found.wait_s([FAST, SLOW], 0.0) == pytest.approx(1.0)


def test_what_passes_waits_for_none_that_it_stops_and_those_wait_for_it():
    found = meter(slow=1.0, fast=0.1)
    found.began([SLOW], 0.0)
    assert found.wait_s([FAST], 0.4, passing=True) == pytest.approx(0.1)
    passing = found.began([FAST], 0.4, passing=True)
    assert found.wait_s([FAST], 0.45, passing=True) == pytest.approx(0.05 + 0.1)
    assert found.wait_s([], 0.4) == pytest.approx(0.6 + 0.1)
    assert found.utilisation(60.0) == pytest.approx(1.0, abs=1e-6)
    found.ended(passing, [FAST], [DONE], 0.2, 0.6)
    assert found.wait_s([], 0.6) == pytest.approx(0.6)  # 0.2 later than it should have been


def test_what_began_while_something_passed_is_late_by_the_rest_of_that():
    found = meter(slow=1.0, fast=0.1)
    passing = found.began([FAST], 0.0, passing=True)
    found.began([SLOW], 0.3)
    found.ended(passing, [FAST], [DONE], 0.4, 0.4)
    assert found.wait_s([], 0.4) == pytest.approx(1.3 + 0.1 - 0.4)


def test_a_tail_that_was_stopped_is_not_taken_for_a_slow_one():
    found = meter()
    ran(found, SLOW, 0.9, result=TailResult(outputs={}, tail_s=0.2, stopped_s=0.7))
    assert found.expected_s(SLOW) == pytest.approx(0.2)


def test_a_batch_costs_each_of_its_requests_its_part():
    found = meter()
    ticket = found.began([FAST] * 4, 0.0)
    found.ended(ticket, [FAST] * 4, [DONE] * 4, 0.8, 0.8)
    assert found.expected_s(FAST) == pytest.approx(0.2)
    assert found.tail_ratio(0.8) == 1.0  # a batch's tail says nothing of one request's


def test_a_slow_executor_shows_against_its_profile_and_is_forgotten_in_time():
    found = meter(slow=0.1)
    for step in range(3):
        ran(found, SLOW, 0.2, at_s=float(step))
    assert found.tail_ratio(3.0) == pytest.approx(2.0)
    assert found.tail_ratio(3.0 + RATIO_LIFE_S) == 1.0


def test_failed_tails_say_nothing_of_the_next():
    found = meter(slow=0.5)
    ran(found, SLOW, 0.001, result=TailResult(outputs={}, tail_s=0.001, error="no memory"))
    assert found.expected_s(SLOW) == 0.5
    assert found.tail_ratio(1.0) == 1.0


def test_utilisation_follows_work_and_rest():
    found = meter()
    ticket = found.began([SLOW], 0.0)
    assert found.utilisation(60.0) == pytest.approx(1.0, abs=1e-6)
    found.ended(ticket, [SLOW], [DONE], 60.0, 60.0)
    assert found.utilisation(62.0) == pytest.approx(0.37, abs=0.01)
    assert found.utilisation(120.0) == pytest.approx(0.0, abs=1e-6)


# --- Over the wire -------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    with RunningCloud(bundle) as running:
        yield running


@pytest.fixture
def edge(cloud: RunningCloud) -> Iterator[CloudClient]:
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=Pulse(interval_s=0.02)) as connected:
        connected.connect()
        yield connected


def test_an_idle_cloud_says_so_with_each_pong(edge: CloudClient):
    until(lambda: edge.load_samples())
    sample = edge.load_samples()[-1]
    assert sample.waited_s is None
    assert (sample.load.routine_wait_s, sample.load.requests, sample.load.units) == (0.0, 0, 1)


def test_each_result_brings_the_load_and_what_its_request_had_waited(edge: CloudClient, bundle: Bundle):
    result = edge.infer(mid_request(bundle)[0])
    sample = next(s for s in edge.load_samples() if s.waited_s is not None)
    assert sample.waited_s == result.timings.queue_s
    assert sample.load.service_s > 0
    assert sample.load.routine_wait_s == 0.0  # its own request is not in it


def test_another_units_requests_are_in_the_wait_and_stat_passes_the_routine_ones(
    edge: CloudClient, cloud: RunningCloud, bundle: Bundle
):
    for _ in range(3):
        edge.infer(wide_request(bundle))  # so that its time is known
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as other:
        other.connect()
        cloud.executor.hold()
        cloud.executor.started.clear()  # the requests above set it
        waiting = [other.submit(wide_request(bundle))]
        assert cloud.executor.started.wait(10)
        waiting += [other.submit(wide_request(bundle)) for _ in range(4)]
        urgent = other.submit(wide_request(bundle, priority=Priority.STAT))
        until(lambda: len(cloud.server._dispatcher._ahead) == 5)
        seen = len(edge.load_samples())
        until(lambda: len(edge.load_samples()) > seen + 1)  # the first one may have been on its way
        busy = edge.load_samples()[-1].load
        assert busy.requests == 6
        # One is with the executor, overdue by now; four routine ones and a STAT one wait.
        assert busy.routine_wait_s == pytest.approx(5 * busy.stat_wait_s)
        assert busy.stat_wait_s > 0
        cloud.executor.let_go()
        for request in (*waiting, urgent):
            request.wait(10)
    until(lambda: edge.load_samples()[-1].load.requests == 0)
    assert edge.load_samples()[-1].load.routine_wait_s == 0.0


class Preempting(NumpyExecutor):
    """Runs what is urgent although it is held."""

    preempts = True

    async def run(self, requests: list[TailRequest]) -> list[TailResult]:
        return [self._one(one) for one in requests] if requests[0].urgent else await super().run(requests)


def test_an_executor_that_preempts_has_what_is_urgent_at_once(bundle: Bundle):
    cloud = RunningCloud(bundle)
    cloud.executor = Preempting()
    pulse = Pulse(interval_s=0.02)
    with cloud, CloudClient(cloud.address, PlainChannels(insecure=True), pulse=pulse) as edge:
        edge.connect()
        for _ in range(3):
            edge.infer(wide_request(bundle))  # so that its time is known
        cloud.executor.hold()
        cloud.executor.started.clear()
        waiting = [edge.submit(wide_request(bundle)) for _ in range(3)]
        assert cloud.executor.started.wait(10)
        for priority in (Priority.STAT, Priority.URGENT):
            stat, expected = mid_request(bundle, priority=priority)
            result = edge.infer(stat)
            np.testing.assert_array_equal(result.outputs["score"], expected)
        load = edge.load_samples()[-1].load
        assert load.stat_wait_s == 0
        assert load.routine_wait_s > 0
        assert load.utilisation <= 1
        assert not any(request.done for request in waiting)
        cloud.executor.let_go()
        for request in waiting:
            request.wait(10)


def test_pongs_do_not_count_while_the_unit_has_a_request_there(edge: CloudClient, cloud: RunningCloud, bundle: Bundle):
    until(lambda: edge.load_samples())
    cloud.executor.hold()
    pending = edge.submit(wide_request(bundle))
    assert cloud.executor.started.wait(10)
    heard, beats = len(edge.load_samples()), len(edge.rtt_samples())
    until(lambda: len(edge.rtt_samples()) >= beats + 3)
    assert len(edge.load_samples()) == heard
    cloud.executor.let_go()
    pending.wait(10)
    until(lambda: len(edge.load_samples()) > heard + 1)
