"""Two lanes that change roles: what waits moves along, what was begun stays, and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suture_edge import lanes
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.lane import Lane
from suture_edge.results import PendingResult
from suture_edge.sockets import UNTUNED, Rates, Tuned
from suture_models.bundle import Bundle
from suture_protocol.errors import LinkError, Refused
from suture_protocol.events import Priority
from suture_protocol.limits import SESSION_REQUESTS
from tests.cloud.harness import RunningCloud, mid_request, until, wide_request, write_bundle

#: What a session lets start of routine requests.
BEGUN = SESSION_REQUESTS * 7 // 8
WAITING = 6


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    with RunningCloud(bundle) as running:
        yield running


@pytest.fixture
def edge(cloud: RunningCloud) -> Iterator[CloudClient]:
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as connected:
        connected.connect()
        yield connected


@pytest.fixture
def slow_express(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Once called, the kernel knows the line better on what is the routine lane then."""

    def begin() -> None:
        left = [True]
        monkeypatch.setattr(lanes, "_better", lambda routine, express: left and left.pop())
        monkeypatch.setattr(lanes, "_LOOK_S", 0.0)

    return begin


def routine_lane(edge: CloudClient) -> Lane:
    return edge._connection._lanes.routine.lane


def full_lane(edge: CloudClient, cloud: RunningCloud, bundle: Bundle) -> tuple[list[PendingResult], Lane]:
    """More routine requests than a session lets start, none of them answered; and the lane that has them."""
    cloud.executor.hold()
    pending = [edge.submit(wide_request(bundle, seed)) for seed in range(BEGUN + WAITING)]
    until(lambda: open_requests(cloud) == [0, BEGUN])
    until(lambda: all(lane.call.welcomed for lane in edge._connection._lanes.all()))
    return pending, routine_lane(edge)


def open_requests(cloud: RunningCloud) -> list[int]:
    return sorted(stream.open_requests for stream in cloud.server._streams)


def check_answers(pending: list[PendingResult], bundle: Bundle) -> None:
    for seed, waiting in enumerate(pending):
        codes = np.frombuffer(wide_request(bundle, seed).payload, np.uint8)
        np.testing.assert_allclose(waiting.wait(20).outputs["mean"], codes.mean(dtype=np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    ("busy", "routine", "express", "better"),
    [
        (True, (50e6, 48e6), (10e6, 4e6), True),  # bulk is to teach the express lane
        (True, (10e6, 48e6), (40e6, 4e6), False),  # which sends fast enough, however little it did so far
        (False, (10e6, 4e6), (50e6, 48e6), True),  # a lone request takes the faster lane,
        (False, (40e6, 4e6), (50e6, 48e6), False),  # but for little it stays where it is
    ],
)
def test_roles_change_by_what_the_kernel_knows_of_the_line(busy, routine, express, better):
    def lane(rates: tuple[float, float], control: str = "bbr") -> Any:
        told = Rates(sending_bps=rates[0], delivery_bps=rates[1])
        return SimpleNamespace(
            lane=SimpleNamespace(busy=busy),
            rates=SimpleNamespace(read=lambda: told),
            tuned=Tuned(congestion_control=control, unsent_bytes=0),
        )

    assert lanes._better(lane(routine), lane(express)) is better
    assert lanes._better(lane(routine), lane(express, "cubic")) is False


def test_an_untuned_connection_keeps_its_roles(cloud, bundle, slow_express):
    with CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None, tuning=UNTUNED) as edge:
        edge.connect()
        _, before = full_lane(edge, cloud, bundle)
        slow_express()
        edge.submit(wide_request(bundle))
        assert routine_lane(edge) is before
        cloud.executor.let_go()


def test_what_was_not_begun_goes_on_the_other_lane_and_all_is_answered_once(edge, cloud, bundle, slow_express):
    pending, before = full_lane(edge, cloud, bundle)
    slow_express()
    pending.append(edge.submit(wide_request(bundle, len(pending))))
    assert routine_lane(edge) is not before
    until(lambda: open_requests(cloud) == [WAITING + 1, BEGUN])
    assert not before.call.withdraw()
    cloud.executor.let_go()
    check_answers(pending, bundle)
    assert sum(map(len, cloud.executor.ran)) == len(pending)
    assert not any(lane.busy for lane in edge._connection._lanes.all())


def test_a_request_that_moved_can_be_cancelled(edge, cloud, bundle, slow_express):
    pending, _ = full_lane(edge, cloud, bundle)
    slow_express()
    pending.append(edge.submit(wide_request(bundle, len(pending))))
    until(lambda: open_requests(cloud) == [WAITING + 1, BEGUN])
    pending[BEGUN].cancel()
    with pytest.raises(Refused, match="cancelled"):
        pending[BEGUN].wait(10)
    until(lambda: open_requests(cloud) == [WAITING, BEGUN])
    cloud.executor.let_go()
    pending[-1].wait(20)


def test_a_request_that_is_cancelled_while_it_moves_is_dropped(edge, cloud, bundle, monkeypatch):
    pending, lane = full_lane(edge, cloud, bundle)
    other = edge._connection._lanes.express.lane
    adopt = other._adopt

    def late(flight):
        if flight.pending is pending[BEGUN]:
            flight.pending.cancel()
        adopt(flight)

    monkeypatch.setattr(other, "_adopt", late)
    lane.hand_over(other)
    with pytest.raises(Refused, match="cancelled"):
        pending[BEGUN].wait(10)
    until(lambda: open_requests(cloud) == [WAITING - 1, BEGUN])
    cloud.executor.let_go()
    pending[-1].wait(20)


def test_a_request_that_moves_to_a_lane_that_has_ended_fails_as_the_others_there_do(edge, cloud, bundle):
    pending, lane = full_lane(edge, cloud, bundle)
    gone = edge._connection._lanes.express.lane
    gone.close(LinkError("the wire was cut"))
    lane.hand_over(gone)
    for waiting in pending[BEGUN:]:
        with pytest.raises(LinkError, match="the wire was cut"):
            waiting.wait(10)
    cloud.executor.let_go()
    check_answers(pending[:BEGUN], bundle)


def test_urgent_requests_take_the_lane_that_knows_the_line(edge, cloud, bundle, slow_express):
    _, before = full_lane(edge, cloud, bundle)
    slow_express()
    bulk = edge.submit(wide_request(bundle))
    stat, expected = mid_request(bundle, priority=Priority.STAT)
    urgent = edge.submit(stat)
    until(lambda: open_requests(cloud) == [WAITING + 1, BEGUN + 1])
    assert edge._connection._lanes.express.lane is before
    cloud.executor.let_go()
    np.testing.assert_array_equal(urgent.wait(10).outputs["score"], expected)
    bulk.wait(20)


def test_lanes_keep_their_roles_while_an_urgent_request_is_under_way(edge, cloud, bundle, slow_express):
    _, before = full_lane(edge, cloud, bundle)
    slow_express()
    with edge.way(Priority.STAT):
        edge.submit(wide_request(bundle))
        assert routine_lane(edge) is before
    edge.submit(wide_request(bundle))
    assert routine_lane(edge) is not before
    cloud.executor.let_go()


def test_the_end_of_the_lane_that_was_the_routine_one_before_is_not_the_connections(edge, cloud, bundle, slow_express):
    _, before = full_lane(edge, cloud, bundle)
    slow_express()
    moved = edge.submit(wide_request(bundle))
    before.call.close(LinkError("the wire was cut"))
    assert edge.connected
    cloud.executor.let_go()
    moved.wait(20)
    edge.submit(wide_request(bundle)).wait(20)
