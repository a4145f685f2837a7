"""`suture cloud` as a process: its address, its end, and what it refuses before it serves."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from suture.app import main
from suture_models.bundle import Bundle
from tests.processes import CloudProcess, Command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_what_it_serves_where_and_ends_cleanly_even_while_it_measures(
    command: Command, pneumonia_bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    fresh = Command(cache=tmp_path / "cache")  # so that it has something to measure
    cloud = CloudProcess(fresh, tmp_path, pneumonia_bundle)
    cloud.start()
    assert cloud.address.startswith("127.0.0.1:")
    assert cloud.end(number) == 0
    name = f"pneumonia_mobilenet_v2 {pneumonia_bundle.digest[:12]}"
    assert cloud.log == f"serving {name} on {cloud.address}, tails on cpu; Ctrl-C stops\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--listen", "127.0.0.1:0"), 2, "add --insecure"),
        (("--listen", "0.0.0.0:0", "--insecure"), 2, "patient data"),
        (("--listen", "7000", "--insecure"), 2, "write HOST:PORT"),
        (("--listen", "127.0.0.1:0", "--insecure", "--device", "abacus"), 2, "choose auto, cpu or cuda"),
        (("--listen", "127.0.0.1:TAKEN", "--insecure"), 2, "TAKEN"),
        (("--listen", "127.0.0.1:0", "--insecure", "--port-file", "/proc/none/address"), 2, "--port-file"),
    ],
)
def test_what_it_cannot_serve_is_one_line(
    command: Command, pneumonia_bundle: Bundle, arguments: tuple[str, ...], status: int, message: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = [part.replace("TAKEN", port) for part in arguments]
        done = command.run("cloud", "--bundle", pneumonia_bundle.path, *given)
    assert done.returncode == status, done.stderr
    assert message.replace("TAKEN", port) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_bundle_could_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cloud", "--bundle", str(tmp_path), "--listen", "127.0.0.1:0", "--insecure"]) == 3
    assert "is not a bundle" in capsys.readouterr().err


def test_a_forgotten_address_is_wrong_usage(tmp_path: Path) -> None:
    assert main(["cloud", "--bundle", str(tmp_path)]) == 2
