"""Profiles on disk: strict reading, keys, and what makes one unfit."""

import dataclasses
import json
import os
import time

import numpy as np
import pytest

from suture_partitioner.profile_file import (
    PARTIAL_LIFE_S,
    Partial,
    fits,
    load_profile,
    profile_from_json,
    profile_key,
    profile_to_json,
    save_profile,
)
from suture_partitioner.types import CutTiming, Profile

PROFILE = Profile(
    side="edge",
    bundle_digest="ab" * 32,
    network="mobilenet_v2",
    engine="openvino",
    variant_id="openvino-int8-vnni",
    device={"cpu": "Core i5", "isa": "avx2 avx_vnni", "throttled": "3"},
    versions={"openvino": "2026.4.1", "suture": "0.1.0"},
    threads=1,
    device_factor=1.0,
    measured_at="2026-01-31T12:00:00Z",
    preprocess_s=0.004,
    cuts={
        "0": CutTiming(
            compute_s=0.0,
            compute_min_s=0.0,
            samples=15,
            codec_s={"jpegls": 0.001},
            payload_bytes={"jpegls": 21_000},
            payload_quantiles_bytes={"jpegls": (19_000, 20_500, 21_000, 21_400, 24_000)},
            load_s=0.4,
            first_s=0.02,
            memory_bytes=3_000_000,
            batch_s={1: 0.0, 2: 0.001, 8: 0.004},
        ),
        "last": CutTiming(compute_s=0.0026, compute_min_s=0.0024, samples=15),
    },
    layers_s={"conv": 0.001},
)


def test_a_profile_comes_back_from_its_file_as_it_was(tmp_path):
    path = tmp_path / "cache" / "profile.json"
    save_profile(PROFILE, path)
    assert load_profile(path) == PROFILE
    assert [p.name for p in path.parent.iterdir()] == ["profile.json"]


def test_the_same_profile_always_gives_the_same_text():
    assert profile_to_json(PROFILE) == profile_to_json(profile_from_json(profile_to_json(PROFILE)))


def changed(change) -> str:
    body = json.loads(profile_to_json(PROFILE))
    change(body)
    return json.dumps(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "not a profile"),
        ("{}", "not a profile"),
        (changed(lambda b: b.update(format_version=9)), "format 9, this Suture reads 2; measure again"),
        (changed(lambda b: b.update(format_version=1)), "format 1, this Suture reads 2; measure again"),
        (changed(lambda b: b.update(profile=None)), "profile is not an object"),
        (changed(lambda b: b["profile"].pop("threads")), r"lacks \['threads'\]"),
        (changed(lambda b: b["profile"].update(colour="red")), r"unknown fields \['colour'\]"),
        (changed(lambda b: b["profile"].update(side="middle")), "neither edge nor cloud"),
        (changed(lambda b: b["profile"].update(side=["edge"])), "neither edge nor cloud"),
        (changed(lambda b: b["profile"].update(threads=True)), "threads is not a whole number"),
        (changed(lambda b: b["profile"].update(preprocess_s=float("nan"))), "preprocess_s is not a number"),
        (changed(lambda b: b["profile"].update(device={"cpu": 5})), "device.cpu is not a text"),
        (changed(lambda b: b["profile"]["cuts"]["last"].update(compute_s=-1)), "cuts.last.compute_s"),
        (changed(lambda b: b["profile"]["cuts"]["0"]["payload_bytes"].update(jpegls=1.5)), "payload_bytes.jpegls"),
        (changed(lambda b: b["profile"]["cuts"]["0"]["payload_quantiles_bytes"].update(jpegls=[1, 2])), "list of 5"),
        (changed(lambda b: b["profile"]["cuts"]["0"]["batch_s"].update({"two": 0.1})), "no batch size"),
        (changed(lambda b: b["profile"]["cuts"]["0"]["batch_s"].update({"0": 0.1})), "no batch size"),
        (changed(lambda b: b["profile"]["cuts"]["last"].pop("memory_bytes")), r"cuts.last lacks \['memory_bytes'\]"),
    ],
)
def test_anything_but_a_profile_is_refused_and_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        load_profile(path)
    assert "p.json" in str(raised.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json cannot be read"):
        load_profile(tmp_path / "none.json")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match=r"image\.png is not a profile but binary"):
        load_profile(tmp_path / "image.png")


KEYED = ("side", "bundle_digest", "engine", "variant_id", "device", "versions", "threads", "device_factor")


def key_of(profile: Profile) -> str:
    return profile_key(**{name: getattr(profile, name) for name in KEYED})


def test_the_key_changes_with_everything_that_times_depend_on():
    others = [
        dataclasses.replace(PROFILE, **change)
        for change in (
            {"side": "cloud"},
            {"bundle_digest": "cd" * 32},
            {"engine": "litert"},
            {"variant_id": "openvino-f32"},
            {"device": {**PROFILE.device, "isa": "avx2"}},
            {"versions": {**PROFILE.versions, "openvino": "2027"}},
            {"threads": 2},
            {"device_factor": 8.0},
        )
    ]
    assert len({key_of(profile) for profile in (PROFILE, *others)}) == 9


def test_the_key_ignores_what_passes():
    assert key_of(PROFILE) == key_of(dataclasses.replace(PROFILE, device={**PROFILE.device, "throttled": "99"}))


def test_a_profile_fits_where_it_was_measured():
    assert fits(PROFILE, PROFILE.bundle_digest, {**PROFILE.device, "throttled": "4"}, PROFILE.versions) == ()


def test_what_differs_is_said_in_words():
    unfit = fits(PROFILE, "cd" * 32, {"cpu": "Pi 5", "isa": "avx2 avx_vnni"}, {"openvino": "2027.0", "suture": "0.1.0"})
    assert unfit == (
        "it was measured for bundle abababababab, this is cdcdcdcdcdcd",
        "the device's cpu was Core i5, is Pi 5",
        "the version of openvino was 2026.4.1, is 2027.0",
    )


IMAGES = [np.zeros((1, 1, 4, 4), np.uint8)]


def test_a_profile_in_the_making_lies_beside_the_finished_one_until_it_is_dropped(tmp_path):
    partial = Partial(tmp_path / "edge-key.json", IMAGES)
    assert partial.read() is None
    partial.write(PROFILE)
    assert Partial(tmp_path / "edge-key.json", IMAGES).read() == PROFILE
    assert [path.name.startswith("edge-key-") for path in tmp_path.iterdir()] == [True]
    Partial(tmp_path / "edge-key.json", [IMAGES[0] + 1]).write(PROFILE)
    partial.drop()
    assert list(tmp_path.iterdir()) == []
    partial.drop()


def test_other_inputs_begin_anew(tmp_path):
    Partial(tmp_path / "edge-key.json", IMAGES).write(PROFILE)
    assert Partial(tmp_path / "edge-key.json", [IMAGES[0] + 1]).read() is None
    assert Partial(tmp_path / "other-key.json", IMAGES).read() is None


def test_a_profile_in_the_making_that_is_old_or_damaged_is_begun_anew(tmp_path):
    partial = Partial(tmp_path / "edge-key.json", IMAGES)
    partial.write(PROFILE)
    long_ago = time.time() - PARTIAL_LIFE_S - 60
    os.utime(partial.path, (long_ago, long_ago))
    assert partial.read() is None
    partial.path.write_text("{")
    assert partial.read() is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    (tmp_path / "file").write_text("")
    partial = Partial(tmp_path / "file" / "edge-key.json", IMAGES)
    partial.write(PROFILE)
    assert partial.read() is None
    partial.drop()
