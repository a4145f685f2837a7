"""Comparing runs: planted changes are found, two halves of the same noise are not; what cannot be compared is said."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from suture_protocol.errors import UsageError
from suture_simulators.experiments.compare import compare
from suture_simulators.experiments.compare_text import show
from suture_simulators.experiments.types import Point, PointRecord, Sample

POINTS = [
    Point(network=network, device="pi", rate_bps=rate_bps, rtt_s=0.04)
    for network in ("resnet50", "unet")
    for rate_bps in (1e6, 5e6, 20e6, 100e6)
]
ARMS = ("split", "upload", "edge")


def write_run(path, seed, *, slow=None, n=20, lost=0, arms=ARMS, invalid=(), points=POINTS, **changes):
    """A run of made-up, log-normal times; `slow` maps (point, arm) or an arm to a factor."""
    slow = slow or {}
    generator = np.random.default_rng(seed)
    samples = [
        Sample(
            point=point.key,
            arm=arm,
            turn=turn,
            total_s=0.3 * generator.lognormal(0, 0.05) * slow.get((point.key, arm), slow.get(arm, 1.0)),
            error="the cloud is gone" if turn < lost and arm == "split" and point is POINTS[0] else "",
        )
        for point in points
        for turn in range(n)
        for arm in arms
    ]
    records = [PointRecord(point=point, sitting=1, valid=point.key not in invalid) for point in points]
    raw = {
        "experiment": "baselines",
        "figures": {"split_vs_edge_only_median": 0.8},
        "facts": {"kernel": "Linux 6.1", "versions": {"suture": "0.1.0"}},
        "points": [record.to_json() for record in records],
        "samples": [sample.to_json() for sample in samples],
    } | changes
    path.mkdir()
    (path / "results.json").write_text(json.dumps(raw), encoding="utf-8")
    return path


def shown(comparison) -> str:
    out = io.StringIO()
    show(comparison, Console(file=out, width=160))
    return out.getvalue()


def test_a_tenth_slower_at_one_point_is_found_there_and_nowhere_else(tmp_path):
    place = (POINTS[3].key, "split")
    a = write_run(tmp_path / "a", 1)
    b = write_run(tmp_path / "b", 2, slow={place: 1.1})
    found = compare(a, b)
    assert [(c.point, c.arm, c.verdict) for c in found.beyond_noise] == [(*place, "slower")]
    change = found.beyond_noise[0]
    assert change.ratio.low < 1.1 < change.ratio.high
    assert len(found.changes) == len(POINTS) * len(ARMS)


def test_the_other_way_round_it_is_faster(tmp_path):
    place = (POINTS[3].key, "split")
    a = write_run(tmp_path / "a", 1, slow={place: 1.1})
    b = write_run(tmp_path / "b", 2)
    assert [(c.point, c.arm, c.verdict) for c in compare(a, b).beyond_noise] == [(*place, "faster")]


def test_a_small_change_of_a_whole_arm_is_found_over_all_points_first(tmp_path):
    a = write_run(tmp_path / "a", 1, n=8)
    b = write_run(tmp_path / "b", 2, n=8, slow={"upload": 1.05})
    first = compare(a, b).beyond_noise[0]
    assert (first.point, first.arm, first.verdict) == ("", "upload", "slower")
    assert first.ratio.value == pytest.approx(1.05, abs=0.03)


def test_two_runs_of_the_same_noise_seldom_show_a_change(tmp_path):
    alarms = 0
    for seed in range(30):
        a = write_run(tmp_path / f"a{seed}", 2 * seed, n=12)
        b = write_run(tmp_path / f"b{seed}", 2 * seed + 1, n=12)
        alarms += bool(compare(a, b).beyond_noise)
    assert alarms <= 4


def test_a_run_against_itself_shows_nothing(tmp_path):
    a = write_run(tmp_path / "a", 1)
    found = compare(a, a / "results.json")
    assert not found.beyond_noise
    assert not found.differences
    assert {change.ratio.value for change in found.changes} == {1.0}


def test_a_sure_change_too_small_to_matter_is_not_named(tmp_path):
    a = write_run(tmp_path / "a", 1, n=2000, points=POINTS[:1])
    b = write_run(tmp_path / "b", 2, n=2000, points=POINTS[:1], slow={"edge": 1.012})
    found = compare(a, b)
    assert not found.beyond_noise
    assert min(change.p for change in found.changes) < 1e-6


def test_too_few_samples_are_called_that(tmp_path):
    a = write_run(tmp_path / "a", 1, n=3, points=POINTS[:2])
    b = write_run(tmp_path / "b", 2, n=3, points=POINTS[:2], slow={"edge": 3.0})
    found = compare(a, b)
    assert {change.verdict for change in found.changes} == {"too few samples"}
    assert "--samples 6" in shown(found)
    assert "nothing changed" not in shown(found)


def test_runs_that_share_nothing_are_not_called_unchanged(tmp_path):
    a = write_run(tmp_path / "a", 1, points=POINTS[:1])
    b = write_run(tmp_path / "b", 1, points=POINTS[1:2])
    assert "nothing to compare" in shown(compare(a, b))


def test_losses_are_counted_and_tested(tmp_path):
    a = write_run(tmp_path / "a", 1)
    few, many = (compare(a, write_run(tmp_path / f"b{n}", 2, lost=n)).losses for n in (1, 12))
    assert [(x.lost_a, x.of_a, x.lost_b, x.of_b, x.beyond_noise) for x in few] == [(0, 20, 1, 20, False)]
    assert many[0].beyond_noise


def test_what_only_one_run_has_and_what_is_invalid_is_said_and_left_out(tmp_path):
    a = write_run(tmp_path / "a", 1, arms=("split", "upload"))
    b = write_run(tmp_path / "b", 1, arms=("split", "edge"), invalid=(POINTS[0].key,))
    found = compare(a, b)
    assert found.invalid == (POINTS[0].key,)
    assert (POINTS[1].key, "upload") in found.only_a
    assert (POINTS[1].key, "edge") in found.only_b
    assert {change.arm for change in found.changes} == {"split"}
    assert POINTS[0].key not in {change.point for change in found.changes}


def test_differences_of_versions_and_configurations_are_named(tmp_path):
    a = write_run(tmp_path / "a", 1)
    facts = {"kernel": "Linux 6.1", "versions": {"suture": "0.2.0"}}
    b = write_run(tmp_path / "b", 1, facts=facts, figures={"split_vs_edge_only_median": 0.7, "points": 8})
    for run, samples in ((a, 8), (b, 5)):
        text = json.dumps({"digest": "", "configuration": {"samples": samples}})
        (run / "configuration.json").write_text(text, encoding="utf-8")
    found = compare(a, b)
    assert found.differences == ('versions.suture was "0.1.0", is "0.2.0"', "samples was 8, is 5")
    assert [(pair.name, pair.a, pair.b) for pair in found.figures] == [
        ("split_vs_edge_only_median", 0.8, 0.7),
        ("points", None, 8),
    ]


def test_different_experiments_are_refused(tmp_path):
    a = write_run(tmp_path / "a", 1)
    b = write_run(tmp_path / "b", 1, experiment="oracle")
    with pytest.raises(UsageError, match="two runs of one experiment"):
        compare(a, b)


@pytest.mark.parametrize("text", ["", "[]", '{"experiment": "oracle"}'])
def test_what_is_no_result_is_refused_by_name(tmp_path, text):
    a = write_run(tmp_path / "a", 1)
    other = tmp_path / "other.json"
    other.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"other\.json is no results\.json"):
        compare(a, other)
    with pytest.raises(UsageError, match="cannot be read"):
        compare(a, tmp_path / "missing")


def test_a_damaged_sample_is_refused(tmp_path):
    a = write_run(tmp_path / "a", 1)
    with pytest.raises(UsageError, match="damaged"):
        compare(a, write_run(tmp_path / "b", 1, samples=[{"point": "x"}]))


def test_the_text_names_the_change_first_and_is_plain_about_noise(tmp_path):
    place = (POINTS[3].key, "split")
    a = write_run(tmp_path / "a", 1)
    b = write_run(tmp_path / "b", 2, slow={place: 1.5}, lost=1, arms=(*ARMS, "[new]"))
    text = shown(compare(a, b))
    assert "slower" in text.split("figures")[0]
    assert place[0] in text
    assert "results lost" in text
    assert "[new]" in text
    assert "emulated" in text


def test_the_comparison_is_valid_json(tmp_path):
    a = write_run(tmp_path / "a", 1, n=1)
    json.dumps(compare(a, a).to_json(), allow_nan=False)


def test_the_command_prints_the_comparison_and_one_line_of_json(tmp_path, capsys):
    from suture.app import main

    a = write_run(tmp_path / "a", 1, points=POINTS[:2])
    b = write_run(tmp_path / "b", 2, points=POINTS[:2], slow={"edge": 1.5})
    assert main(["experiment", "compare", str(a), str(b)]) == 0
    assert "slower" in capsys.readouterr().out
    assert main(["experiment", "compare", str(a), str(b), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert {change["verdict"] for change in json.loads(out)["changes"] if change["arm"] == "edge"} == {"slower"}
    assert main(["experiment", "compare", str(a), str(tmp_path / "none")]) == 2
