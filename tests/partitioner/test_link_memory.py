"""The remembered link: by cloud, aged, and never a reason to fail."""

import pytest

from suture_partitioner.link import PRIOR
from suture_partitioner.link_memory import HALF_LIFE_S, remember, remembered
from suture_partitioner.types import LinkEstimate

SLOW = LinkEstimate(bandwidth_bps=1e6, rtt_s=0.6, samples=5)


def test_each_cloud_has_a_link_of_its_own(tmp_path):
    path = tmp_path / "state" / "links.json"
    remember(path, "a:7000", SLOW, 1000.0)
    remember(path, "b:7000", LinkEstimate(bandwidth_bps=80e6, rtt_s=0.01, samples=1), 1000.0)
    found = remembered(path, "a:7000", 1000.0)
    assert (found.bandwidth_bps, found.rtt_s, found.samples) == (pytest.approx(1e6), 0.6, 0)
    assert found.spread_bps > 0
    assert remembered(path, "b:7000", 1000.0).bandwidth_bps == pytest.approx(80e6)
    assert remembered(path, "c:7000", 1000.0) == PRIOR


def test_it_ages_towards_the_stated_prior(tmp_path):
    path = tmp_path / "links.json"
    remember(path, "a:7000", SLOW, 0.0)
    found = remembered(path, "a:7000", HALF_LIFE_S)
    assert found.bandwidth_bps == pytest.approx((1e6 * PRIOR.bandwidth_bps) ** 0.5)
    assert remembered(path, "a:7000", 100 * HALF_LIFE_S).bandwidth_bps == pytest.approx(PRIOR.bandwidth_bps)


def test_a_link_that_nothing_was_sent_over_is_not_remembered(tmp_path):
    path = tmp_path / "links.json"
    remember(path, "a:7000", PRIOR, 0.0)
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a:7000": 3}', '{"a:7000": {"bandwidth_bps": -1, "rtt_s": 0, "at_s": 0}}']
)
def test_a_damaged_file_is_as_none_and_is_written_anew(tmp_path, text):
    path = tmp_path / "links.json"
    path.write_text(text, encoding="utf-8")
    assert remembered(path, "a:7000", 0.0) == PRIOR
    remember(path, "a:7000", SLOW, 0.0)
    assert remembered(path, "a:7000", 0.0).bandwidth_bps == pytest.approx(1e6)


def test_only_the_last_clouds_are_kept(tmp_path):
    path = tmp_path / "links.json"
    for number in range(40):
        remember(path, f"cloud-{number}:7000", SLOW, float(number))
    assert remembered(path, "cloud-0:7000", 40.0) == PRIOR
    assert remembered(path, "cloud-39:7000", 40.0).rtt_s == pytest.approx(0.6, rel=0.01)


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    remember(file / "links.json", "a:7000", SLOW, 0.0)
    assert remembered(file / "links.json", "a:7000", 0.0) == PRIOR
