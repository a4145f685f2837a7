"""What is asked of the operating system on gRPC's sockets, read back from real connections."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from suture_edge.channels import CHANNEL_OPTIONS, PlainChannels, marked_options
from suture_edge.client import CloudClient
from suture_edge.sockets import UNSENT_BYTES, UNTUNED, Brake, IdleTeller, RateReader, Tuning, tune
from suture_models.bundle import Bundle
from suture_protocol.address import Address
from suture_protocol.events import Priority
from tests.cloud.harness import RunningCloud, bulk_request, mid_request, until, wide_request, write_bundle

NOTSENT_LOWAT, USER_TIMEOUT = 25, 18
MAX_PACING_RATE = 47
UNLIMITED = 0xFFFFFFFF

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are tuned on Linux only")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


def connections(address: Address) -> Iterator[socket.socket]:
    """Each TCP connection of this process to `address`."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            copy = os.dup(int(entry.name))
        except OSError:
            continue
        try:
            connection = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            continue
        with connection:
            try:
                peer = connection.getpeername()
            except OSError:
                continue
            if isinstance(peer, tuple) and peer[1] == address.port:
                yield connection


def unsent(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT)


def pace(connection: socket.socket) -> int:
    return int(struct.unpack("=I", connection.getsockopt(socket.SOL_SOCKET, MAX_PACING_RATE, 4))[0])


def written(connection: socket.socket) -> int:
    """Bytes that were given to the kernel and acknowledged, without the handshake's one (`tcpi_bytes_acked`)."""
    return int(struct.unpack_from("=Q", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 120)[0]) - 1


def braked(address: Address) -> int:
    """How many connections are."""
    return sum(pace(connection) < UNLIMITED for connection in connections(address))


@contextmanager
def pair(mark: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connections to one server, of which the first has the mark."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            first.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, mark)
            yield first, second


def test_the_lanes_hold_little_unsent_and_the_session_tells_what_is_in_force(bundle: Bundle) -> None:
    with RunningCloud(bundle) as cloud, CloudClient(cloud.address, PlainChannels(insecure=True)) as client:
        client.connect()
        assert [unsent(c) for c in connections(cloud.address)].count(UNSENT_BYTES) == 1
        before = len(os.listdir("/proc/self/fd"))
        client.infer(mid_request(bundle)[0])
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_untuned_client_leaves_its_sockets_as_they_are(bundle: Bundle) -> None:
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), tuning=UNTUNED) as client,
    ):
        client.connect()
        assert UNSENT_BYTES not in [unsent(c) for c in connections(cloud.address)]


def test_only_the_marked_socket_is_tuned_and_what_is_in_force_is_told() -> None:
    with pair(12_345) as (first, second):
        assert tune(12_346, Tuning()) is None
        told = tune(12_345, Tuning(congestion_control="reno"))
        assert told is not None
        assert (unsent(first), told.unsent_bytes) == (UNSENT_BYTES, UNSENT_BYTES)
        assert unsent(second) != UNSENT_BYTES
        assert "reno" in str(told)
        assert "32.8 KB" in str(told)
        # What the system does not have is no error; what it has instead is told.
        assert tune(12_345, Tuning(congestion_control="nonesuch")) == told


def test_the_kernel_tells_how_fast_a_socket_sends_and_how_fast_that_arrived() -> None:
    with pair(12_345) as (first, _):
        assert RateReader(12_346).read() is None
        for _ in range(20):
            first.sendall(bytes(1 << 10))
        until(lambda: written(first) == 20 << 10)
        told = RateReader(12_345).read()
        assert told is not None
        assert told.sending_bps > 1e6
        assert told.delivery_bps > 1e6


def test_a_brake_slows_one_socket_and_lets_it_go() -> None:
    with pair(12_345) as (first, second):
        brake = Brake(12_345)
        brake.pull(60)
        assert pace(first) < UNLIMITED
        assert pace(second) == UNLIMITED
        brake.pull(60)
        brake.release()
        assert pace(first) == UNLIMITED
        brake.release()


def test_a_brake_that_nobody_lets_go_ends_by_itself() -> None:
    with pair(12_345) as (first, _):
        Brake(12_345).pull(0.01)
        until(lambda: pace(first) == UNLIMITED)


def test_what_cannot_be_found_cannot_be_braked() -> None:
    brake = Brake(1)
    brake.pull(60)
    brake.release()


def test_bulk_is_braked_while_an_urgent_request_is_made_and_on_its_way(bundle: Bundle) -> None:
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as client,
    ):
        client.connect()
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 0  # nothing large is on its way
        cloud.executor.hold()
        bulk = client.submit(bulk_request(bundle))
        with client.way(Priority.ROUTINE):
            assert braked(cloud.address) == 0
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 1
            urgent = client.submit(mid_request(bundle, priority=Priority.STAT)[0])
        assert braked(cloud.address) == 1
        cloud.executor.let_go()
        urgent.wait(10)
        until(lambda: braked(cloud.address) == 0)
        bulk.wait(10)


def test_an_urgent_request_on_the_routine_lane_is_not_braked_by_what_was_answered_meanwhile(bundle: Bundle) -> None:
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as client,
    ):
        client.connect()
        cloud.executor.hold()
        bulk = client.submit(bulk_request(bundle))
        assert cloud.executor.started.wait(10)  # all of it has arrived
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 1
            cloud.executor.let_go()
            bulk.wait(10)
            cloud.executor.hold()
            urgent = client.submit(mid_request(bundle, priority=Priority.STAT)[0])
            assert braked(cloud.address) == 0
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 0
        cloud.executor.let_go()
        urgent.wait(10)


def test_small_requests_that_fill_the_path_together_are_braked_as_one_large_one(bundle: Bundle) -> None:
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as client,
    ):
        client.connect()
        cloud.executor.hold()
        pending = [client.submit(wide_request(bundle))]
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 0
        pending.append(client.submit(wide_request(bundle)))
        with client.way(Priority.STAT):
            assert braked(cloud.address) == 1
        cloud.executor.let_go()
        for request in pending:
            request.wait(10)


def test_nothing_is_written_and_nothing_kept_open_by_telling_that_nothing_is_to_send() -> None:
    with pair(12_345) as (first, second):
        teller = IdleTeller(12_345)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            teller.tell()
        IdleTeller(12_346).tell()
        assert len(os.listdir("/proc/self/fd")) == before
        assert written(first) == written(second) == 0
        first.shutdown(socket.SHUT_RDWR)
        teller.tell()  # a socket that is going is no error


def test_the_kernel_is_told_while_an_answer_is_due_and_not_once_it_came(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(IdleTeller, "tell", lambda self: told.append(self))
    with (
        RunningCloud(bundle) as cloud,
        CloudClient(cloud.address, PlainChannels(insecure=True), pulse=None) as client,
    ):
        client.connect()
        assert not told
        cloud.executor.hold()
        pending = client.submit(mid_request(bundle)[0])
        until(lambda: len(told) >= 3)
        cloud.executor.let_go()
        pending.wait(10)
        count = len(told)
        time.sleep(0.3)
        assert len(told) <= count + 1  # one may have been under way


def test_looking_for_sockets_leaves_the_locks_on_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    attempt = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with path.open("w") as file, pair(12_347):
        fcntl.lockf(file, fcntl.LOCK_EX)
        IdleTeller(12_347).tell()
        IdleTeller(12_348).tell()
        assert tune(12_349, Tuning()) is None
        run = subprocess.run([sys.executable, "-c", attempt, str(path)], capture_output=True, text=True, check=False)
    assert "BlockingIOError" in run.stderr


def test_no_mark_is_that_of_a_channel_without_one() -> None:
    plain = dict(CHANNEL_OPTIONS)["grpc.keepalive_timeout_ms"]
    marks = [marked_options()[0] for _ in range(5_001)]
    assert plain not in marks
    assert len(set(marks)) == 4_999
