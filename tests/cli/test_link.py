"""`suture link` and `suture link check` as commands: parsing, exit status, files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from suture.app import main
from suture_protocol.errors import CapabilityMissing
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile


@pytest.fixture
def needs_links() -> None:
    try:
        with EmulatedLink(LinkProfile()):
            pass
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")


def test_command_after_two_dashes_runs_with_its_options_streams_and_status(needs_links):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from suture.app import main; raise SystemExit(main())",
            "link",
            "--rate",
            "20mbit",
            "--delay",
            "1ms",
            "--",
            "sh",
            "-c",
            "cat; exit 5",
        ],
        input=b"through",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (5, b"through")


def test_command_named_like_a_sub_command_can_be_run(needs_links, capfd):
    assert main(["link", "--", "check"]) == 127
    assert "cannot run check" in capfd.readouterr().err


def test_report_is_written(needs_links, tmp_path):
    assert main(["link", "--rate", "5mbit", "--report", str(tmp_path / "r.json"), "--", "true"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["profile"]["up"]["rate_bps"] == 5e6


def test_check_writes_results_and_prints_set_against_measured(needs_links, tmp_path, capfd):
    status = main(["link", "check", "--rate", "20mbit", "--delay", "10ms", "--seconds", "1", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert status == (0 if results["passed"] else 1)
    assert results["figures"].keys() == {"goodput_error_max", "rtt_error_s_max"}
    assert results["figures"]["goodput_error_max"] < 0.1
    assert results["configuration"]["profile"]["up"]["delay_s"] == 0.01
    assert len(results["samples"]["rtt_s"]) == 40
    assert "round trip" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--loss", "200%"], "--loss"),
        (["--rate=-5mbit"], "--rate"),
        (["--rate", "20mbyte"], "bits per second"),
        (["--delay", "5ms", "--jitter", "10ms"], "jitter"),
        (["--trace", "nowhere.csv"], "nowhere.csv"),
        (["--forward", "7000"], "HOST:PORT"),
        (["--forward", "127.0.0.1:0"], "port 0"),
    ],
)
def test_impossible_links_are_wrong_usage_with_words(options, words, capfd):
    assert main(["link", *options, "--", "true"]) == 2
    assert words in capfd.readouterr().err


def test_help_of_both_forms(capfd):
    assert main(["link", "--help"]) == 0
    assert "--forward" in capfd.readouterr().out
    assert main(["link", "check", "--help"]) == 0
    assert "--out" in capfd.readouterr().out
