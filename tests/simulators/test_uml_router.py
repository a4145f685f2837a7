"""Links through User-Mode Linux: real netem does what was set, can be changed, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from suture_protocol.errors import CapabilityMissing, UsageError
from suture_simulators.helpers import module_environment
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import Direction, LinkProfile
from suture_simulators.rate_trace import RateTrace

from .conftest import GONE_S, assert_gone, first_words, open_link, processes

STAY = "readlink /proc/self/ns/net; sleep 600 & echo $! $$; wait"
#: Sends so many packets of 1,000 bytes, 200 a second.
SEND = """
    import socket, sys, time
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(int(sys.argv[1])):
        probe.sendto(bytes(1000), ("198.18.0.2", 9))
        time.sleep(0.005)
"""


@pytest.fixture(scope="module")
def uml_link():
    """One link that the tests of this module share and change."""
    link = open_link(LinkProfile.symmetric(rate_bps=20e6, delay_s=0.01), backend="uml")
    yield link
    link.close()


def send(link: EmulatedLink, count: int) -> None:
    assert link.run([sys.executable, "-c", textwrap.dedent(SEND), str(count)]) == 0


def settled(link: EmulatedLink, way: str, wanted: int) -> dict[str, int]:
    """The counters once all packets that were sent have met their fate."""
    for _ in range(200):
        counts = getattr(link.report(), way)
        if counts["packets_out"] + counts["lost"] + counts["dropped_queue"] >= wanted:
            break
    return counts


def test_packets_are_counted_and_the_conditions_named(uml_link):
    before = uml_link.report().up
    send(uml_link, 20)
    after = settled(uml_link, "up", before["packets_in"] + 20)
    assert after["packets_in"] - before["packets_in"] == 20
    assert after["bytes_in"] - before["bytes_in"] == 20 * (1000 + 28 + 14)
    assert after["packets_out"] - before["packets_out"] == 20
    report = uml_link.report()
    assert report.backend == "uml"
    assert report.lateness["packets"] > 0
    assert report.kernel_dropped == 0
    assert report.cpu_s > 0


def test_change_of_loss_takes_effect_on_the_living_link(uml_link):
    uml_link.change(LinkProfile(up=Direction(rate_bps=20e6, delay_s=0.01, loss=0.5)))
    before = uml_link.report().up
    send(uml_link, 200)
    after = settled(uml_link, "up", before["packets_in"] + 200)
    assert 60 <= after["lost"] - before["lost"] <= 140
    uml_link.change(LinkProfile())
    before = uml_link.report().up
    send(uml_link, 50)
    assert settled(uml_link, "up", before["packets_in"] + 50)["lost"] == before["lost"]


def test_full_queue_drops_and_counts(uml_link):
    uml_link.change(LinkProfile(up=Direction(rate_bps=200e3, queue_bytes=10_000)))
    before = uml_link.report().up
    send(uml_link, 60)
    after = settled(uml_link, "up", before["packets_in"] + 60)
    assert after["dropped_queue"] - before["dropped_queue"] > 20
    assert uml_link.report().kernel_dropped == 0


def test_what_tc_cannot_follow_is_refused_and_the_link_goes_on(uml_link):
    fast = RateTrace(name="fast", steps=((0.0, 8e6), (0.001, 2e6)), period_s=1.0)
    with pytest.raises(UsageError, match="--backend tun"):
        uml_link.change(LinkProfile(up=Direction(trace=fast)))
    send(uml_link, 1)


def test_forwarded_port_leads_past_the_bottleneck(make_link):
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = make_link(LinkProfile(), backend="uml", forward=("127.0.0.1", server.getsockname()[1]))
        code = (
            "import os, socket; host, _, port = os.environ['SUTURE_PEER'].partition(':');"
            " print(socket.create_connection((host, int(port))).recv(9).decode())"
        )
        with link.popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as command:
            server.settimeout(GONE_S)
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello")
            assert command.communicate(timeout=GONE_S)[0] == b"hello\n"


def test_guest_has_no_file_of_the_hosts(uml_link):
    guest = next(child for child in psutil.Process(uml_link.relay_pid).children() if "linux" in child.name())
    opened = [entry.path for entry in guest.open_files() if not entry.path.startswith("/dev/")]
    assert [path for path in opened if Path(path).exists()] == []


def test_closing_leaves_nothing(make_link):
    link = make_link(LinkProfile(), backend="uml")
    command = link.popen(["sh", "-c", STAY], stdout=subprocess.PIPE)
    namespace = first_words(command, 3)[0]
    alive = processes(command.pid, link.relay_pid)
    assert any("linux" in process.name() for process in alive)
    link.close()
    command.stdout.close()
    assert_gone(alive, namespace)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_parent_that_dies_takes_the_guest_along(number, make_link):
    make_link(LinkProfile(), backend="uml").close()
    code = """
        import sys
        from suture_simulators.link import EmulatedLink
        from suture_simulators.link_profile import LinkProfile
        with EmulatedLink(LinkProfile(), backend="uml") as link:
            sys.exit(link.run(["sh", "-c", sys.argv[1]]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), STAY],
        env=module_environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        namespace, *pids = first_words(process, 3)
        alive = processes(process.pid, *map(int, pids))
        assert any("linux" in member.name() for member in alive)
        os.kill(process.pid, number) if number == signal.SIGKILL else os.killpg(process.pid, number)
        process.wait()
        assert_gone(alive, namespace)


def test_killed_router_takes_the_guest_along(make_link):
    link = make_link(LinkProfile(), backend="uml")
    alive = processes(link.relay_pid)
    os.kill(link.relay_pid, signal.SIGKILL)
    _, left = psutil.wait_procs(alive, timeout=GONE_S)
    assert not left


def test_machine_without_its_parts_is_told_what_to_install(tmp_path, monkeypatch):
    from suture_simulators import uml_image

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(uml_image, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(CapabilityMissing, match="apt-get install user-mode-linux busybox-static"):
        uml_image.find_parts()


def test_shim_is_compiled_once_and_kept(tmp_path, monkeypatch):
    from suture_simulators.uml_guest import compile_shim

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = compile_shim()
    if path is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    made = path.stat().st_mtime_ns
    assert compile_shim() == path
    assert path.stat().st_mtime_ns == made
    monkeypatch.setenv("PATH", "")
    with contextlib.suppress(OSError):
        path.unlink()
    assert compile_shim() is None
