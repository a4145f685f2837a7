"""Rates, times, sizes and shares as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture_protocol.units import (
    format_rate,
    format_share,
    format_size,
    format_time,
    parse_rate_bps,
    parse_share,
    parse_size_bytes,
    parse_time_s,
)


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("20mbit", 20e6),
        ("1.5gbit", 1.5e9),
        ("500kbit", 5e5),
        ("20 Mbit/s", 20e6),
        ("20Mbps", 20e6),
        ("64 kb/s", 64e3),
        ("9600bit", 9600),
        (".5mbit", 5e5),
    ],
)
def test_rates_are_read_in_bits(text, rate_bps):
    assert parse_rate_bps(text) == pytest.approx(rate_bps)


@pytest.mark.parametrize(
    "text", ["20", "0mbit", "-1mbit", "20MB/s", "20MBps", "20mb", "fast", "", "1e6bit", "20 mbit x"]
)
def test_what_is_no_rate_in_bits_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="20mbit"):
        parse_rate_bps(text)


@pytest.mark.parametrize(
    ("text", "time_s"), [("40ms", 0.04), ("1.5s", 1.5), ("250us", 2.5e-4), ("250µs", 2.5e-4), ("2min", 120), ("0", 0)]
)
def test_times_are_read_in_seconds(text, time_s):
    assert parse_time_s(text) == pytest.approx(time_s)


@pytest.mark.parametrize("text", ["40", "ms", "-5ms", "40 m", "nan", "infs", "1:30", "9" * 60 + "s"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="40ms"):
        parse_time_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64kb", 64_000), ("1.5 MB", 1_500_000), ("64KiB", 65_536), ("512", 512), ("0b", 0), ("12 bytes", 12)],
)
def test_sizes_are_read_in_bytes(text, size):
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["64kbit", "big", "-1kb", "1,5mb", ""])
def test_what_is_no_size_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="64kb"):
        parse_size_bytes(text)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("100%", 1.0), ("0", 0.0)])
def test_shares_are_read_in_percent(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["1", "0.01", "101%", "-1%", "%"])
def test_what_could_mean_either_is_no_share(text):
    with pytest.raises(ValueError, match="1%"):
        parse_share(text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (format_rate(20e6), "20 Mbit/s"),
        (format_rate(1.5e9), "1.5 Gbit/s"),
        (format_rate(999_999), "1 Mbit/s"),
        (format_time(0.0412), "41.2 ms"),
        (format_time(0), "0 ms"),
        (format_time(0.9999), "1 s"),
        (format_time(90), "1.5 min"),
        (format_size(12_400), "12.4 KB"),
        (format_size(345_678), "346 KB"),
        (format_share(0.01), "1%"),
        (format_rate(float("inf")), "inf bit/s"),
    ],
)
def test_figures_are_written_with_three_digits_and_a_unit(written, expected):
    assert written == expected


@given(st.floats(1.0, 1e12))
def test_what_is_written_reads_back_within_its_digits(value):
    assert parse_rate_bps(format_rate(value)) == pytest.approx(value, rel=0.006)
    assert parse_size_bytes(format_size(value)) == pytest.approx(value, rel=0.006, abs=0.5)
    assert parse_time_s(format_time(value / 1e6)) == pytest.approx(value / 1e6, rel=0.006)


@given(st.text(max_size=30))
def test_no_text_gives_anything_but_a_value_or_a_value_error(text):
    for parse in (parse_rate_bps, parse_time_s, parse_size_bytes, parse_share):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value >= 0
