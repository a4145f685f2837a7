"""How a profile is shown: what was measured and what predicted, the slowest layers, sizes with their spread."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from suture.profiling import tables, words
from suture.profiling.chart import drawing
from suture_partitioner.types import CutTiming, Profile


def timing(compute_s: float, samples: int, size: int) -> CutTiming:
    return CutTiming(
        compute_s=compute_s,
        compute_min_s=compute_s,
        samples=samples,
        codec_s={"zstd": 0.001, "zstd@4": 0.001} if size else {},
        payload_bytes={"zstd": size, "zstd@4": size // 2} if size else {},
        payload_quantiles_bytes={"zstd": (size - 900, size, size, size, size + 900)} if size else {},
        load_s=0.3,
        first_s=compute_s * 2,
        memory_bytes=3_000_000,
        batch_s={1: compute_s, 8: compute_s * 6},
    )


PROFILE = Profile(
    side="edge",
    bundle_digest="ab" * 32,
    network="made-up",
    engine="openvino",
    variant_id="openvino-int8-vnni",
    device={"cpu": "Core <i5>"},
    versions={},
    threads=1,
    device_factor=1.0,
    measured_at="2026-11-22T08:00:00+00:00",
    preprocess_s=0.0,
    cuts={
        "conv": timing(0.002, 15, 40_000),
        "cat": timing(0.003, 0, 20_000),
        "a_cut_across+two_skips+of_a_deep_u_net_with_long_names": timing(0.004, 3, 90_000),
        "last": timing(0.005, 15, 0),
    },
    layers_s={"conv2d+relu#node_Conv_1": 0.003, "conv2d+relu#reorder": 0.0005, "cat#node_Cat": 0.001, "#Result": 1e-6},
)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_drawing_is_a_file_of_its_own_with_every_cut_and_layer():
    shown = texts(drawing(PROFILE, ", random weights"))
    assert "made-up, openvino-int8-vnni on Core <i5>, random weights" in shown
    assert {"conv", "cat", "last", "nothing is sent", "conv2d + relu"} <= set(shown)
    assert any(text.endswith("deep_u_net_with_long_names") and text.startswith("…") for text in shown)
    assert "40 KB (zstd)" in shown, "the smallest that loses nothing, not the narrowed codes"
    assert any("3 heads measured, 1 predicted from the engine's counters" in text for text in shown)


def test_measured_and_predicted_cuts_have_different_colours():
    bars = ElementTree.fromstring(drawing(PROFILE)).iter("{http://www.w3.org/2000/svg}rect")
    colours = [bar.get("fill") for bar in bars if bar.get("x") == "208.0" and bar.get("height") == "11.0"]
    assert colours[0] == colours[2] == colours[3] != colours[1]


@pytest.mark.parametrize("change", [{"layers_s": {}}, {"cuts": {"0": timing(0.0, 3, 500)}}, {"device_factor": 12.0}])
def test_what_is_missing_or_zero_is_drawn_all_the_same(change):
    assert texts(drawing(dataclasses.replace(PROFILE, **change)))


def test_layers_of_one_name_count_together_and_emulation_is_said():
    assert words.slowest_layers(PROFILE, 1) == [("conv2d + relu", pytest.approx(0.0035))]
    assert "emulated 12 times slower" in words.title(dataclasses.replace(PROFILE, device_factor=12.0))


def test_the_tables_mark_predictions_and_show_the_spread_of_sizes(capsys):
    tables.show(PROFILE)
    out = capsys.readouterr().out
    assert "predicted" in next(line for line in out.splitlines() if "│ cat " in line)
    assert "40 KB (39.1 KB to 40.9 KB)" in out
    assert "conv2d + relu" in out
    assert "78%" in out
    assert "batch" not in out


def test_the_tables_of_tails_show_batches(capsys):
    tables.show(dataclasses.replace(PROFILE, side="cloud", engine="torch", variant_id=""))
    out = capsys.readouterr().out
    assert "batch of 8" in out
    assert "12 ms" in out
    assert "3 tails measured" in out
