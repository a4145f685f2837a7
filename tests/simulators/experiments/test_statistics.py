"""Statistics against closed forms, against scipy on its own, under the null, and on input that says nothing."""

import math
import random
import statistics
import warnings

import numpy as np
import pytest
import scipy.stats

from suture_simulators.experiments.statistics import (
    anova,
    comparison_table,
    holm,
    median_interval,
    paired,
    ratio_of_medians,
)


def times(seed: int, n: int, middle_s: float = 0.3, spread: float = 0.1) -> list[float]:
    return (middle_s * np.random.default_rng(seed).lognormal(0, spread, n)).tolist()


def test_the_interval_of_a_median_holds_it_and_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        interval = median_interval(times(seed, 30), seed=seed, resamples=500)
        assert interval.low <= interval.value <= interval.high
        covered += interval.low <= 0.3 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_more_samples_a_narrower_one():
    values = times(1, 400)
    first = median_interval(values, seed=3)
    assert first == median_interval(values, seed=3)
    few = median_interval(values[:20], seed=3)
    assert first.high - first.low < few.high - few.low


def test_the_interval_agrees_with_scipys_bootstrap():
    values = times(5, 40)
    ours = median_interval(values, seed=1, resamples=5000)
    theirs = scipy.stats.bootstrap((values,), np.median, method="percentile", rng=2, n_resamples=5000)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, rel=0.01)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, rel=0.01)


@pytest.mark.parametrize("values", [[0.2], [0.2, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_too_few_samples_have_a_median_and_no_interval(values):
    interval = median_interval(values, seed=1)
    assert interval.value == statistics.median(values)
    assert interval.low is None
    assert interval.high is None
    assert not interval.excludes(9.0)


def test_constant_samples_have_an_interval_without_width():
    interval = median_interval([0.25] * 10, seed=1)
    assert (interval.low, interval.high) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [math.inf]])
def test_nothing_and_what_is_not_finite_are_refused(values):
    with pytest.raises(ValueError, match="leave lost samples out"):
        median_interval(values, seed=1)


def test_pairing_finds_a_small_difference_under_a_large_common_drift():
    generator = random.Random(1)
    drift = [generator.uniform(1, 4) for _ in range(30)]
    a = {turn: 0.95 * slow * generator.uniform(0.99, 1.01) for turn, slow in enumerate(drift)}
    b = {turn: slow * generator.uniform(0.99, 1.01) for turn, slow in enumerate(drift)}
    pair = paired(a, b, seed=1)
    assert pair.ratio.value == pytest.approx(0.95, abs=0.01)
    assert pair.ratio.excludes(1.0)
    assert pair.p_value < 1e-5
    assert (pair.n, pair.a_faster) == (30, 30)
    unpaired = ratio_of_medians(list(a.values()), list(b.values()), seed=1)
    assert not unpaired.excludes(1.0)


def test_pairing_uses_only_the_turns_that_both_arms_finished():
    pair = paired({1: 2.0, 2: 2.0, 3: 2.0, 9: 50.0}, {0: 70.0, 1: 1.0, 2: 1.0, 3: 1.0}, seed=1)
    assert (pair.n, pair.ratio.value) == (3, 2.0)
    assert paired({1: 1.0}, {2: 1.0}, seed=1) is None


def test_arms_that_never_differ_have_no_p_value_below_one():
    same = dict.fromkeys(range(8), 0.1)
    assert paired(same, dict(same), seed=1).p_value == 1.0
    assert paired({1: 0.1}, {1: 0.1}, seed=1).p_value == 1.0


def test_a_time_that_is_not_above_zero_has_no_ratio():
    with pytest.raises(ValueError, match="above zero"):
        paired({1: 0.0}, {1: 1.0}, seed=1)


def test_the_table_agrees_with_welchs_test_and_adjusts_for_the_number_of_arms():
    arms = {"split": times(1, 20), "upload": times(2, 25, 0.33, 0.3), "edge": times(3, 20, 0.31)}
    rows = {row.arm: row for row in comparison_table(arms, "split")}
    theirs = scipy.stats.ttest_ind(arms["upload"], arms["split"], equal_var=False)
    upload = rows["upload"]
    assert (upload.t, upload.p, upload.df) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df))
    assert upload.p <= upload.p_holm <= min(1.0, 2 * upload.p)
    assert upload.mean == pytest.approx(statistics.fmean(arms["upload"]))
    assert upload.sd == pytest.approx(statistics.stdev(arms["upload"]))
    assert rows["split"].t is None
    assert rows["split"].p_holm is None


def test_cohens_d_is_the_difference_in_pooled_deviations():
    rows = comparison_table({"a": [1.0, 2.0, 3.0], "b": [3.0, 4.0, 5.0]}, "a")
    assert rows[1].cohens_d == pytest.approx(2.0)


@pytest.mark.parametrize("arm", [[0.3], [0.2, 0.2, 0.2]])
def test_arms_without_spread_are_described_and_not_tested(arm):
    row = comparison_table({"a": [0.2, 0.2], "b": arm}, "a")[1]
    assert (row.t, row.df, row.p, row.p_holm, row.cohens_d) == (None,) * 5
    assert row.sd == (None if len(arm) == 1 else 0.0)


def test_constants_that_differ_by_rounding_alone_are_constants():
    tenths = [0.1 + 0.2, 0.3, 0.3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = comparison_table({"a": [0.4, 0.4, 0.4], "b": tenths}, "a")[1]
    assert row.p is None


def test_an_unknown_reference_is_refused():
    with pytest.raises(KeyError):
        comparison_table({"a": [1.0]}, "b")


def test_variance_analysis_agrees_with_scipy():
    arms = {"a": times(1, 20), "b": times(2, 20, 0.4), "c": times(3, 15)}
    found = anova(arms)
    assert (found.f, found.p) == pytest.approx(tuple(scipy.stats.f_oneway(*arms.values())))
    assert (found.kruskal_h, found.kruskal_p) == pytest.approx(tuple(scipy.stats.kruskal(*arms.values())))
    assert (found.df_between, found.df_within) == (2, 52)


@pytest.mark.parametrize("arms", [{"a": [1.0, 2.0]}, {"a": [1.0], "b": [1.0]}, {"a": [1.0] * 3, "b": [1.0] * 3}])
def test_variance_analysis_says_nothing_where_there_is_nothing(arms):
    found = anova(arms)
    assert (found.f, found.p, found.kruskal_h, found.kruskal_p) == (None, None, None, None)


def test_holms_adjustment_steps_down_and_never_falls():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06], nan_ok=False)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
