"""Masks beside the results that name them: each input's its own, whatever folder the input lies in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from suture_edge.agent import Agent
from suture_edge.folder import Inbox, ResultFolder
from suture_edge.heads import Heads
from suture_edge.outputs import readable
from suture_edge.unit import Unit, UnitSettings
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import Cut, TensorSpec, Variant
from tests.cloud.harness import SIDE, write_bundle

MASK = TensorSpec(name="mask", shape=(1, 1, SIDE, SIDE), dtype="float32")


class WhiteHead:
    """A network whose mask is what is white."""

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return (image.astype(np.float32) / 255,)

    def layer_times_s(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


class WhiteEngine:
    name = "numpy"

    def version(self) -> str:
        return "1"

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> WhiteHead:
        return WhiteHead()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = write_bundle(tmp_path / "bundle")
    manifest = replace(
        made.manifest,
        network=replace(made.manifest.network, output="mask", labels=("white",)),
        graph=(*made.manifest.graph[:2], replace(made.manifest.graph[2], name="mask", shape=MASK.shape)),
        outputs=(MASK,),
        cuts=(*made.manifest.cuts[:-1], replace(made.manifest.cuts[-1], boundary=(MASK,))),
    )
    (made.path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return open_bundle(made.path)


@pytest.fixture
def unit(bundle: Bundle, tmp_path: Path) -> Iterator[Unit]:
    heads = Heads(bundle, WhiteEngine(), bundle.manifest.variants[0])
    made = Unit(heads, None, UnitSettings(out=tmp_path / "out"))
    yield made
    made.close()


def test_files_of_one_name_in_several_folders_have_masks_of_their_own(unit: Unit, tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    shares = {"A": 0.25, "B": 0.75}
    for folder, share in shares.items():
        picture = np.zeros((SIDE, SIDE), np.uint8)
        picture[: int(share * SIDE)] = 255
        (inbox / folder).mkdir(parents=True)
        Image.fromarray(picture).save(inbox / folder / "IM1.png")
    results = ResultFolder(out, inbox)
    try:
        Agent(unit, Inbox(inbox, 0.0), results, cut="last").run_once(0.0)
    finally:
        results.close()
    for folder, share in shares.items():
        told = json.loads((out / folder / "IM1.png.json").read_text(encoding="utf-8"))["outputs"]
        assert told["area_fraction"] == share
        with Image.open(told["mask"]) as mask:
            assert Path(told["mask"]).parent == out / folder
            assert np.asarray(mask).mean() == 255 * share


def test_a_mask_that_is_replaced_is_never_half_written(unit: Unit, tmp_path: Path) -> None:
    white, spec = {"mask": np.ones(MASK.shape, np.float32)}, unit.bundle.manifest.network
    first = Path(readable(white, spec, "a", tmp_path)["mask"])
    with first.open("rb") as reader:
        readable({"mask": np.zeros(MASK.shape, np.float32)}, spec, "a", tmp_path)
        # Who had it open still reads all of the one before.
        assert np.asarray(Image.open(reader)).min() == 255
    assert np.asarray(Image.open(first)).max() == 0
    assert [path.name for path in tmp_path.glob("a*")] == ["a_mask.png"]
    assert not list(tmp_path.glob(".a*"))
