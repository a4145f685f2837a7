"""The codec experiment's figures, from sizes, times and answers made up."""

from __future__ import annotations

import numpy as np
import pytest

from suture_simulators.experiments.codec_report import sections, table
from suture_simulators.experiments.codec_scores import answered, figures, narrow_points
from tests.simulators.experiments.codec_made import answers, results, sized

IMAGES = 40
TRUTH = [place % 2 for place in range(IMAGES)]
#: Tells the labels apart but for two pairs of images.
MARGINS = [*(float(label) for label in TRUTH[:-4]), 1.0, 0.0, 1.0, 0.0]
#: Knows nothing.
FLAT = [0.0] * IMAGES


def bytes_of(size: int) -> list[int]:
    return [size] * IMAGES


def worse(by: int) -> list[float]:
    """The margins with so many more images wrong."""
    found = list(MARGINS)
    for place in range(by):
        found[place] = 1.0 - found[place]
    return found


def test_the_small_mode_is_held_against_each_images_smallest_reference_and_the_worst_cut_counts() -> None:
    references = {"zstd-19": [100, 200], "JPEG-LS": [200, 100]}
    made = results(
        sized("good", {"lossless-small": ([90, 90], 0.001, 0.001)}, references=references, entropy=100),
        sized("bad", {"lossless-small": ([102, 104], 0.001, 0.001)}, references=references, entropy=100),
        sized("0", {"jpegls": ([10, 10], 0.001, 0.001)}, references={"PNG": [1, 1]}),
    )
    found = figures(made)
    assert found["lossless_small_vs_best_max"] == pytest.approx(1.03)
    assert found["lossless_small_vs_entropy_median"] == pytest.approx((0.9 + 1.03) / 2)


def test_the_fast_mode_is_judged_by_code_in_large_tensors_and_by_time_in_small_ones() -> None:
    made = results(
        sized("wide", {"lossless-fast": ([101], 1e-4, 2e-4)}, codes=100_000, entropy=100),
        sized("edge", {"lossless-fast": ([104], 4e-5, 4e-5)}, codes=16_000, entropy=100),
        sized("deep", {"lossless-fast": ([120], 3e-5, 5e-5)}, codes=15_999, entropy=100),
    )
    found = figures(made)
    assert found["lossless_fast_vs_entropy_max"] == pytest.approx(1.04)
    assert found["lossless_fast_ns_per_code_max"] == pytest.approx(5.0)
    assert found["lossless_fast_small_tensor_s_max"] == pytest.approx(8e-5)


def test_what_no_bundle_offers_is_in_no_figure() -> None:
    found = figures(results(sized("relu", {"zstd": ([100], 1e-3, 1e-3)}, references={"zstd-19": [90]})))
    assert found == {"lossless_inexact": 0}


def test_a_lossless_codec_that_changes_something_is_counted() -> None:
    made = results(sized("relu", {"zstd": ([100, 100], 1e-3, 1e-3)}, inexact=["zstd"]))
    assert figures(made)["lossless_inexact"] == 2


def test_narrow_points_are_chosen_by_size_and_never_by_their_luck() -> None:
    ways = {
        "lossless-small": (bytes_of(20_000), MARGINS),
        "narrow@1": (bytes_of(8_000), MARGINS),
        "narrow@2": (bytes_of(6_000), worse(4)),
        "narrow@3": (bytes_of(3_000), MARGINS),
    }
    whole = ("float network", (bytes_of(50_000), MARGINS))
    made = results(answers("0", dict([whole]), truth=TRUTH), answers("relu", ways))
    (point,) = narrow_points(answered(made))
    assert point.spec == "narrow@2"  # the first that is 12 times smaller than 80,000 bytes
    found = figures(made)
    assert found["narrow_ratio_vs_float32"] == pytest.approx(80 / 6)
    assert found["narrow_auc_loss"] > 5


def test_where_none_is_so_small_the_smallest_counts() -> None:
    ways = {"narrow@1": (bytes_of(20_000), MARGINS), "narrow@2": (bytes_of(10_000), MARGINS)}
    made = results(answers("0", {"float network": (bytes_of(50_000), MARGINS)}, truth=TRUTH), answers("relu", ways))
    assert figures(made)["narrow_ratio_vs_float32"] == pytest.approx(8)


def test_jpeg_needs_the_fewest_bytes_whose_auc_is_no_worse() -> None:
    pictures = {
        "float network": (bytes_of(50_000), MARGINS),
        "jpeg q1": (bytes_of(600), FLAT),
        "jpeg q5": (bytes_of(900), worse(6)),
        "jpeg q20": (bytes_of(2_000), worse(2)),
        "jpeg q95": (bytes_of(12_000), MARGINS),
        "webp q0": (bytes_of(500), MARGINS),
    }
    made = results(answers("0", pictures, truth=TRUTH), answers("relu", {"narrow@2": (bytes_of(6_000), worse(4))}))
    assert figures(made)["jpeg_same_auc_bytes_median"] == 2_000


def test_losses_are_paired_with_the_float_network_on_the_same_images() -> None:
    made = results(
        answers("0", {"float network": (bytes_of(50_000), MARGINS), "jpeg q1": (bytes_of(600), FLAT)}, truth=TRUTH),
        answers("relu", {"zstd@4": (bytes_of(6_000), [3 * margin for margin in MARGINS])}),
    )
    whole, blind, narrowed = answered(made)
    assert whole.auc is not None
    assert blind.loss is not None
    assert narrowed.loss is not None
    assert whole.auc.value == pytest.approx(1 - (2 / 20) * (2 / 20) - (2 / 20) * (18 / 20))
    assert blind.loss.value == pytest.approx(100 * (whole.auc.value - 0.5))
    assert (narrowed.loss.value, narrowed.loss.low, narrowed.loss.high) == (0, 0, 0)


def test_without_labels_the_share_of_changed_answers_is_what_counts() -> None:
    other = {"narrow@2": list(np.repeat([1.0, 0.0], [4, IMAGES - 4]))}
    made = results(
        answers("0", {"float network": (bytes_of(50_000), MARGINS)}),
        answers("relu", {"narrow@2": (bytes_of(6_000), MARGINS)}, changed=other),
    )
    found = figures(made)
    assert found["narrow_agreement"] == pytest.approx(0.9)
    assert "narrow_auc_loss" not in found
    assert "jpeg_same_auc_bytes_median" not in found


def test_what_was_measured_is_told_even_of_half_a_run() -> None:
    codecs = {"raw": ([20_000, 20_000], 1e-5, 1e-5), "zstd": ([9_000, 9_500], 1e-3, 1e-3)}
    cuts = [sized("0", {"jpegls": ([8_000, 8_000], 1e-3, 1e-3), "jpeg": ([2_000, 2_100], 1e-3, 1e-3)}, codes=50_176)]
    cuts += [sized(f"relu_{n}", codecs, references={"zstd-19": [8_900, 9_400]}) for n in range(3)]
    pictures = {"float network": (bytes_of(50_000), MARGINS), "jpeg q1": (bytes_of(600), FLAT)}
    ways = {"zstd": (bytes_of(9_000), MARGINS), "zstd@4": (bytes_of(4_000), worse(1))}
    everything = [*cuts, answers("0", pictures, truth=TRUTH), answers("relu_1", ways)]
    for count in range(len(everything) + 1):
        made = results(*everything[:count])
        head, rows = table(made)
        assert {len(row) for row in rows} <= {len(head)}
        assert sections(made)
    titles = [section.title for section in sections(results(*everything))]
    assert [title.partition(": ")[2] for title in titles[:-1]] == [
        "answers against bytes", "sizes", "time of coding", "the earlier result",
    ]  # fmt: skip
