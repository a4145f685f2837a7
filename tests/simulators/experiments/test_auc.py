"""AUC and its loss: against another implementation, paired, by whole patients."""

from __future__ import annotations

import numpy as np
import pytest

from suture_simulators.experiments.auc import Resampled, drawn_weights, share_interval

IMAGES = 120
EACH = [f"patient {n}" for n in range(IMAGES)]


def labelled(seed: int = 3) -> tuple[list[int], list[float]]:
    """Labels and scores that tell most of them apart, with ties."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, IMAGES)
    scores = np.round(truth + generator.normal(scale=0.8, size=IMAGES), 1)
    return truth.tolist(), scores.tolist()


def test_it_is_the_area_that_scikit_learn_finds_ties_included() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, scores = labelled()
    found = Resampled(truth, EACH, seed=1).auc(scores)
    assert found.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_scores_in_the_same_order_lose_nothing_and_surely_so() -> None:
    truth, scores = labelled()
    loss = Resampled(truth, EACH, seed=1).loss_points(scores, [3 * score - 1 for score in scores])
    assert (loss.value, loss.low, loss.high) == (0, 0, 0)


def test_what_is_worse_loses_and_what_is_better_gains() -> None:
    truth, scores = labelled()
    resampled = Resampled(truth, EACH, seed=1)
    worse = [score if place % 2 else 0.5 for place, score in enumerate(scores)]
    lost = resampled.loss_points(scores, worse)
    assert lost.value == pytest.approx(100 * (resampled.auc(scores).value - resampled.auc(worse).value))
    assert lost.value > 1
    assert lost.excludes(0)
    assert resampled.loss_points(worse, scores).value == pytest.approx(-lost.value)


def test_ways_are_compared_on_the_same_resamples() -> None:
    truth, scores = labelled()
    resampled = Resampled(truth, EACH, seed=1)
    noise = np.random.default_rng(5).normal(scale=0.01, size=IMAGES)
    loss, auc = resampled.loss_points(scores, list(scores + noise)), resampled.auc(scores)
    assert (loss.high or 0) - (loss.low or 0) < 100 * ((auc.high or 0) - (auc.low or 0)) / 3


def test_images_of_one_patient_are_drawn_together_and_make_the_interval_wider() -> None:
    truth, scores = labelled()
    order = np.argsort(truth, kind="stable")
    truth, scores = np.asarray(truth)[order].tolist(), np.asarray(scores)[order].tolist()
    groups = [f"patient {place // 10}" for place in range(IMAGES)]
    weights = drawn_weights(groups, seed=1, resamples=50)
    assert all(np.array_equal(weights[:, place], weights[:, place // 10 * 10]) for place in range(IMAGES))
    # Ten copies of an image are worth one.
    copied = [scores[place // 10 * 10] for place in range(IMAGES)]
    alone, together = (Resampled(truth, patients, seed=1).auc(copied) for patients in (EACH, groups))
    assert together.value == alone.value
    assert (together.high or 0) - (together.low or 0) > 1.5 * ((alone.high or 0) - (alone.low or 0))


def test_intervals_hold_what_they_promise() -> None:
    """Of 60 drawn sets about 57 intervals hold the area of the distributions themselves; fewer would be wrong."""
    held = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = [0] * 60 + [1] * 60
        scores = [*generator.normal(0, 1, 60), *generator.normal(1, 1, 60)]
        found = Resampled(truth, EACH, seed=seed, resamples=400).auc(scores)
        held += (found.low or 0) <= 0.760250 <= (found.high or 0)  # Φ(1 / √2)
    assert held >= 52


def test_one_label_has_no_auc() -> None:
    with pytest.raises(ValueError, match="both labels"):
        Resampled([1] * IMAGES, EACH, seed=1)
    with pytest.raises(ValueError, match="whose"):
        Resampled([0, 1], EACH, seed=1)


def test_a_share_and_its_interval() -> None:
    found = share_interval([1.0] * 12 + [0.0] * 108, EACH, seed=1)
    assert found.value == pytest.approx(0.1)
    assert 0.03 < (found.low or 0) < 0.1 < (found.high or 0) < 0.18


def test_a_share_that_nothing_varies_has_the_exact_interval() -> None:
    patients = [str(image // 2) for image in range(120)]
    none, each = (share_interval([value] * 120, patients, seed=1) for value in (0.0, 1.0))
    assert (none.value, none.low) == (0.0, 0.0)
    # Were it more often than that, 60 patients without one would be a chance of less than 2.5 %.
    assert none.high is not None
    assert (1 - none.high) ** 60 == pytest.approx(0.025)
    assert (each.value, each.high) == (1.0, 1.0)
    assert each.low == pytest.approx(1 - none.high)
