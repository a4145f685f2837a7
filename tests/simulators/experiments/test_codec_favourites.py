"""Which cuts plans prefer and where codecs cross, by arithmetic that can be done by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.experiments.codec_favourites import crossing_bps, favourites, reigns, total_s
from suture_simulators.experiments.codec_rows import Coded, crossing_pair, cut_rows
from suture_simulators.experiments.types import Settings, device_of
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE
from tests.simulators.experiments.codec_made import results, sized


def coded(size: int, encode_s: float, decode_s: float, spec: str = "zstd") -> Coded:
    return Coded(spec=spec, lossless=True, bytes_by_image={0: size}, encode_s=encode_s, decode_s=decode_s)


def settings(*devices: str, rates_bps: tuple[float, ...] = (1e6, 1e8)) -> Settings:
    return Settings(
        experiment="codec",
        out=Path(),
        bundles={},
        devices=tuple(device_of(text) for text in devices or ("1",)),
        rates_bps=rates_bps,
        rtts_s=(0.04,),
        images={},
        samples=2,
    )


def test_at_the_crossing_both_take_the_same_time() -> None:
    small, fast = coded(9_000, 0.004, 0.003), coded(11_000, 0.0005, 0.0005)
    (row,) = cut_rows(results(sized("relu", {"zstd": ([1], 1.0, 1.0)})))
    for factor in (1.0, 8.0):
        rate_bps = crossing_bps(small, fast, factor)
        assert rate_bps is not None
        assert total_s(row, small, rate_bps, factor) == pytest.approx(total_s(row, fast, rate_bps, factor))
        assert total_s(row, small, rate_bps / 2, factor) < total_s(row, fast, rate_bps / 2, factor)
        assert total_s(row, small, rate_bps * 2, factor) > total_s(row, fast, rate_bps * 2, factor)
    assert crossing_bps(small, fast, 1.0) == pytest.approx(8 * 2_000 / TCP_PAYLOAD_SHARE / 0.006)


def test_what_is_both_smaller_and_faster_crosses_nowhere() -> None:
    better, other = coded(9_000, 0.001, 0.001), coded(10_000, 0.002, 0.002)
    assert crossing_bps(better, other, 1.0) is None
    assert crossing_bps(other, better, 1.0) is None


def test_on_slow_links_the_smallest_is_earliest_and_on_fast_ones_the_fastest() -> None:
    small, middle, fast, bad = (
        coded(8_000, 0.02, 0.02, "small"), coded(9_000, 0.002, 0.002, "middle"),
        coded(12_000, 0.0001, 0.0001, "fast"), coded(13_000, 0.03, 0.03, "bad"),
    )  # fmt: skip
    found = reigns([fast, bad, small, middle], 1.0)
    assert [reign.spec for reign in found] == ["small", "middle", "fast"]
    assert found[0].from_bps == 0
    assert found[0].to_bps == pytest.approx(crossing_bps(small, middle, 1.0))
    assert found[1].from_bps == found[0].to_bps
    assert found[-1].to_bps is None


def test_favourites_are_deep_cuts_by_how_often_they_are_earliest() -> None:
    made = results(
        sized("shallow", {"zstd": ([10], 1e-4, 1e-4)}, depth=0.2, head_s=0.001),
        sized("heavy", {"zstd": ([90_000], 1e-4, 1e-4)}, depth=0.6, head_s=0.03, tail_s=0.01),
        sized("light", {"zstd": ([4_000], 1e-4, 1e-4), "zstd@4": ([1], 1e-4, 1e-4)}, head_s=0.03, tail_s=0.02),
        sized("late", {"zstd": ([40_000], 1e-4, 1e-4)}, depth=0.9, head_s=0.05, tail_s=0.02),
        sized("0", {"jpegls": ([5_000], 1e-3, 1e-3)}, depth=0.0, head_s=0.0),
    )
    assert favourites(made, "tiny", settings(rates_bps=(1e6, 5e6, 1e9))) == ["light", "heavy", "late"]
    assert favourites(made, "tiny", settings(rates_bps=(1e9,)))[0] == "heavy"
    assert favourites(made, "another", settings()) == []


def test_a_network_without_deep_cuts_offers_those_it_has() -> None:
    made = results(sized("relu", {"zstd": ([4_000], 1e-4, 1e-4)}, depth=0.2))
    assert favourites(made, "tiny", settings()) == ["relu"]


def test_a_board_has_no_factor_here() -> None:
    made = results(sized("relu", {"zstd": ([4_000], 1e-4, 1e-4)}))
    with pytest.raises(UsageError, match=r"pi-4.*give a factor"):
        favourites(made, "tiny", settings("pi-4"))


def test_the_two_modes_are_the_pair_that_is_compared() -> None:
    three = {"zstd": ([9], 1.0, 1.0), "lossless-small": ([8], 2.0, 2.0), "lossless-fast": ([10], 0.5, 0.5)}
    rows = cut_rows(results(sized("a", three), sized("b", three)))
    assert crossing_pair(rows) == ("lossless-small", "lossless-fast")
    others = {"raw": ([20], 0.1, 0.1), "zstd": ([9], 1.0, 1.0), "zstd@2": ([1], 0.01, 0.01)}
    assert crossing_pair(cut_rows(results(sized("a", others), sized("b", three)))) is None
    assert crossing_pair(cut_rows(results(sized("a", others)))) == ("zstd", "raw")
    assert crossing_pair([]) is None
