"""`trace`: what its figures are, from drives made up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from suture_protocol.errors import UsageError
from suture_simulators.experiments.clairvoyant import Option, line_from_json
from suture_simulators.experiments.trace import Trace, there_and_back
from suture_simulators.experiments.trace_scores import (
    fixed_options,
    foreseen,
    in_turns,
    met_outage,
    ratio_of_means,
    vs_best_fixed,
    vs_clairvoyant,
    vs_foreseen,
)
from suture_simulators.experiments.types import Sample, Settings, device_of
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

LOCAL = Option(cut="last", codec="", payload_bytes=0, edge_s=0.5, cloud_s=0.0)
INPUT = Option(cut="0", codec="zstd", payload_bytes=200_000, edge_s=0.0, cloud_s=0.1)
MIDDLE = Option(cut="relu", codec="zstd", payload_bytes=40_000, edge_s=0.1, cloud_s=0.1)
LARGER = Option(cut="relu", codec="raw", payload_bytes=80_000, edge_s=0.1, cloud_s=0.1)
KNOWN = (INPUT, LARGER, MIDDLE, LOCAL)
#: Fast, gone, slow.
LINE = line_from_json([[0.0, 20e6], [10.0, 0.0], [20.0, 0.1e6]])


def image(start_s: float, took_s: float, *, waited_s: float = 0.0, error: str = "", turn: int = 0) -> Sample:
    extra: dict[str, Any] = {"start_s": start_s, "end_s": start_s + took_s, "note": ""}
    return Sample(
        point="p", arm="split", turn=turn, total_s=took_s + waited_s, cut="relu", steps_s={"preprocess": 0.05},
        extra=extra, error=error, at_s=start_s - waited_s,
    )  # fmt: skip


def test_the_clairvoyant_takes_the_link_while_it_is_good_and_the_unit_before_it_goes() -> None:
    seen = foreseen([image(1.0, 1.0), image(9.9, 1.0), image(30.0, 1.0)], KNOWN, LINE, 0.04)
    assert [one.cut for one in seen] == ["0", "last", "last"]
    over_s = 8 * INPUT.payload_bytes / (20e6 * TCP_PAYLOAD_SHARE)
    assert seen[0].total_s == pytest.approx(0.05 + 0.1 + 0.04 + over_s)
    assert seen[1].total_s == pytest.approx(0.55)


def test_every_replay_is_as_far_from_the_middle_of_the_run_as_any_other() -> None:
    places: dict[str, list[int]] = {}
    for place, (_, name) in enumerate(there_and_back("abc", 2)):
        places.setdefault(name, []).append(place)
    assert {sum(found) for found in places.values()} == {5}
    assert list(there_and_back("ab", 2)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


def test_against_the_clairvoyant_waiting_counts_and_an_image_without_result_is_left_out() -> None:
    planned = [image(11.0, 1.0, waited_s=5.0), image(12.0, 1.0, turn=1), image(13.0, 9.0, turn=2)]
    clairvoyant = [image(12.0, 0.5, waited_s=2.0), image(14.0, 1.0, turn=1), image(16.0, 1.0, error="lost", turn=2)]
    assert vs_clairvoyant(planned, clairvoyant) == [(6.0, 2.5), (1.0, 1.0)]
    assert vs_clairvoyant(planned, clairvoyant, {1}) == [(6.0, 2.5)]


def test_against_what_was_foreseen_waiting_does_not_count_either() -> None:
    samples = [image(11.0, 1.1, waited_s=5.0), image(12.0, 0.55), image(13.0, 9.0, error="refused")]
    seen = foreseen(samples, KNOWN, LINE, 0.04)
    pairs = vs_foreseen(samples, seen)
    assert [measured / ahead for measured, ahead in pairs] == pytest.approx([2.0, 1.0])
    assert ratio_of_means(pairs) == pytest.approx(1.5)


def test_a_plan_is_held_against_each_fixed_cut_waiting_included() -> None:
    by_arm = {
        "split": [image(0.0, 0.4), image(1.0, 0.4)],
        "relu zstd": [image(0.0, 0.1), image(1.0, 0.1, waited_s=7.8)],
        "last": [image(0.0, 0.5), image(1.0, 0.5)],
        "0 jpegls": [image(0.0, 0.5, error="lost")],
        "clairvoyant": [image(0.0, 0.01), image(1.0, 0.01)],
    }
    assert vs_best_fixed(by_arm) == {"relu zstd": pytest.approx(0.1), "last": pytest.approx(0.8)}
    with pytest.raises(ValueError, match="fixed cut"):
        vs_best_fixed({"split": by_arm["split"]})


def test_an_image_that_met_an_outage_in_one_of_two_streams_is_compared_in_neither() -> None:
    by_arm = {
        "split": [image(0.0, 0.4), image(9.0, 0.4, turn=1), image(21.0, 0.6, turn=2)],
        "relu zstd": [image(0.0, 0.5), image(9.0, 11.5, turn=1), image(21.0, 0.5, turn=2)],
        "last": [image(0.0, 0.7), image(9.0, 0.7, turn=1), image(21.0, 0.7, turn=2)],
    }
    gone = [(10.0, 20.0)]
    away = met_outage({"split": by_arm["split"], "relu zstd": by_arm["relu zstd"]}, gone)
    assert away == {1}
    # Nothing of the edge alone is left out because another cut was caught.
    assert vs_best_fixed(by_arm, gone) == {"relu zstd": pytest.approx(1.0), "last": pytest.approx(1.4 / 2.1)}
    assert [sample.turn for sample in in_turns(by_arm["split"], away, among=True)] == [1]
    # One that waited through an outage met it as well.
    assert met_outage({"split": [image(20.5, 0.2, waited_s=1.0)]}, gone) == {0}


def test_a_full_run_replays_every_bundled_drive_and_a_quick_one_only_one(tmp_path: Path) -> None:
    settings = Settings(
        experiment="trace",
        out=tmp_path,
        bundles={"tiny": tmp_path},
        devices=(device_of("16"),),
        rates_bps=(),
        rtts_s=(0.04,),
        images={"chest": tmp_path},
        samples=4,
    )
    assert len(Trace().points(settings)) >= 6
    assert len(Trace().points(dataclasses.replace(settings, quick=True))) == 1


def test_fixed_cuts_are_those_predicted_best_with_their_best_codec_and_both_ends() -> None:
    chosen = fixed_options(KNOWN, LINE, 10.0, 0.04, predicted_best=1, ends=False)
    assert len(chosen) == 1
    assert not chosen[0].local
    assert {o.cut for o in fixed_options(KNOWN, LINE, 10.0, 0.04, predicted_best=2, ends=True)} == {"0", "relu", "last"}
    assert LARGER not in fixed_options(KNOWN, LINE, 10.0, 0.04, predicted_best=3, ends=True)
    # Over all of the drive the outage would hold up whatever needs the link.
    assert fixed_options(KNOWN, LINE, 40.0, 0.04, predicted_best=1, ends=False) == [LOCAL]


def test_a_drive_takes_no_rates_of_its_own(tmp_path: Path) -> None:
    settings = Settings(
        experiment="trace",
        out=tmp_path,
        bundles={"tiny": tmp_path},
        devices=(device_of("16"),),
        rates_bps=(1e6,),
        rtts_s=(0.04,),
        images={"chest": tmp_path},
        samples=4,
    )
    with pytest.raises(UsageError, match="--rates"):
        Trace().points(settings)
