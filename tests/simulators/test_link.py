"""Emulated links as they are used: commands at both ends, reports, refusals, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

import suture_protocol
import suture_simulators
from suture_protocol.errors import CapabilityMissing, LinkError
from suture_simulators.check import check, follow
from suture_simulators.helpers import module_environment
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import BurstLoss, Direction, LinkProfile
from suture_simulators.rate_trace import RateTrace

from .conftest import assert_gone, first_words, inhabitants, processes

FAST = LinkProfile.symmetric(rate_bps=50e6, delay_s=0.005)
#: Writes its namespace and two process ids, one of them in the background, then stays.
STAY = "readlink /proc/self/ns/net; sleep 600 & echo $! $$; wait"
ROOMS = [str(Path(package.__file__).parents[1]) for package in (suture_protocol, suture_simulators)]
NOBODY = 65534


def test_command_has_its_own_streams_environment_and_exit_status(make_link):
    link = make_link(FAST)
    process = link.popen(
        ["sh", "-c", 'read line; echo "$line $SUTURE_PEER"; echo oops >&2; exit 7'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.communicate(b"hello\n", timeout=30) == (b"hello 198.18.0.2\n", b"oops\n")
    assert process.returncode == 7


def test_command_that_dies_of_a_signal_and_commands_that_cannot_run_answer_like_a_shells(make_link, tmp_path, capfd):
    link = make_link(FAST)
    assert link.run(["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM
    assert link.run(["no-such-command"]) == 127
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert link.run([plain]) == 126
    assert "cannot run no-such-command" in capfd.readouterr().err


def test_ends_see_each_other_and_nothing_else(make_link):
    link = make_link(FAST)
    code = """
        import socket
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            print("closed", error.errno)
        probe.connect(("198.18.0.2", 9))
        print(probe.getsockname()[0])
    """
    process = link.popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert process.communicate(timeout=30)[0].split() == [b"closed", b"101", b"198.18.0.1"]


def test_hosts_proxy_is_not_asked_for_the_far_end(make_link):
    link = make_link(FAST)
    settings = {**os.environ, "no_proxy": "intranet"}
    process = link.popen(["sh", "-c", "echo $no_proxy"], env=settings, stdout=subprocess.PIPE)
    assert process.communicate(timeout=30)[0].startswith(b"intranet,198.18.0.2,")


@pytest.mark.parametrize("device", ["tun", "veth"])
def test_round_trip_goodput_and_loss_are_what_was_set(device, make_link):
    make_link(device=device).close()
    result = check(LinkProfile.symmetric(rate_bps=20e6, delay_s=0.02), seconds=1.0, device=device)
    measured = {quantity.name: quantity for quantity in result.quantities}
    assert result.report.backend == device
    assert measured["round trip"].measured == pytest.approx(0.04, rel=0.1)
    for way in ("goodput up", "goodput down"):
        assert measured[way].measured == pytest.approx(20e6 * 0.956, rel=0.1)
    assert measured["loss up"].measured == measured["loss down"].measured == 0
    assert json.loads(json.dumps(result.to_json()))["figures"]["goodput_error_max"] < 0.1


def test_loss_lies_within_its_interval_and_the_ways_differ(needs_links):
    up = Direction(rate_bps=10e6, delay_s=0.01, loss=0.05)
    down = Direction(rate_bps=5e6, delay_s=0.03)
    result = check(LinkProfile(up=up, down=down, seed=3), seconds=1.5)
    measured = {quantity.name: quantity for quantity in result.quantities}
    assert measured["loss up"].within, measured["loss up"]
    assert measured["loss down"].measured == 0
    assert measured["round trip"].measured == pytest.approx(0.04, rel=0.1)
    assert measured["goodput up"].measured == pytest.approx(10e6 * 0.972 * 0.95, rel=0.1)
    assert measured["goodput down"].measured == pytest.approx(5e6 * 0.972, rel=0.1)
    assert result.report.up["lost"] > 0


def test_traces_and_outages_are_followed_second_by_second(needs_links):
    steps = ((0.0, 0.0), (2.0, 12e6), (3.0, 3e6), (4.0, 6e6), (5.0, 1e6))
    up = Direction(trace=RateTrace(name="steps", steps=steps, period_s=6.0), delay_s=0.005)
    down = Direction(rate_bps=8e6, delay_s=0.02, outages=((3.0, 1.0),))
    done, report = follow(LinkProfile(up=up, down=down), seconds=6.0)
    for way in done:
        total, like = way.quantities()
        assert total.measured == pytest.approx(total.set_value, rel=0.1), way
        assert like.measured > 0.95, way
    assert report.up_bytes_per_s[1] == 0 < report.up_bytes_per_s[2]
    assert report.profiles[0]["profile"]["down"]["outages"] == [[3.0, 1.0]]


def test_bursts_and_reordering_are_seen_from_the_ends(needs_links):
    up = Direction(rate_bps=10e6, delay_s=0.02, burst_loss=BurstLoss(p=0.02, r=0.25))
    down = Direction(rate_bps=10e6, delay_s=0.02, reorder=0.05)
    result = check(LinkProfile(up=up, down=down, seed=5), seconds=1.0, goodputs=False)
    measured = {quantity.name: quantity for quantity in result.quantities}
    for name in ("loss up", "packets lost in a row up", "loss down", "reordered down"):
        assert measured[name].within, measured[name]
    assert measured["packets overtaken down"].measured > 1
    assert result.report.up["loss_bursts"] > 0
    assert result.report.down["reordered"] > 0


def test_changed_link_keeps_its_connection_and_reports_what_was_in_force_when(make_link):
    link = make_link(LinkProfile.symmetric(rate_bps=40e6, delay_s=0.002))
    code = """
        import socket
        with socket.create_server(("198.18.0.2", 7)) as server:
            print("ready", flush=True)
            connection, _ = server.accept()
            while data := connection.recv(65536):
                connection.sendall(data)
    """
    echo = link.popen([sys.executable, "-c", textwrap.dedent(code)], at="far", stdout=subprocess.PIPE)
    assert first_words(echo, 1) == ["ready"]
    code = """
        import socket, sys
        with socket.create_connection(("198.18.0.2", 7)) as connection:
            for line in sys.stdin:
                connection.sendall(bytes(int(line)))
                left = int(line)
                while left:
                    left -= len(connection.recv(left))
                print("done", flush=True)
    """
    talk = link.popen([sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    changed_s = []
    for profile in (None, LinkProfile.symmetric(rate_bps=2e6, delay_s=0.03), LinkProfile.symmetric(rate_bps=30e6)):
        if profile is not None:
            changed_s.append(link.change(profile))
        talk.stdin.write(b"50000\n")
        talk.stdin.flush()
        assert first_words(talk, 1) == ["done"]
    talk.stdin.close()
    talk.stdout.close()
    assert talk.wait(30) == 0
    echo.stdout.close()
    report = link.report()
    assert [entry["from_s"] for entry in report.profiles] == [0.0, *changed_s]
    assert [entry["profile"]["up"]["rate_bps"] for entry in report.profiles] == [40e6, 2e6, 30e6]
    assert changed_s[1] - changed_s[0] > 50_000 * 8 / 2e6  # the second turn went at the second rate
    assert report.profile["up"]["rate_bps"] == 30e6
    assert sum(report.up_bytes_per_s) == report.up["bytes_out"]


def test_report_counts_packets_and_names_the_conditions(make_link):
    link = make_link(FAST)
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes(100), ('198.18.0.2', 9))"
    )
    assert link.run([sys.executable, "-c", code]) == 0
    link.close()
    report = link.report()
    assert report.up["packets_in"] == 1
    assert report.up["bytes_in"] == 100 + 28 + 14
    assert report.congestion_control
    assert report.profile["up"]["rate_bps"] == 50e6
    assert json.loads(json.dumps(report.to_json()))["kernel"] == os.uname().release


def test_congestion_control_can_be_pinned_and_an_unknown_one_is_refused(make_link):
    assert make_link(FAST, congestion_control="reno").report().congestion_control == "reno"
    with pytest.raises(CapabilityMissing, match="reno"), EmulatedLink(FAST, congestion_control="pigeon"):
        pass


def test_closing_ends_what_runs_at_either_end_and_what_it_left_in_the_background(make_link):
    link = make_link(FAST)
    commands = [link.popen(["sh", "-c", STAY], at=end, stdout=subprocess.PIPE) for end in ("near", "far")]
    namespaces = [first_words(command, 3)[0] for command in commands]
    alive = processes(*(command.pid for command in commands), link.relay_pid)
    link.close()
    for command in commands:
        command.stdout.close()
    for namespace in namespaces:
        assert_gone(alive, namespace)


def test_lost_relay_is_an_error_with_words_and_leaves_nothing(make_link):
    link = make_link(FAST)
    command = link.popen(["sh", "-c", STAY], stdout=subprocess.PIPE)
    namespace = first_words(command, 3)[0]
    alive = processes(command.pid)
    os.kill(link.relay_pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="relay ended"):
        link.report()
    link.close()
    command.stdout.close()
    assert_gone(alive, namespace)


def holder(*, group: bool = False) -> tuple[subprocess.Popen[bytes], str, list[psutil.Process]]:
    """Another Python that runs a command behind a link; with its namespace and every process it made."""
    code = """
        import sys
        from suture_simulators.link import EmulatedLink
        from suture_simulators.link_profile import LinkProfile
        with EmulatedLink(LinkProfile(), forward=("127.0.0.1", 9)) as link:
            sys.exit(link.run(["sh", "-c", sys.argv[1]]))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), STAY],
        env=module_environment(),
        stdout=subprocess.PIPE,
        start_new_session=group,
    )
    namespace, *pids = first_words(process, 3)
    return process, namespace, processes(process.pid, *map(int, pids))


def test_killed_parent_takes_everything_along(needs_links):
    process, namespace, alive = holder()
    with process:
        process.kill()
        process.wait()
        assert_gone(alive, namespace)


def test_ctrl_c_reaches_the_command_and_leaves_nothing(needs_links):
    process, namespace, alive = holder(group=True)
    with process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT
        assert_gone(alive, namespace)


def test_sigterm_is_passed_on_and_leaves_nothing(needs_links):
    process, namespace, alive = holder()
    with process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert_gone(alive, namespace)


def test_many_links_in_turn_leave_nothing(needs_links):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    descriptors = psutil.Process().num_fds()
    for _ in range(10):
        with EmulatedLink(FAST) as link:
            assert link.run(["true"]) == 0
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
    assert psutil.Process().num_fds() == descriptors


def test_two_links_at_once_do_not_meet(make_link):
    names = set()
    for _ in range(2):
        command = make_link(FAST).popen(["readlink", "/proc/self/ns/net"], stdout=subprocess.PIPE)
        names.add(command.communicate(timeout=30)[0])
    assert len(names) == 2


def test_machine_without_namespaces_is_told_the_way_out():
    forbid = "echo 0 > /proc/sys/user/max_net_namespaces; echo 0 > /proc/sys/user/max_user_namespaces; "
    code = """
        from suture_protocol.errors import CapabilityMissing
        from suture_simulators.link import EmulatedLink
        from suture_simulators.link_profile import LinkProfile
        try:
            with EmulatedLink(LinkProfile()):
                print("up")
        except CapabilityMissing as missing:
            print(missing)
    """
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Ur", "true"], check=False).returncode != 0:
        pytest.skip("needs unshare(1) and user namespaces, in which they can then be forbidden")
    answer = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", forbid + 'exec "$@"', "sh", sys.executable, "-c", textwrap.dedent(code)],
        env=module_environment(),
        capture_output=True,
        check=True,
    )
    assert b"Run it as root, or allow user namespaces" in answer.stdout


def python_of_nobody() -> str:
    """A Python that an ordinary user may run, with these packages readable."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        script = "import sys, suture_simulators.link; sys.exit(sys.version_info < (3, 11))"
        with contextlib.suppress(OSError):
            ordinary = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
            environment = {"PYTHONPATH": os.pathsep.join(ROOMS), "PATH": os.defpath}
            done = subprocess.run(
                [candidate, "-c", script], env=environment, check=False, capture_output=True, **ordinary
            )
            if done.returncode == 0:
                return candidate
    pytest.skip("no Python that an ordinary user could run with these packages")


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests already run as an ordinary user")
def test_ordinary_user_has_links_too():
    code = """
        import sys
        from suture_protocol.errors import CapabilityMissing
        from suture_simulators.check import check
        from suture_simulators.link import EmulatedLink
        from suture_simulators.link_profile import LinkProfile
        profile = LinkProfile.symmetric(rate_bps=10e6, delay_s=0.01)
        try:
            with EmulatedLink(profile) as link:
                status = link.run(["sh", "-c", "id -u; exit 5"])
        except CapabilityMissing as missing:
            sys.exit(f"skip: {missing}")
        goodput = check(profile, seconds=1.0).quantities[1].measured
        print(status, goodput / 1e6)
    """
    done = subprocess.run(
        [python_of_nobody(), "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": os.pathsep.join(ROOMS), "PATH": os.defpath},
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    if done.stderr.startswith("skip"):
        pytest.skip(done.stderr)
    user, status, goodput = done.stdout.split()
    assert (user, status) == (str(NOBODY), "5")
    assert float(goodput) == pytest.approx(9.56, rel=0.1)


def test_nobody_is_found_in_a_namespace_that_does_not_exist():
    assert inhabitants("net:[0]") == []
