"""Traces: every format that is read, what is refused and why, and what each bundled one has to bring."""

from __future__ import annotations

import itertools

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.rate_trace import RateTrace
from suture_simulators.traces.files import OPPORTUNITY_BYTES, read_trace
from suture_simulators.traces.library import bundled_traces, find_trace, trace_facts, trace_record
from suture_simulators.traces.page import sparkline, write_page


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "drive.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_own_format_is_counted_from_its_first_row(write):
    trace = read_trace(write("# a drive\nt_s,mbps,note\n100,8,a\n101,0,b\n103,4,c\n"))
    assert trace.steps == ((0.0, 8e6), (1.0, 0.0), (3.0, 4e6))
    assert trace.period_s == pytest.approx(5.0)
    assert trace.mean_bps() == pytest.approx(16e6 / 5)


@pytest.mark.parametrize(
    "text",
    [
        "time,mbps\n5,8\n6,4\n",
        "Time (s);Throughput [Mbit/s]\n5;8\n6;4\n",
        "timestamp_ms,kbps\n5000,8000\n6000,4000\n",
        "ms\tbps\n5000\t8000000\n6000\t4000000\n",
        "seconds bytes\n5 1000000\n6 500000\n",
        "timestamp,DL_bitrate_kbps\n1700000005,8000\n1700000006,4000\n",
        "timestamp,bytes/s\n1700000005000,1000000\n1700000006000,500000\n",
        "Timestamp,Speed,mbps\n2019.12.16_07.22.43,30,8\n2019.12.16_07.22.44,31,4\n",
        "datetime,mbps\n2024-01-02T03:04:05Z,8\n2024-01-02T03:04:06Z,4\n",
    ],
)
def test_tables_with_time_and_rate_are_read_whatever_they_are_called(write, text):
    trace = read_trace(write(text))
    assert trace.steps == ((0.0, pytest.approx(8e6)), (1.0, pytest.approx(4e6)))
    assert "time from column" in trace.read_as
    assert "rate from column" in trace.read_as


def test_mahimahi_keeps_every_opportunity(write):
    times_ms = [0, 0, 3, 99, 100, 250, 250, 251, 730]
    trace = read_trace(write("\n".join(map(str, times_ms)) + "\n"))
    assert trace.period_s == pytest.approx(0.73)
    assert trace.mean_bps() * trace.period_s == pytest.approx(len(times_ms) * OPPORTUNITY_BYTES * 8)
    assert trace.mean_between(0.3, 0.6) == 0
    assert "mahimahi" in trace.read_as


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        ("t_s,mbps\n", "no rows"),
        ("0,1\n1,2\n", "name the columns"),
        ("t_s,mbps\n0,fast\n", "line 2"),
        ("t_s,mbps\n0,nan\n1,2\n", "line 2"),
        ("t_s,mbps\n0\n", "line 2"),
        ("t_s,mbps\n0,1\n0,2\n", "ascend"),
        ("t_s,mbps\n0,-1\n1,2\n", "0 or more"),
        ("t_s,mbps\n0,0\n1,0\n", "0 throughout"),
        ("speed,mbps\n0,1\n", "name exactly one t_s"),
        ("time,bitrate\n0,1\n1,2\n", "#bitrate:kbps"),
        ("time,up_kbps,down_kbps\n0,1,2\n1,2,3\n", "several columns could be the rate"),
        ("time,note\n0,1\n", "no column is a rate"),
        ("time,mbps\n0,1\n500,2\n1000,2\n", "t_s or t_ms"),
        ("5\n4\n", "goes back"),
        ("5\nsoon\n", "no millisecond"),
    ],
)
def test_unreadable_or_ambiguous_trace_is_refused_by_name_and_reason(write, text, words):
    with pytest.raises(UsageError, match=words) as refusal:
        read_trace(write(text))
    assert "drive.csv" in str(refusal.value)


def test_column_can_be_named_where_a_file_leaves_a_choice(write):
    path = write("time,DL_bitrate,UL_bitrate\n0,8000,800\n1,4000,400\n")
    assert find_trace(f"{path}#UL_bitrate:kbps").mean_bps() == pytest.approx(600e3)
    with pytest.raises(UsageError, match="does not say its unit"):
        find_trace(f"{path}#UL_bitrate")
    with pytest.raises(UsageError, match="has no column"):
        find_trace(f"{path}#XL_bitrate:kbps")


def test_what_is_neither_file_nor_name_is_refused_with_the_names(tmp_path):
    with pytest.raises(UsageError, match="hsdpa_norway_bus_16"):
        find_trace(str(tmp_path / "nowhere.csv"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read"):
        find_trace(str(tmp_path / "binary"))


@pytest.mark.parametrize("bundled", bundled_traces(), ids=lambda bundled: bundled.name)
def test_every_bundled_trace_loads_and_says_where_it_is_from(bundled):
    record = trace_record(bundled.name)
    facts = trace_facts(record.trace)
    assert record.trace.name == bundled.name
    assert facts.duration_s > 60
    assert 0 <= facts.min_bps < facts.mean_bps < facts.max_bps
    assert bundled.licence
    assert bundled.origin
    assert bundled.citation
    assert len(sparkline(record.trace)) == 24


def test_bundled_traces_include_one_with_outages_and_its_outages_are_blank():
    shares = [trace_facts(bundled.load()).outage_share for bundled in bundled_traces()]
    assert max(shares) > 0.01
    assert sparkline(RateTrace(name="t", steps=((0.0, 8e6), (1.0, 0.0)), period_s=2.0), width=4) == "██  "


def test_page_holds_a_plot_of_each_trace_and_nothing_from_elsewhere(tmp_path):
    steps = tuple((float(at), float(at % 7)) for at in range(4000))
    (tmp_path / "<long>.csv").write_text("t_s,mbps\n" + "".join(f"{at},{mbps}\n" for at, mbps in steps))
    records = [trace_record("hsdpa_norway_car_3"), trace_record(str(tmp_path / "<long>.csv"))]
    text = write_page(records, tmp_path / "out").read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert "src=" not in text
    assert "href=" not in text
    assert "&lt;long&gt;" in text
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_page(records, blocked)


def test_names_are_unique():
    assert all(a.name != b.name for a, b in itertools.combinations(bundled_traces(), 2))
