"""Which cuts and codecs the oracle measures, and what the rivals are given."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.types import LinkEstimate
from suture_simulators.experiments.oracle_arms import (
    FULL,
    QUICK,
    Situation,
    arms_at,
    best_arms,
    cut_of,
    rival_cuts,
    single_cuts,
    situation_of,
)
from tests.simulators.experiments.hand_made import chain, manifest_of, profile_of

LINK = LinkEstimate(bandwidth_bps=2e6, rtt_s=0.02)


@pytest.fixture
def situation() -> Situation:
    """Eight layers that get smaller, on a unit ten times slower than the cloud; two codecs."""
    manifest = manifest_of(chain([8, 8, 8, 4, 4, 2, 2, 1], [32, 32, 16, 16, 8, 8, 4, 4], [100] * 8))
    node_s = {node.name: 0.01 for node in manifest.graph}
    edge = profile_of(manifest, "edge", node_s)
    cloud = profile_of(manifest, "cloud", {name: spent_s / 10 for name, spent_s in node_s.items()})
    cuts = {
        name: replace(
            timing,
            codec_s={**timing.codec_s, "raw": 0.0},
            payload_bytes={**timing.payload_bytes, "raw": timing.payload_bytes["zstd"] + 100},
        )
        for name, timing in edge.cuts.items()
        if name != LAST_CUT
    }
    tails = {
        name: replace(timing, codec_s={**timing.codec_s, "raw": 0.0})
        for name, timing in cloud.cuts.items()
        if name != LAST_CUT
    }
    return situation_of(
        manifest, replace(edge, cuts={**edge.cuts, **cuts}), replace(cloud, cuts={**cloud.cuts, **tails})
    )


def test_an_arm_is_a_cut_with_a_codec_and_all_are_there_where_every_one_is_measured(situation: Situation) -> None:
    predicted = situation.predictions(LINK)
    assert arms_at(predicted, FULL, exhaustive=True, always=(), draw=random.Random(1)) == list(predicted)
    assert {codec for arm in predicted if (codec := arm.partition(" ")[2])} == {"zstd", "raw"}
    assert LAST_CUT in predicted


def test_elsewhere_the_ends_the_predicted_best_and_some_at_random_are_measured(situation: Situation) -> None:
    predicted = situation.predictions(LINK)
    ranked = list(best_arms(predicted))
    always = ranked[-1]
    arms = arms_at(predicted, QUICK, exhaustive=False, always=[always], draw=random.Random(1))
    cuts = set(map(cut_of, arms))
    assert {INPUT_CUT, LAST_CUT, *ranked[:3], always} <= cuts
    assert len(cuts) <= len({INPUT_CUT, LAST_CUT, *ranked[:3], always}) + 1
    # The best cut goes with every codec, the others with the one that is predicted best.
    twice = {cut for cut in cuts if sum(cut_of(arm) == cut for arm in arms) > 1}
    assert twice <= {ranked[0]}
    assert arms == arms_at(predicted, QUICK, exhaustive=False, always=[always], draw=random.Random(1))


def test_the_rivals_choose_among_the_same_codecs(situation: Situation) -> None:
    predicted = situation.predictions(LINK)
    only_raw = {arm: choice for arm, choice in predicted.items() if choice.codec != "zstd"}
    for chosen in (rival_cuts(situation, predicted, LINK), rival_cuts(situation, only_raw, LINK)):
        assert set(chosen) == {"neurosurgeon", "dads"}
        assert set(chosen.values()) <= set(map(cut_of, predicted))


def test_the_single_cut_to_serve_best_is_one_for_all_links_and_one_for_each_device(situation: Situation) -> None:
    links = [LinkEstimate(bandwidth_bps=rate, rtt_s=0.02) for rate in (1e5, 1e9)]
    slow_cut, fast_cut = (next(iter(best_arms(situation.predictions(link)))) for link in links)
    assert single_cuts([situation], links[:1]) == [slow_cut]
    assert single_cuts([situation], links[1:]) == [fast_cut]
    assert set(single_cuts([situation, situation], links)) <= {cut.id for cut in situation.manifest.cuts}
