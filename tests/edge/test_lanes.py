"""Two lanes that change roles: what waits moves along, what was begun stays, and nothing is lost or done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suture_edge import lanes
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.lane import MAX_HELD, Lane
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


def test_a_request_that_is_cancelled_before_its_new_lane_has_it_in_line_is_not_sent(edge, cloud, bundle, monkeypatch):
    pending, lane = full_lane(edge, cloud, bundle)
    other = edge._connection._lanes.express.lane
    upload = other.call.upload

    def late(one):
        if one.request is pending_request:
            pending[BEGUN].cancel()
        upload(one)

    pending_request = next(one.request for one in lane._in_flight if not one.request_id)
    monkeypatch.setattr(other.call, "upload", late)
    lane.hand_over(other)
    with pytest.raises(Refused, match="cancelled"):
        pending[BEGUN].wait(10)
    until(lambda: open_requests(cloud) == [WAITING - 1, BEGUN])
    cloud.executor.let_go()
    pending[-1].wait(20)


def test_who_waits_for_room_goes_where_there_is_some_when_roles_change(edge, cloud, bundle, slow_express):
    cloud.executor.hold()
    request = wide_request(bundle)
    pending = [edge.submit(request) for _ in range(MAX_HELD)]
    until(lambda: open_requests(cloud) == [0, BEGUN])
    until(lambda: all(lane.call.welcomed for lane in edge._connection._lanes.all()))
    before = routine_lane(edge)
    with ThreadPoolExecutor(1) as waiting:
        late = waiting.submit(before.submit, request)
        threading.Event().wait(0.1)
        assert not late.done()
        slow_express()
        edge._connection._change_roles()
        pending.append(late.result(10))
    assert len(before._in_flight) == BEGUN
    assert len(routine_lane(edge)._in_flight) == MAX_HELD + 1 - BEGUN
    cloud.executor.let_go()
    for one in pending:
        one.wait(30)


def test_lanes_that_have_ended_are_given_no_role(edge, cloud, bundle, slow_express):
    _, before = full_lane(edge, cloud, bundle)
    slow_express()
    express = edge._connection._lanes.express.lane
    express._error = LinkError("the wire was cut")  # its call is not closed: the channel may well outlive the session
    assert edge._connection._lanes.change_roles() is None
    assert routine_lane(edge) is before
    cloud.executor.let_go()


def test_a_late_end_of_an_express_lane_leaves_the_one_after_it_alone(edge, cloud, bundle, monkeypatch):
    full_lane(edge, cloud, bundle)
    express = edge._connection._lanes.express.lane
    on_end, late = express._on_end, []
    monkeypatch.setattr(express, "_on_end", late.append)
    express.close(LinkError("the wire was cut"))
    stat, expected = mid_request(bundle, priority=Priority.STAT)
    urgent = edge.submit(stat)
    on_end(late[0])
    cloud.executor.let_go()
    np.testing.assert_array_equal(urgent.wait(10).outputs["score"], expected)


def test_what_was_held_is_counted_on_when_a_lane_is_replaced(edge, cloud, bundle, slow_express):
    _, before = full_lane(edge, cloud, bundle)
    with edge.way(Priority.STAT):
        threading.Event().wait(0.05)
    held_s = edge.held_s
    assert held_s >= 0.05
    slow_express()
    edge.submit(wide_request(bundle))
    before.close(LinkError("the wire was cut"))
    edge.submit(mid_request(bundle, priority=Priority.STAT)[0])
    assert edge.held_s >= held_s
    cloud.executor.let_go()


def test_bulk_that_was_begun_before_roles_changed_is_braked_where_the_urgent_request_goes_past_it(
    edge, cloud, bundle, slow_express
):
    cloud.executor.hold()
    for seed in range(2):
        edge.submit(wide_request(bundle, seed))  # bulk, all of it begun
    until(lambda: all(lane.call.welcomed for lane in edge._connection._lanes.all()))
    slow_express()
    edge._connection._change_roles()
    lanes_now = edge._connection._lanes
    with edge.way(Priority.STAT):
        assert (lanes_now.routine.brake._timer is None, lanes_now.express.brake._timer is None) == (True, False)
    assert lanes_now.express.brake._timer is None
    cloud.executor.let_go()


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
