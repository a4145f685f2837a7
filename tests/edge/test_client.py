"""The edge's client against a real cloud over TCP: results, refusals, cancelling, and every way the path can fail."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heartbeat import Heartbeat, Pulse
from suture_edge.holds import HOLDS_S
from suture_edge.reach import Reach
from suture_edge.uploads import chunk_bytes, request_of
from suture_models.bundle import Bundle
from suture_protocol.address import Address, parse_address
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import LinkError, LocalProtocolError, Refused, UsageError
from suture_protocol.events import Priority, SessionLimits
from suture_protocol.limits import SESSION_REQUESTS
from suture_protocol.version import VERSION_MAX, VERSION_MIN, hello
from tests.cloud.harness import (
    RunningCloud,
    bulk_request,
    changed,
    cloud_process,
    mid_request,
    until,
    wide_request,
    write_bundle,
)


def client(cloud: RunningCloud | Address, **options: object) -> CloudClient:
    address = cloud.address if isinstance(cloud, RunningCloud) else cloud
    return CloudClient(address, PlainChannels(insecure=True), **options)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def cloud(bundle: Bundle) -> Iterator[RunningCloud]:
    with RunningCloud(bundle) as running:
        yield running


@pytest.fixture
def edge(cloud: RunningCloud) -> Iterator[CloudClient]:
    with client(cloud) as connected:
        connected.connect()
        yield connected


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_a_request_of_several_tensors_comes_back_with_the_networks_output(edge, bundle, codec):
    request, expected = mid_request(bundle, codec=codec)
    result = edge.infer(request)
    np.testing.assert_array_equal(result.outputs["score"], expected)
    assert result.outputs["score"].flags.writeable
    assert result.payload_bytes == len(request.payload)


def test_times_add_up_and_arrivals_cover_the_payload(edge, bundle):
    result = edge.infer(wide_request(bundle))
    took = result.timings
    assert took.tail_s > 0
    assert took.decode_s > 0
    assert took.queue_s + took.decode_s + took.tail_s <= took.server_s <= took.total_s
    assert took.waited_s + took.transfer_s + took.server_s == pytest.approx(took.total_s)
    offsets = [arrival.offset_end for arrival in result.arrivals]
    assert offsets == sorted(offsets)
    assert offsets[-1] == result.payload_bytes == 50_176
    assert len(offsets) == math.ceil(50_176 / chunk_bytes(50_176))
    assert result.arrivals[-1].at_s == pytest.approx(took.receive_s)


def test_the_welcome_names_the_clouds_bundles_and_device(edge, bundle):
    assert [b.digest for b in edge.welcome.bundles] == [bundle.digest]
    assert edge.welcome.device == "cpu"
    assert edge.welcome.software.startswith("suture ")
    assert edge.connected


def test_many_requests_share_one_session_and_each_gets_its_own_answer(edge, bundle):
    requests = [mid_request(bundle, seed=seed) for seed in range(40)]  # more than the cloud lets in at a time
    pending = [(edge.submit(request), expected) for request, expected in requests]
    for waiting, expected in pending:
        np.testing.assert_array_equal(waiting.wait(20).outputs["score"], expected)


def test_a_stat_request_overtakes_routine_ones(edge, cloud, bundle):
    cloud.executor.hold()
    first = edge.submit(mid_request(bundle)[0])
    assert cloud.executor.started.wait(10)
    rising = (Priority.ROUTINE, Priority.URGENT, Priority.STAT)
    requests = [wide_request(bundle, seed=int(priority), priority=priority) for priority in rising]
    later = [edge.submit(request) for request in requests]
    dispatcher = cloud.server._dispatcher
    until(lambda: len(dispatcher._to_run) == 3)
    cloud.executor.let_go()
    for waiting in (first, *later):
        waiting.wait(10)
    ran = [batch[0].tensors[0].tobytes() for batch in cloud.executor.ran[1:]]
    assert ran == [request.payload for request in reversed(requests)]


@pytest.mark.parametrize(
    ("edge_speaks", "cloud_speaks", "older"),
    [((2, 3), (1, 1), "update the cloud"), ((1, 1), (2, 3), "update the edge")],
)
def test_a_version_that_does_not_fit_is_refused_at_connect(bundle, edge_speaks, cloud_speaks, older):
    with RunningCloud(bundle, versions=cloud_speaks) as cloud, client(cloud, versions=edge_speaks) as edge:
        with pytest.raises(Refused, match=older) as refused:
            edge.connect()
        assert refused.value.code == "version"
        assert not edge.connected


def test_an_unknown_bundle_is_refused_per_request_and_the_session_goes_on(edge, bundle):
    request, expected = mid_request(bundle)
    with pytest.raises(Refused, match=f"the edge has bundle {'e' * 12}, the cloud has threshold") as refused:
        edge.infer(changed(request, bundle_digest="e" * 64))
    assert refused.value.code == "unknown_bundle"
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def test_a_cancelled_request_is_not_waited_for_and_the_session_goes_on(edge, cloud, bundle):
    cloud.executor.hold()
    request, expected = mid_request(bundle)
    running, queued = edge.submit(request), edge.submit(request)
    until(lambda: cloud.executor.started.is_set() and len(cloud.server._dispatcher._to_run) == 1)
    budget = cloud.server._services.budget
    held_bytes = budget.used_bytes
    for pending in (running, queued):
        pending.cancel()
        with pytest.raises(Refused) as refused:
            pending.wait(1)
        assert refused.value.code == "cancelled"
    until(lambda: budget.used_bytes == held_bytes // 2)
    assert sum(stream.open_requests for stream in cloud.server._streams) == 0
    cloud.executor.let_go()
    until(lambda: budget.used_bytes == 0)  # not before: the executor had the running one
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)
    assert len(cloud.executor.ran) == 2  # the queued one never ran


def test_a_request_cancelled_by_two_threads_is_cancelled_once_and_the_session_goes_on(edge, cloud, bundle):
    cloud.executor.hold()
    request, expected = mid_request(bundle)
    for _ in range(20):
        pending = edge.submit(request)
        (flight,) = edge._connection._lanes.routine.lane._in_flight.values()
        until(lambda: any(stream.open_requests for stream in cloud.server._streams))
        pending.cancel()
        # As long as another thread holds the request it can be told again, before the cloud has answered the first.
        pending.cancel()
        del flight
        with pytest.raises(Refused) as refused:
            pending.wait(1)
        assert refused.value.code == "cancelled"
    cloud.executor.let_go()
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def test_a_result_that_does_not_come_in_time_is_a_link_error(edge, cloud, bundle):
    cloud.executor.hold()
    with pytest.raises(LinkError, match=r"no result from the cloud at 127.0.0.1:\d+ within 0.1 s"):
        edge.infer(mid_request(bundle)[0], timeout_s=0.1)
    cloud.executor.let_go()
    edge.infer(mid_request(bundle)[0])


def test_a_request_whose_deadline_passes_in_the_queue_is_refused(edge, cloud, bundle):
    cloud.executor.hold()
    first = edge.submit(mid_request(bundle)[0])
    assert cloud.executor.started.wait(10)
    held_bytes = cloud.server._services.budget.used_bytes
    late = edge.submit(wide_request(bundle, deadline_s=0.2))
    # The executor is still at the first: nobody has to take the late one out of the line.
    with pytest.raises(Refused, match="deadline") as refused:
        late.wait(10)
    assert refused.value.code == "deadline"
    until(lambda: cloud.server._services.budget.used_bytes == held_bytes)
    assert len(cloud.server._dispatcher._to_run) == 0
    cloud.executor.let_go()
    first.wait(10)
    assert len(cloud.executor.ran) == 1


def test_what_the_cloud_would_never_take_is_refused_before_it_is_sent(bundle):
    limits = SessionLimits(max_requests=4, max_payload_bytes=10_000, max_buffered_bytes=20_000)
    with RunningCloud(bundle, limits=limits) as cloud, client(cloud) as edge:
        edge.connect()
        with pytest.raises(Refused, match="50176 bytes, allowed are 10000 by the cloud at") as refused:
            edge.infer(wide_request(bundle))
        assert refused.value.code == "limit"
        edge.infer(mid_request(bundle)[0])


def test_a_malformed_request_fails_alone(edge, bundle):
    request, expected = mid_request(bundle)
    with pytest.raises(LocalProtocolError, match="cut id is empty"):
        edge.infer(changed(request, cut_id=""))
    np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


def test_the_heartbeat_measures_round_trips(bundle):
    with RunningCloud(bundle) as cloud, client(cloud, pulse=Pulse(interval_s=0.02)) as edge:
        edge.connect()
        until(lambda: len(edge.rtt_samples()) >= 5)
        assert all(0 < sample.rtt_s < 1 for sample in edge.rtt_samples())


def test_no_cloud_there_is_a_link_error_at_once():
    with client(Address(host="127.0.0.1", port=1)) as edge:
        began = time.monotonic()
        with pytest.raises(LinkError, match=r"cannot reach the cloud at 127\.0\.0\.1:1 .*suture cloud"):
            edge.connect(timeout_s=5)
        with pytest.raises(LinkError, match="not connected"):
            edge.infer(wide_request_without_bundle())
        assert time.monotonic() - began < 4


def wide_request_without_bundle():
    codes = np.zeros((1, 4), np.uint8)
    return request_of([codes], get_codec("raw"), bundle_digest="d", cut_id="c", variant_id="v")


def test_connecting_is_tried_again_until_the_time_is_over():
    with client(Address(host="127.0.0.1", port=1)) as edge:
        began = time.monotonic()
        with pytest.raises(LinkError):
            edge.ensure_connected(timeout_s=0.8)
        assert 0.7 < time.monotonic() - began < 4


class SlowChannels(PlainChannels):
    """Channels that are not made before they may be, and how many were."""

    def __init__(self) -> None:
        super().__init__(insecure=True)
        self.made = 0
        self.begun, self.may = threading.Event(), threading.Event()

    def open(self, *arguments: object) -> object:
        self.begun.set()
        assert self.may.wait(20)
        self.made += 1
        return super().open(*arguments)


class Asked:
    """A clock that knows who asked it and how often."""

    def __init__(self) -> None:
        self.by: Counter[str] = Counter()

    def __call__(self) -> float:
        self.by[threading.current_thread().name] += 1
        return time.monotonic()


def test_two_users_of_a_client_share_the_connection_that_the_first_makes(cloud, bundle):
    channels, clock = SlowChannels(), Asked()
    with CloudClient(cloud.address, channels, pulse=None, clock=clock) as edge, ThreadPoolExecutor(2, "user") as users:
        first = users.submit(edge.ensure_connected)
        assert channels.begun.wait(10)
        second = users.submit(edge.ensure_connected)
        until(lambda: clock.by["user_1"] == 2)  # it has begun and found no connection
        channels.may.set()
        assert first.result(10) is second.result(10)
        assert channels.made == 1


def test_connecting_in_the_background_keeps_a_connection_made_meanwhile(cloud, bundle):
    channels = SlowChannels()
    with CloudClient(cloud.address, channels, pulse=None) as edge, ThreadPoolExecutor(1) as user:
        made = user.submit(edge.connect)
        assert channels.begun.wait(10)
        reach = Reach(edge)
        reach.nudge()
        channels.may.set()
        made.result(10)
        reach.ensure()
        reach._pending.result(10)
        assert channels.made == 1
        reach.close()


def test_an_address_without_tls_is_loopback_only():
    with CloudClient("192.0.2.1:7000", PlainChannels(insecure=True)) as edge, pytest.raises(UsageError, match="TLS"):
        edge.connect()
    with (
        CloudClient("127.0.0.1:7000", PlainChannels(insecure=False)) as edge,
        pytest.raises(UsageError, match="--inse"),
    ):
        edge.connect()


def test_a_closed_client_fails_what_is_in_flight_and_does_not_come_back(cloud, bundle):
    cloud.executor.hold()
    edge = client(cloud)
    edge.connect()
    pending = edge.submit(mid_request(bundle)[0])
    edge.close()
    with pytest.raises(LinkError, match="closed"):
        pending.wait(1)
    with pytest.raises(LinkError, match="closed"):
        edge.ensure_connected(timeout_s=1)
    cloud.executor.let_go()


def test_profiles_are_fetched_by_bundle(bundle):
    class Source:
        def profile_json(self, bundle_digest: str) -> str | None:
            return '{"side": "cloud"}' if bundle_digest == bundle.digest else None

    with RunningCloud(bundle, profiles=Source()) as cloud, client(cloud) as edge:
        edge.connect()
        assert edge.fetch_profile(bundle.digest).profile_json == '{"side": "cloud"}'
        with pytest.raises(Refused, match="the cloud has threshold"):
            edge.fetch_profile("f" * 64)


def test_a_profile_that_is_not_ready_says_so(edge, bundle):
    assert not edge.fetch_profile(bundle.digest).ready


def test_a_cloud_killed_mid_request_is_a_link_error_soon(bundle):
    with cloud_process(bundle) as (process, address), CloudClient(address, PlainChannels(insecure=True)) as edge:
        edge.connect()
        pending = edge.submit(mid_request(bundle)[0])
        process.kill()
        began = time.monotonic()
        with pytest.raises(LinkError, match=address):
            pending.wait(10)
        assert time.monotonic() - began < 3
        assert not edge.connected


def test_a_path_that_goes_silent_is_noticed_in_about_a_second(bundle):
    with cloud_process(bundle) as (process, address), CloudClient(address, PlainChannels(insecure=True)) as edge:
        edge.connect()
        until(lambda: len(edge.rtt_samples()) >= 2)
        pending = edge.submit(mid_request(bundle)[0])
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(LinkError, match="no sign of life"):
            pending.wait(10)
        assert time.monotonic() - began < 2.5
        process.send_signal(signal.SIGCONT)
        edge.ensure_connected(timeout_s=5)
        assert edge.connected


@pytest.mark.parametrize("bulk", [False, True])
def test_what_the_transport_takes_is_a_sign_of_life_of_bulk_only(bundle, bulk):
    """Until its window is full, it takes small requests that a dead path carries nowhere."""
    pulse = Pulse(interval_s=0.02, dead_after_s=0.5, dead_after_bulk_s=0.5)
    with cloud_process(bundle) as (process, address):
        told: list[object] = []
        channel = PlainChannels(insecure=True).open(parse_address(address))
        heartbeat = Heartbeat(
            channel,
            parse_address(address),
            hello("test", version_min=VERSION_MIN, version_max=VERSION_MAX),
            pulse,
            pressure=lambda: (bulk, time.monotonic()),
            uploading=lambda: True,
            on_dead=told.append,
        )
        heartbeat.start(5.0)
        until(lambda: len(heartbeat.samples()) >= 2)
        process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        if bulk:
            until(lambda: heartbeat.slowest_s(stopped_s) > 2.0)
            assert not told
        else:
            until(lambda: len(told) == 1)
        heartbeat.close()


def test_a_ping_that_stays_out_is_late_from_when_it_was_sent_and_one_that_came_back_is_not(bundle):
    with (
        cloud_process(bundle) as (process, address),
        CloudClient(address, PlainChannels(insecure=True), pulse=Pulse(interval_s=0.02, dead_after_s=30)) as edge,
    ):
        assert edge.slowest_ping_s(0.0) == 0.0
        edge.connect()
        until(lambda: len(edge.rtt_samples()) >= 2)
        slowest_s = max(sample.rtt_s for sample in edge.rtt_samples()[:2])
        assert edge.slowest_ping_s(0.0) >= slowest_s
        process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        until(lambda: edge.slowest_ping_s(stopped_s) > 0.5)
        process.send_signal(signal.SIGCONT)
        until(lambda: edge.slowest_ping_s(time.monotonic()) < 0.5)
        assert edge.slowest_ping_s(stopped_s) > 0.5


def test_a_probe_is_sent_beside_a_ping_that_is_out_but_not_where_the_path_may_be_dead(bundle):
    """Pings that a stopped cloud answered late make the next one's wait usual."""
    with (
        cloud_process(bundle) as (process, address),
        CloudClient(address, PlainChannels(insecure=True), pulse=Pulse(interval_s=0.05, dead_after_s=30)) as edge,
    ):
        edge.connect()
        until(lambda: len(edge.rtt_samples()) >= 2)
        process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        until(lambda: edge.slowest_ping_s(stopped_s) > 1.0)
        assert not edge.probe()
        process.send_signal(signal.SIGCONT)
        until(lambda: max(sample.rtt_s for sample in edge.rtt_samples()[-4:]) > 0.3)
        process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        until(lambda: edge.slowest_ping_s(stopped_s) > 0)
        assert edge.probe()
        process.send_signal(signal.SIGCONT)
        until(lambda: edge.probes())


def test_a_client_reconnects_to_a_cloud_that_comes_back(bundle):
    with RunningCloud(bundle) as cloud:
        address = cloud.address
        edge = client(address)
        edge.connect()
    until(lambda: not edge.connected)
    request, expected = mid_request(bundle)
    with pytest.raises((LinkError, Refused)):
        edge.infer(request)
    with RunningCloud(bundle, listen_port=address.port), edge:
        edge.ensure_connected(timeout_s=10)
        np.testing.assert_array_equal(edge.infer(request).outputs["score"], expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cloud_told_to_stop_leaves_in_order(bundle, number):
    with cloud_process(bundle, "0") as (process, address), CloudClient(address, PlainChannels(insecure=True)) as edge:
        edge.connect()
        edge.infer(mid_request(bundle)[0])
        process.send_signal(number)
        assert process.wait(10) == 0
        until(lambda: not edge.connected)
        with pytest.raises(Refused, match="being stopped"):
            edge.infer(mid_request(bundle)[0])


def test_a_cloud_told_to_stop_answers_what_it_has_begun(bundle, caplog):
    with RunningCloud(bundle) as cloud, client(cloud) as edge:
        edge.connect()
        cloud.executor.hold()
        request, expected = mid_request(bundle)
        pending = edge.submit(request)
        assert cloud.executor.started.wait(10)
        cloud.begin_stop()
        # The heartbeat has nothing under way and is let go at once.
        until(lambda: "is being stopped" in caplog.text and len(cloud.server._streams) == 1)
        with pytest.raises(Refused, match="being stopped"):
            edge.infer(request)
        cloud.executor.let_go()
        np.testing.assert_array_equal(pending.wait(10).outputs["score"], expected)
        until(lambda: not edge.connected)


def test_a_cloud_told_to_stop_answers_an_urgent_request_although_nothing_routine_is_under_way(bundle):
    with RunningCloud(bundle) as cloud, client(cloud, pulse=None) as edge:
        edge.connect()
        cloud.executor.hold()
        bulk = edge.submit(bulk_request(bundle))
        assert cloud.executor.started.wait(10)
        stat, expected = mid_request(bundle, priority=Priority.STAT)
        pending = edge.submit(stat)
        until(lambda: len(cloud.server._dispatcher._to_run) == 1)
        bulk.cancel()
        until(lambda: sum(stream.open_requests for stream in cloud.server._streams) == 1)
        cloud.begin_stop()
        until(lambda: len(cloud.server._streams) == 1 and not edge._connection._lanes.routine.lane.alive)
        cloud.executor.let_go()
        np.testing.assert_array_equal(pending.wait(10).outputs["score"], expected)
        until(lambda: not edge.connected)


def test_a_stat_request_does_not_queue_behind_bulk_that_the_transport_has_taken(bundle):
    with RunningCloud(bundle) as cloud, client(cloud, pulse=None) as edge:
        edge.connect()
        cloud.executor.hold()
        stat, expected = mid_request(bundle, priority=Priority.STAT)
        pending = [edge.submit(changed(stat, priority=Priority.ROUTINE)), edge.submit(stat)]
        until(lambda: len(cloud.server._dispatcher._to_run) == 1)
        assert len(cloud.server._streams) == 1  # nothing large is under way: one session will do
        pending.append(edge.submit(bulk_request(bundle)))
        pending.append(edge.submit(stat))
        until(lambda: len(cloud.server._dispatcher._to_run) == 3)
        assert len(cloud.server._streams) == 2
        cloud.executor.let_go()
        for waiting in (pending[0], pending[1], pending[3]):
            np.testing.assert_array_equal(waiting.wait(10).outputs["score"], expected)
        pending[2].wait(10)


def test_many_small_routine_requests_are_bulk_together(bundle):
    with RunningCloud(bundle) as cloud, client(cloud, pulse=None) as edge:
        edge.connect()
        cloud.executor.hold()
        routine = [edge.submit(wide_request(bundle, seed)) for seed in range(2)]
        # Opened before an urgent one needs it: on a full path connecting takes seconds.
        until(lambda: len(cloud.server._streams) == 2)
        stat, expected = mid_request(bundle, priority=Priority.STAT)
        urgent = edge.submit(stat)
        until(lambda: sorted(stream.open_requests for stream in cloud.server._streams) == [1, 2])
        cloud.executor.let_go()
        np.testing.assert_array_equal(urgent.wait(10).outputs["score"], expected)
        for pending in routine:
            pending.wait(10)


def test_routine_requests_do_not_take_all_of_a_sessions_places(edge, cloud, bundle):
    cloud.executor.hold()
    stat, expected = mid_request(bundle, priority=Priority.STAT)
    pending = [edge.submit(changed(stat, priority=Priority.ROUTINE)) for _ in range(SESSION_REQUESTS + 8)]
    dispatcher = cloud.server._dispatcher
    until(lambda: len(dispatcher._to_run) >= SESSION_REQUESTS * 7 // 8 - 1)  # and one with the executor
    pending.append(edge.submit(stat))
    until(lambda: any(job.priority == Priority.STAT for job in list(dispatcher._ahead)))
    until(lambda: len(dispatcher._to_run) == SESSION_REQUESTS * 7 // 8)
    cloud.executor.let_go()
    for request in pending:
        np.testing.assert_array_equal(request.wait(10).outputs["score"], expected)


def test_routine_requests_are_held_while_an_urgent_one_is_on_its_way_but_not_for_long(bundle):
    with RunningCloud(bundle) as cloud, client(cloud, pulse=None) as edge:
        edge.connect()
        cloud.executor.hold()
        stat, expected = mid_request(bundle, priority=Priority.STAT)
        urgent = edge.submit(stat)
        assert cloud.executor.started.wait(10)
        began = time.monotonic()
        routine = edge.submit(changed(stat, priority=Priority.ROUTINE))
        until(lambda: len(cloud.server._dispatcher._to_run) == 1)
        assert time.monotonic() - began > 0.5  # the urgent one is not answered: the hold ran out
        again = edge.submit(changed(stat, priority=Priority.URGENT))
        last = edge.submit(changed(stat, priority=Priority.ROUTINE))
        cloud.executor.let_go()
        for pending in (urgent, routine, again, last):
            np.testing.assert_array_equal(pending.wait(10).outputs["score"], expected)


def test_urgent_requests_that_overlap_do_not_hold_routine_ones_for_ever(bundle):
    now = [0.0]
    with RunningCloud(bundle) as cloud, client(cloud, pulse=None, clock=lambda: now[0]) as edge:
        edge.connect()
        cloud.executor.hold()
        stat, expected = mid_request(bundle, priority=Priority.STAT)
        pending = [edge.submit(stat)]
        assert cloud.executor.started.wait(10)
        line = cloud.server._dispatcher._to_run
        pending.append(edge.submit(changed(stat, priority=Priority.ROUTINE)))
        while now[0] < HOLDS_S - 0.5:
            now[0] += 0.5
            pending.append(edge.submit(stat))
            until(lambda: len(line) == len(pending) - 2)  # the routine one is still here
        now[0] += 0.6
        pending.append(edge.submit(stat))
        until(lambda: len(line) == len(pending) - 1)
        cloud.executor.let_go()
        for request in pending:
            np.testing.assert_array_equal(request.wait(10).outputs["score"], expected)


def test_a_bulk_upload_in_a_path_that_goes_silent_is_given_up_soon(bundle):
    with cloud_process(bundle) as (process, address), CloudClient(address, PlainChannels(insecure=True)) as edge:
        edge.connect()
        until(lambda: len(edge.rtt_samples()) >= 2)
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(LinkError, match="no sign of life"):
            edge.infer(bulk_request(bundle))
        assert 2.5 < time.monotonic() - began < 6  # longer than for small ones: bulk makes pings late


def test_importing_the_client_does_not_import_grpc():
    code = "import sys, suture_edge.client; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
