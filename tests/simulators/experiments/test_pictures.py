"""Which image goes to which network, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suture_models.manifest import NetworkSpec, Preprocess, TensorSpec
from suture_models.preprocess import preprocess
from suture_protocol.errors import InputRefused, UsageError
from suture_simulators.experiments.pictures import Found, find_images, read_image, spread, suited
from suture_simulators.experiments.ways import Prepared, as_picture

GREY = NetworkSpec(
    name="grey",
    kind="image",
    input=TensorSpec(name="image", shape=(1, 1, 32, 32), dtype="uint8"),
    preprocess=Preprocess(size=(32, 32), channels=1),
    output="classes",
    labels=("a", "b"),
    weights="random",
)
COLOUR = replace(
    GREY,
    name="colour",
    input=TensorSpec(name="image", shape=(1, 3, 32, 32), dtype="uint8"),
    preprocess=Preprocess(size=(32, 32), channels=3),
)
VOLUME = replace(
    GREY,
    name="volume",
    kind="volume",
    input=TensorSpec(name="image", shape=(1, 1, 8, 16, 16), dtype="uint8"),
    preprocess=Preprocess(size=(8, 16, 16), channels=1, resize="stretch", window=(40.0, 80.0)),
)


def refuse(refusal: InputRefused) -> None:
    raise AssertionError(refusal)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A grey picture, the same stored as colour, a colourful one, and a volume."""
    draw = np.random.default_rng(1)
    grey = draw.integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "stored_as_colour.png")
    Image.fromarray(draw.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    np.save(tmp_path / "volume.npy", draw.normal(40, 30, (8, 20, 20)).astype(np.float32))
    return tmp_path


def names(found: tuple[Found, ...]) -> set[str]:
    return {one.name for one in found}


def test_each_network_is_given_the_images_of_its_kind_and_channels(folder: Path) -> None:
    found = find_images(folder, refuse)
    assert names(suited(found, GREY, 5)) == {"grey", "stored_as_colour"}
    assert names(suited(found, COLOUR, 5)) == {"colour"}
    assert names(suited(found, VOLUME, 5)) == {"volume"}
    assert len(suited(found, GREY, 1)) == 1


def test_a_series_is_a_volume_to_networks_that_take_one_and_slices_to_others() -> None:
    data = os.environ.get("SUTURE_DATA")
    if data is None:
        pytest.skip("SUTURE_DATA names no folder with dicom/ct_head_series")
    chosen = Path(data) / "dicom" / "ct_head_series"
    assert [one.kind for one in find_images(chosen, refuse)] == ["volume"]
    found = find_images(chosen, refuse, limit=40, volumes=False)
    assert [one.path for one in found] == sorted(chosen.iterdir())
    assert len(suited(found, GREY, 40)) == len(found) == 30


def test_a_colour_network_takes_grey_images_where_there_are_no_others(folder: Path) -> None:
    assert names(suited(find_images(folder / "grey.png", refuse), COLOUR, 5)) == {"grey"}


def test_a_network_that_takes_nothing_of_what_there_is_is_refused_with_what_it_takes(folder: Path) -> None:
    found = find_images(folder / "grey.png", refuse)
    with pytest.raises(UsageError, match=r"volume takes a volume.*grey\.png \(an image\)"):
        suited(found, VOLUME, 5)


def test_a_file_that_is_no_image_is_left_out_and_told_of(folder: Path) -> None:
    (folder / "MANIFEST.csv").write_text("file,label\n")
    told: list[InputRefused] = []
    assert len(find_images(folder, told.append)) == 4
    assert "MANIFEST.csv" in str(told[0])
    with pytest.raises(UsageError, match="no image that can be read"):
        find_images(folder / "MANIFEST.csv", told.append)
    with pytest.raises(UsageError, match="no such file"):
        find_images(folder / "missing", told.append)


@pytest.mark.parametrize(("spec", "name"), [(GREY, "grey"), (COLOUR, "colour"), (VOLUME, "volume")])
def test_a_prepared_input_stays_as_it_is_when_the_unit_preprocesses_it(
    folder: Path, spec: NetworkSpec, name: str
) -> None:
    path = next(folder.glob(f"{name}.*"))
    image = preprocess(read_image(path), spec)
    study = Prepared(name=name, file=b"", image=image, read_s=0.0, preprocess_s=0.0)
    assert np.array_equal(preprocess(as_picture(study, spec), spec), image)


@pytest.mark.parametrize(("count", "limit", "wanted"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (100, 2, [0, 99])])
def test_what_is_spread_reaches_from_the_first_to_the_last(count: int, limit: int, wanted: list[int]) -> None:
    assert spread(range(count), limit) == wanted
