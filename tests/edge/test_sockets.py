"""What is asked of the operating system on gRPC's sockets, read back from real connections."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.sockets import UNSENT_BYTES, limit_unsent
from suture_protocol.address import Address
from tests.cloud.harness import RunningCloud, mid_request, write_bundle

NOTSENT_LOWAT = 25

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_NOTSENT_LOWAT is asked for on Linux only")


def limits(address: Address) -> list[int]:
    """The option on each TCP connection of this process to `address`."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
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
                if isinstance(peer, tuple) and peer[1] == address.port:
                    found.append(connection.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT))
            except OSError:
                continue
    return found


def test_the_routine_connection_holds_little_unsent(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with RunningCloud(bundle) as cloud, CloudClient(str(cloud.address), PlainChannels(insecure=True)) as client:
        client.connect()
        assert UNSENT_BYTES in limits(cloud.address)
        before = len(os.listdir("/proc/self/fd"))
        done = limit_unsent(cloud.address)
        assert len(os.listdir("/proc/self/fd")) == before
        assert limits(cloud.address) == [UNSENT_BYTES] * done
        client.infer(mid_request(bundle)[0])


def test_other_connections_are_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert limit_unsent(Address(host="127.0.0.1", port=port + 1 if port < 65535 else 1024)) == 0
            assert connection.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT) != UNSENT_BYTES
            assert limit_unsent(Address(host="127.0.0.1", port=port)) == 1
            assert connection.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT) == UNSENT_BYTES


def test_a_name_that_nobody_knows_is_no_error() -> None:
    assert limit_unsent(Address(host="nowhere.invalid", port=7000)) == 0
