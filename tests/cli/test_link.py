"""`suture link` and `suture link check` as commands: parsing, exit status, files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from docs.benchmarks.link_leftovers import run_and_look
from suture.app import main
from suture.link_options import read_profile
from suture_protocol.errors import CapabilityMissing
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import BurstLoss, LinkProfile
from suture_simulators.traces.library import bundled_traces


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
        (["--up-trace", "nowhere.csv"], "nowhere.csv"),
        (["--up-loss", "200%"], "--up-loss"),
        (["--loss", "gemodel:1%"], "gemodel:P,R"),
        (["--loss", "gemodel:0%,20%"], "never left"),
        (["--outage", "5s"], "BEGIN+LENGTH"),
        (["--outage", "5s+3s,6s+1s"], "overlap"),
        (["--reorder", "1%"], "without a delay"),
        (["--up-rate", "1mbit", "--up-trace", "hsdpa_norway_car_3"], "one or the other"),
        (["--forward", "7000"], "HOST:PORT"),
        (["--forward", "127.0.0.1:0"], "port 0"),
    ],
)
def test_impossible_links_are_wrong_usage_with_words(options, words, capfd):
    assert main(["link", *options, "--", "true"]) == 2
    assert words in capfd.readouterr().err


def test_ways_are_set_apart_and_fall_back_on_what_is_set_for_both():
    texts = {"rate": "20mbit", "delay": "10ms", "loss": "1%", "outage": "10s+3s,20s+500ms"}
    texts |= {
        "up_trace": "hsdpa_norway_car_3",
        "up_loss": "gemodel:1%,25%,90%",
        "down_delay": "30ms",
        "down_queue": "64kb",
    }
    profile = read_profile(7, texts)
    up, down = profile.up, profile.down
    assert (up.rate_bps, up.trace.name, up.delay_s, up.loss) == (None, "hsdpa_norway_car_3", 0.01, 0.0)
    assert up.burst_loss == BurstLoss(p=0.01, r=0.25, loss_bad=0.9)
    assert (down.rate_bps, down.trace, down.delay_s, down.loss, down.queue_bytes) == (20e6, None, 0.03, 0.01, 64_000)
    assert up.outages == down.outages == ((10.0, 3.0), (20.0, 0.5))
    assert profile.seed == 7


def test_file_with_foreign_columns_says_what_was_taken(needs_links, tmp_path, capfd):
    path = tmp_path / "drive.csv"
    path.write_text("timestamp_ms,note,DL_kbps\n0,a,4000\n1000,b,2000\n")
    assert main(["link", "--trace", str(path), "--", "true"]) == 0
    said = capfd.readouterr().err
    assert "'timestamp_ms' (ms)" in said
    assert "'DL_kbps' (kbps)" in said
    assert "mean 3 Mbit/s" in said


def test_traces_are_listed_and_plotted(tmp_path, capfd):
    assert main(["link", "traces", "--out", str(tmp_path)]) == 0
    out, _ = capfd.readouterr()
    names = [bundled.name for bundled in bundled_traces()]
    assert all(name in out for name in names)
    assert "CC BY-SA 4.0" in out
    assert (tmp_path / "traces.html").read_text(encoding="utf-8").count("<svg") == len(names)


def test_traces_as_json_are_one_object_per_line_with_terms_and_figures(capfd):
    assert main(["link", "traces", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(rows) == len(bundled_traces())
    assert {"name", "licence", "origin", "citation", "duration_s", "mean_bps", "outage_share"} <= rows[0].keys()


def test_runs_whole_and_interrupted_leave_nothing(needs_links):
    done = run_and_look(3, 4)
    assert done.left == [], done.said()
    assert set(done.statuses["Ctrl-C"]) <= {130, -2}


def test_help_of_all_forms(capfd):
    assert main(["link", "--help"]) == 0
    assert "--forward" in capfd.readouterr().out
    assert main(["link", "check", "--help"]) == 0
    assert "--out" in capfd.readouterr().out
    assert main(["link", "traces", "--help"]) == 0
    assert "--json" in capfd.readouterr().out
