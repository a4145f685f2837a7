"""The oracle's scores: unbiased where the naive minimum is not, and honest about their own noise."""

import statistics

import numpy as np
import pytest

from suture_simulators.experiments.oracle_scores import (
    expected_turns,
    regret,
    score_s,
    self_regret,
    split_half_winner,
    still_in,
)


def equal_cuts(seed: int, cuts: int = 15, turns: int = 20) -> dict[str, dict[int, float]]:
    generator = np.random.default_rng(seed)
    return {f"cut{c}": dict(enumerate(0.3 * generator.lognormal(0, 0.1, turns))) for c in range(cuts)}


def test_the_winner_is_picked_on_even_turns_and_scored_on_odd_ones():
    samples = {"a": {0: 1.0, 1: 9.0, 2: 1.0, 3: 9.0}, "b": {0: 2.0, 1: 2.0, 2: 2.0, 3: 2.0}}
    winner = split_half_winner(samples)
    assert (winner.cut_id, winner.picked_s, winner.scored_s) == ("a", 1.0, 9.0)
    assert regret(samples, "b", winner) == pytest.approx(2 / 9 - 1)
    assert regret(samples, "a") == 0.0


def test_among_equal_cuts_the_winners_score_is_unbiased_and_its_picked_time_is_not():
    winners = [split_half_winner(equal_cuts(seed)) for seed in range(200)]
    assert statistics.fmean(w.scored_s for w in winners) == pytest.approx(0.3, rel=0.01)
    assert statistics.fmean(w.picked_s for w in winners) < 0.3 * 0.96


def test_among_equal_cuts_the_regret_of_any_is_zero_on_average():
    regrets = [regret(equal_cuts(seed), "cut3") for seed in range(300)]
    assert abs(statistics.fmean(regrets)) < 0.01


def test_a_cut_that_is_a_tenth_slower_has_a_regret_of_a_tenth():
    samples = {c: {t: v * (1.1 if c == "cut3" else 1) for t, v in s.items()} for c, s in equal_cuts(1, 4, 2000).items()}
    assert regret(samples, "cut3") == pytest.approx(0.1, abs=0.02)


def test_the_winners_regret_against_itself_grows_with_noise_and_shrinks_with_samples():
    few, many = (self_regret(equal_cuts(2, turns=turns), seed=1) for turns in (10, 400))
    assert 0 < many.median < few.median < few.p95
    assert self_regret({"a": dict.fromkeys(range(8), 0.2)}, seed=1).p95 == 0.0


def test_it_foretells_what_a_repeat_of_the_measurement_shows():
    """Half of the repeats stay below the median: here the truth is known, since the repeats can be drawn."""
    foretold = statistics.fmean(self_regret(equal_cuts(seed, 1, 60), seed=seed).median for seed in range(40))
    repeats = [
        abs(score_s(equal_cuts(seed, 1, 60)["cut0"]) / score_s(equal_cuts(seed + 999, 1, 60)["cut0"]) - 1)
        for seed in range(400)
    ]
    assert foretold == pytest.approx(statistics.median(repeats), rel=0.25)


def test_cuts_without_samples_in_both_halves_take_no_part():
    samples = {"a": {0: 0.1, 2: 0.1}, "b": {0: 0.5, 1: 0.5}}
    assert split_half_winner(samples).cut_id == "b"
    with pytest.raises(ValueError, match="even turn and one in an odd turn"):
        split_half_winner({"a": {0: 0.1}})
    with pytest.raises(KeyError):
        regret(samples, "c")


def test_an_arm_that_is_far_behind_is_given_up_after_a_turn_or_two() -> None:
    took = {"best": 1.0, "close": 1.04, "near": 1.1, "behind": 1.4, "hopeless": 2.5}
    turns: dict[str, dict[int, float]] = {arm: {} for arm in took}
    for turn in range(6):
        for arm in still_in(turns, turn, frozenset()):
            turns[arm][turn] = took[arm]
    assert {arm: len(had) for arm, had in turns.items()} == {
        "best": 6,
        "close": 6,
        "near": 3,
        "behind": 2,
        "hopeless": 1,
    }
    assert [len(turns[arm]) for arm in took] == [expected_turns(ratio, 6) for ratio in took.values()]


def test_what_somebody_chose_stays_until_it_has_samples_that_are_scored() -> None:
    turns = {"best": {0: 1.0}, "chosen": {0: 9.0}}
    assert still_in(turns, 1, {"chosen"}) == ["best", "chosen"]
    turns = {"best": {0: 1.0, 1: 1.0}, "chosen": {0: 9.0, 1: 9.0}}
    assert still_in(turns, 2, {"chosen"}) == ["best"]
    assert regret(turns, "chosen") == pytest.approx(8.0)
    near = {arm: dict.fromkeys(range(3), time_s) for arm, time_s in {"best": 1.0, "chosen": 1.3}.items()}
    assert still_in(near, 3, {"chosen"}) == ["best", "chosen"]
    assert still_in(near, 3, frozenset()) == ["best"]


def test_an_arm_given_up_after_its_first_turn_is_scored_by_it_and_never_wins() -> None:
    turns = {"best": {0: 1.0, 1: 1.0}, "gone": {0: 3.0}}
    assert split_half_winner(turns).cut_id == "best"
    assert regret(turns, "gone") == pytest.approx(2.0)
