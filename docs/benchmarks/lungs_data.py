"""Radiographs with lung masks, as the benchmarks read them: `lungseg_256/` with images/, masks/ and MANIFEST.csv.

They are public without an explicit licence: neither they nor what is trained on them is part of this repository.
Axes: N image, C channels (1), H height, W width.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from suture_models.manifest import NetworkSpec
from suture_models.preprocess import preprocess
from suture_models.walk import read_file

_FOLDER = "lungseg_256"


@dataclass(frozen=True, kw_only=True, slots=True)
class LungImages:
    """One split. Each image is (1, 1, H, W) uint8 as the network takes it; `masks_NHW` is True where lung is."""

    paths: tuple[Path, ...]
    images: tuple[NDArray[Any], ...]
    masks_NHW: NDArray[np.bool_]


def read_lungs(data: Path, split: str, spec: NetworkSpec, limit: int = 0) -> LungImages:
    """The images and masks of `split` in the manifest's order; with `limit` about so many, spread evenly."""
    folder = data / _FOLDER
    with (folder / "MANIFEST.csv").open(encoding="utf-8") as stream:
        names = [row["file"] for row in csv.DictReader(stream) if row["split"] == split]
    names = names[:: max(len(names) // limit, 1)] if limit else names
    paths = tuple(folder / "images" / name for name in names)
    masks = [np.asarray(Image.open(folder / "masks" / name).convert("L")) > 0 for name in names]
    images = tuple(preprocess(read_file(path), spec) for path in paths)
    return LungImages(paths=paths, images=images, masks_NHW=np.stack(masks))


def dice(found_HW: NDArray[np.bool_], wanted_HW: NDArray[np.bool_]) -> float:
    """Dice coefficient of two masks; 1 where both are empty."""
    both = int(found_HW.sum()) + int(wanted_HW.sum())
    return 2 * int((found_HW & wanted_HW).sum()) / both if both else 1.0
