"""The reference coders: they code for real, take every shape, and their tables are worth something."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from suture_simulators.experiments.codec_offer import boundary_entropy_bytes
from suture_simulators.experiments.codec_references import (
    JPEG_LS,
    PNG,
    RANGE_CODER,
    ZSTD,
    CodeReferences,
    of_the_input,
    tiled_jpeg_ls_bytes,
)

pytest.importorskip("imagecodecs", reason="needs the experiments' libraries: pip install 'suture[experiment]'")
pytest.importorskip("constriction", reason="needs the experiments' libraries: pip install 'suture[experiment]'")

CHANNELS = 24


def skewed(seed: int, shape: tuple[int, ...] = (1, CHANNELS, 14, 14)) -> NDArray[np.uint8]:
    """Codes whose channels differ: each has a middle and a spread of its own."""
    generator = np.random.default_rng(seed)
    middles = np.linspace(10, 240, shape[1]).reshape(1, -1, *(1 for _ in shape[2:]))
    spreads = np.linspace(1, 12, shape[1]).reshape(middles.shape)
    return np.clip(generator.normal(middles, spreads, size=shape), 0, 255).astype(np.uint8)


def ideal_bytes(codes: NDArray[np.uint8]) -> float:
    """By each channel's own histogram."""
    return sum(boundary_entropy_bytes((np.ascontiguousarray(codes[:, channel]),)) for channel in range(codes.shape[1]))


def test_trained_tables_come_near_each_channels_own_entropy() -> None:
    references = CodeReferences([(skewed(seed),) for seed in range(32)])
    codes = skewed(99)
    found = references.sizes((codes,))
    assert found.keys() == {ZSTD, JPEG_LS, RANGE_CODER}
    assert ideal_bytes(codes) < found[RANGE_CODER] < 1.25 * ideal_bytes(codes)
    assert found[RANGE_CODER] < 0.8 * found[ZSTD]


def test_tables_of_other_channels_are_worth_less() -> None:
    codes = skewed(99)
    right = CodeReferences([(skewed(seed),) for seed in range(8)]).sizes((codes,))
    wrong = CodeReferences([(skewed(seed)[:, ::-1],) for seed in range(8)]).sizes((codes,))
    assert wrong[RANGE_CODER] > 1.2 * right[RANGE_CODER]


def test_a_code_that_training_never_saw_can_still_be_coded() -> None:
    references = CodeReferences([(np.zeros((1, CHANNELS, 7, 7), np.uint8),)])
    assert references.sizes((np.full((1, CHANNELS, 7, 7), 255, np.uint8),))[RANGE_CODER] > 0


@pytest.mark.parametrize("shape", [(1, 17, 9, 9), (1, 1, 5, 5), (1, 320, 1, 1), (1, 40, 12), (1, 512), (1, 3, 2, 2)])
def test_every_shape_is_taken(shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert all(size > 0 for size in CodeReferences([(codes,)]).sizes((codes,)).values())


def test_channels_that_are_alike_in_space_are_worth_tiling() -> None:
    rows, columns = np.mgrid[0:32, 0:32]
    smooth = np.stack([(rows * (1 + n % 3) + columns * 2 + 5 * n) % 256 for n in range(16)])[np.newaxis]
    codes = smooth.astype(np.uint8)
    assert tiled_jpeg_ls_bytes(codes) < 0.5 * boundary_entropy_bytes((codes,))


def test_two_tensors_are_coded_one_after_the_other() -> None:
    one, other = skewed(1), skewed(2, (1, 8, 7, 7))
    both = CodeReferences([(skewed(seed), skewed(seed, (1, 8, 7, 7))) for seed in range(5, 9)]).sizes((one, other))
    alone = CodeReferences([(skewed(seed),) for seed in range(5, 9)]).sizes((one,))
    assert all(both[name] > alone[name] for name in both)


def test_the_input_is_held_against_png_where_it_is_a_picture() -> None:
    picture = np.tile(np.arange(64, dtype=np.uint8), (64, 1))[np.newaxis, np.newaxis]
    assert of_the_input(picture).keys() == {ZSTD, PNG}
    assert of_the_input(picture.astype(np.uint16)).keys() == {ZSTD}


def test_entropy_is_that_of_the_histogram() -> None:
    assert boundary_entropy_bytes((np.zeros((1, 4, 5, 5), np.uint8),)) == 0
    assert boundary_entropy_bytes((np.arange(256, dtype=np.uint8),)) == pytest.approx(256)
    assert boundary_entropy_bytes((np.array([0, 1] * 40, np.uint8), np.zeros(9, np.uint8))) == pytest.approx(10)
