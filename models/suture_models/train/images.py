"""Labelled radiographs from a folder: `SPLIT/LABEL/*.jpeg`, the layout in which the Kermany set is published.

Axes: N image, C channel (1), H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from suture_models.intake import read_input
from suture_models.manifest import NetworkSpec
from suture_models.preprocess import preprocess
from suture_models.train.patients import patient_of
from suture_protocol.errors import UsageError

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledImages:
    """One split in memory. `images_NCHW` is uint8; `labels_N` counts in the order of the spec's labels."""

    images_NCHW: Tensor
    labels_N: Tensor
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.patients)


def read_split(data: Path, split: Split, spec: NetworkSpec) -> LabelledImages:
    """Reads `data/split/LABEL/*` into what a network of `spec` takes, in the order of its labels and of file names.

    The files go the same way as at inference (`read_input`, `preprocess`). Folder names are matched in any case.

    Raises:
        UsageError: the folder of the split or of a label is missing or empty.
        InputRefused: a file in it cannot be read as an image.
    """
    found = {path.name.lower(): path for path in _visible(data / split) if path.is_dir()}
    files: list[tuple[int, Path]] = []
    for index, label in enumerate(spec.labels):
        members = _visible(found[label]) if label in found else []
        if not members:
            layout = f"{{train,val,test}}/{{{','.join(name.upper() for name in spec.labels)}}}"
            raise UsageError(f"no images in {data / split / label.upper()}; --data has to hold {layout}")
        files += [(index, path) for path in members]
    images = [preprocess(read_input(path.read_bytes(), str(path)), spec) for _, path in files]
    return LabelledImages(
        images_NCHW=torch.from_numpy(np.concatenate(images)),
        labels_N=torch.tensor([index for index, _ in files]),
        patients=tuple(patient_of(path.stem) for _, path in files),
    )


def _visible(directory: Path) -> list[Path]:
    inside = directory.iterdir() if directory.is_dir() else iter(())
    return sorted(path for path in inside if not path.name.startswith("."))
