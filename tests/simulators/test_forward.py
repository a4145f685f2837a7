"""`forward`: TCP from beyond the bottleneck to a server of the host."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest

from suture_simulators.link_profile import LinkProfile

PROFILE = LinkProfile.symmetric(rate_bps=100e6, delay_s=0.002)
SIZE = 3_000_000


def _answer(server: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=handle, args=(connection,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], tuple[str, int]]]:
    """Starts servers on the host's loopback, a thread per connection."""
    servers: list[socket.socket] = []

    def start(handle: Callable[[socket.socket], None]) -> tuple[str, int]:
        servers.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=_answer, args=(servers[-1], handle), daemon=True).start()
        return servers[-1].getsockname()

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def _digest_at_end(connection: socket.socket) -> None:
    """Answers only once the other side has ended its half."""
    digest = hashlib.sha256()
    with connection:
        while data := connection.recv(65536):
            digest.update(data)
        connection.sendall(digest.hexdigest().encode())


def near(link, code: str) -> bytes:
    """Runs Python at the near end, with the peer's address as `peer`; returns what it writes."""
    head = (
        "import hashlib, os, socket\nhost, _, port = os.environ['SUTURE_PEER'].partition(':')\npeer = host, int(port)\n"
    )
    process = link.popen([sys.executable, "-c", head + textwrap.dedent(code)], stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


def test_bytes_come_back_from_the_hosts_server(make_link, serve):
    link = make_link(PROFILE, forward=serve(_echo))
    code = """
        first, second = socket.create_connection(peer), socket.create_connection(peer)
        first.sendall(b"one")
        second.sendall(b"two")
        print(second.recv(3).decode(), first.recv(3).decode())
    """
    assert near(link, code).split() == [b"two", b"one"]


def test_half_close_reaches_the_server_and_its_answer_comes_back(make_link, serve):
    link = make_link(PROFILE, forward=serve(_digest_at_end))
    code = f"""
        connection = socket.create_connection(peer)
        connection.sendall(bytes({SIZE}))
        connection.shutdown(socket.SHUT_WR)
        print(connection.makefile().read())
    """
    assert near(link, code).strip().decode() == hashlib.sha256(bytes(SIZE)).hexdigest()
    assert link.report().up["bytes_in"] > SIZE


def test_server_that_does_not_listen_is_a_reset_not_a_hang(make_link):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        link = make_link(PROFILE, forward=unused.getsockname())
        code = """
            connection = socket.create_connection(peer)
            try:
                print(connection.recv(1))
            except ConnectionResetError:
                print("reset")
        """
        assert near(link, code).strip() == b"reset"


def test_reader_that_pauses_holds_the_server_back(make_link, serve):
    sent = []
    stopped = threading.Event()

    def pour(connection: socket.socket) -> None:
        connection.settimeout(1.0)
        with connection:
            try:
                while True:
                    sent.append(connection.send(bytes(65536)))
            except OSError:  # nobody takes more: back-pressure has arrived
                stopped.set()

    link = make_link(PROFILE, forward=serve(pour))
    code = "import socket, sys; connection = socket.create_connection(('198.18.0.2', int(sys.argv[1]))); input()"
    port = link.peer.partition(":")[2]
    process = link.popen([sys.executable, "-c", code, port], stdin=subprocess.PIPE)
    assert stopped.wait(30)
    assert sum(sent) < 64e6
    process.communicate(b"\n", timeout=30)
