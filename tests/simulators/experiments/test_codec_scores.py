"""The codec experiment's figures, from sizes, times and answers made up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from suture_simulators.experiments.codec_report import sections, table
from suture_simulators.experiments.codec_scores import figures
from suture_simulators.experiments.codec_ways import all_ways, bottleneck_point, narrow_points
from suture_simulators.experiments.page import Text
from tests.simulators.experiments.codec_made import Measured, answers, results, sized

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


def whole(**pictures: tuple[list[int], list[float]]) -> Measured:
    """The answers at the input: the float network's, and those of some pictures, their names with `_` for a space."""
    named = {name.replace("_", " "): found for name, found in pictures.items()}
    return answers("0", {"float network": (bytes_of(50_000), MARGINS), **named}, truth=TRUTH)


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
    made = results(whole(), answers("relu", ways))
    (point,) = narrow_points(all_ways(made))
    assert point.spec == "narrow@2"  # the first that is 12 times smaller than 80,000 bytes
    found = figures(made)
    assert found["narrow_ratio_vs_float32"] == pytest.approx(80 / 6)
    assert found["narrow_auc_loss"] > 5


def test_where_none_is_so_small_the_smallest_counts() -> None:
    ways = {"narrow@1": (bytes_of(20_000), MARGINS), "narrow@2": (bytes_of(10_000), MARGINS)}
    assert figures(results(whole(), answers("relu", ways)))["narrow_ratio_vs_float32"] == pytest.approx(8)


def test_a_picture_needs_the_fewest_bytes_whose_auc_is_no_worse() -> None:
    pictures = whole(
        jpeg_q1=(bytes_of(600), FLAT),
        jpeg_q5=(bytes_of(900), worse(6)),
        jpeg_q20=(bytes_of(2_000), worse(2)),
        jpeg_q95=(bytes_of(12_000), MARGINS),
        half_jpeg_q50=(bytes_of(1_500), worse(2)),
        webp_q0=(bytes_of(500), FLAT),
    )
    found = figures(results(pictures, answers("relu", {"narrow@2": (bytes_of(6_000), worse(4))})))
    assert found["jpeg_same_auc_bytes_median"] == 2_000
    assert found["picture_same_auc_bytes_median"] == 1_500


def test_a_bottleneck_is_held_against_the_network_that_it_was_made_for() -> None:
    codes = {"zstd": (bytes_of(1_450), worse(4)), "lossless-small": (bytes_of(1_300), worse(4))}
    made = results(
        sized("deep", {"zstd": ([9_000], 1e-4, 1e-4)}),
        whole(jpeg_q5=(bytes_of(900), FLAT), jpeg_q20=(bytes_of(2_000), MARGINS)),
        answers("relu", {"narrow@2": (bytes_of(6_000), worse(8))}),
        sized("round", {"zstd": ([1_450], 1e-4, 1e-4)}, network="squeezed", base="tiny", head_vs_base=1.25),
        answers("round", codes, network="squeezed", base="tiny"),
    )
    found = figures(made)
    assert found["bottleneck_bytes_median"] == 1_300
    assert found["bottleneck_head_ratio"] == pytest.approx(1.25)
    point = bottleneck_point(all_ways(made))
    assert point is not None
    assert point.loss is not None
    assert found["bottleneck_auc_loss"] == point.loss.value > 5
    assert found["jpeg_same_auc_bytes_median"] == 2_000
    (lead,) = (block.text for block in sections(made)[0].blocks if isinstance(block, Text) and block.lead)
    assert "squeezed" in lead
    assert "Of pictures with no more bytes the best is jpeg q5" in lead


def test_of_several_bottlenecks_the_one_that_uses_its_bytes_counts() -> None:
    sizes = {"wide": 2_200, "fits": 1_400, "tight": 700}
    made = results(
        whole(),
        *(answers("round", {"zstd": (bytes_of(size), MARGINS)}, network=n, base="tiny") for n, size in sizes.items()),
    )
    assert figures(made)["bottleneck_bytes_median"] == 1_400
    only_wide = results(whole(), answers("round", {"zstd": (bytes_of(2_200), MARGINS)}, network="wide", base="tiny"))
    assert figures(only_wide)["bottleneck_bytes_median"] == 2_200


def test_a_bottleneck_is_in_no_figure_of_the_lossless_codecs() -> None:
    bad = sized("round", {"lossless-small": ([300], 1e-4, 1e-4)}, base="tiny", references={"zstd-19": [100]})
    good = sized("relu", {"lossless-small": ([99], 1e-4, 1e-4)}, references={"zstd-19": [100]})
    assert figures(results(good, bad))["lossless_small_vs_best_max"] == pytest.approx(0.99)


def test_random_weights_count_in_no_narrow_figure_where_others_were_measured() -> None:
    named = {"tiny": {"weights": "trained"}, "drawn": {"weights": "random"}}
    ways = {"narrow@1": (bytes_of(6_000), MARGINS)}
    drawn = answers("0", {"float network": (bytes_of(50_000), MARGINS)}, network="drawn", truth=TRUTH)
    bad = answers("relu", {"narrow@1": (bytes_of(40_000), worse(8))}, network="drawn")
    made = results(whole(), answers("relu", ways), drawn, bad)
    assert figures(made)["narrow_ratio_vs_float32"] == pytest.approx(2)
    found = figures(dataclasses.replace(made, facts={**made.facts, "networks": named}))
    assert found["narrow_ratio_vs_float32"] == pytest.approx(80 / 6)
    assert found["narrow_auc_loss"] == 0
    only = dataclasses.replace(results(drawn, bad), facts={"networks": named})
    assert figures(only)["narrow_ratio_vs_float32"] == pytest.approx(2)


def test_losses_are_paired_with_the_float_network_on_the_same_images() -> None:
    made = results(
        whole(jpeg_q1=(bytes_of(600), FLAT)),
        answers("relu", {"zstd@4": (bytes_of(6_000), [3 * margin for margin in MARGINS])}),
    )
    plain, blind, narrowed = all_ways(made)
    assert plain.auc is not None
    assert blind.loss is not None
    assert narrowed.loss is not None
    assert plain.auc.value == pytest.approx(1 - (2 / 20) * (2 / 20) - (2 / 20) * (18 / 20))
    assert blind.loss.value == pytest.approx(100 * (plain.auc.value - 0.5))
    assert (narrowed.loss.value, narrowed.loss.low, narrowed.loss.high) == (0, 0, 0)
    against = blind.loss_against(narrowed)
    assert against is not None
    assert against.value == pytest.approx(blind.loss.value)


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
    ways = {"zstd": (bytes_of(9_000), MARGINS), "zstd@4": (bytes_of(4_000), worse(1))}
    everything = [*cuts, whole(jpeg_q1=(bytes_of(600), FLAT)), answers("relu_1", ways)]
    for count in (0, 1, 2, len(cuts), len(cuts) + 1, len(everything)):
        made = results(*everything[:count])
        head, rows = table(made)
        assert {len(row) for row in rows} <= {len(head)}
        assert sections(made)
    titles = [section.title for section in sections(results(*everything))]
    assert [title.partition(": ")[2] for title in titles[:-1]] == ["answers", "sizes", "times", "the earlier result"]
