"""Inputs to calibrate with: from the user's directory, or the few radiographs that the package carries. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_models.calibration.leaves import dead_leaves
from suture_models.manifest import NetworkSpec
from suture_models.preprocess import preprocess
from suture_models.walk import find_inputs, group_series, read_file, read_series
from suture_protocol.errors import InputRefused, UsageError

#: More change the ranges little and cost time in every engine's quantiser.
MAX_INPUTS = 64
_SYNTHETIC = 8
_LEAVES = 32
_VARIED = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Inputs of a network's input shape and dtype; `origin` says for the manifest where they came from."""

    inputs: tuple[NDArray[Any], ...]
    origin: str


def quantising_inputs(
    spec: NetworkSpec, folder: Path | None, refused: Callable[[InputRefused], None] = lambda _error: None
) -> Calibration:
    """Inputs to quantise `spec`'s network with: as `calibration_inputs`, and synthetic ones if it is trained on colour.

    The package's radiographs are grey and leave colour unseen; with these each channel takes its whole range. Not with
    random weights: activations of an untrained EfficientNet-B0 grow a thousandfold on such pictures, and ranges that
    hold those leave nothing for its other inputs. A user's own folder is used as it is.

    Raises:
        UsageError: `folder` has no usable file.
    """
    found = calibration_inputs(spec, folder, refused)
    colour = spec.kind == "image" and spec.preprocess.channels == 3 and spec.input.dtype == "uint8"
    if folder is not None or not colour or spec.weights != "trained":
        return found
    height, width = spec.input.shape[-2:]
    drawn = (dead_leaves((height, width), seed=seed) for seed in range(_LEAVES))
    leaves = tuple(np.ascontiguousarray(picture.transpose(2, 0, 1)[np.newaxis]) for picture in drawn)
    origin = f"{found.origin} and {_LEAVES} synthetic colour pictures (dead leaves, seeds 0 to {_LEAVES - 1})"
    return Calibration(inputs=found.inputs + leaves, origin=origin)


def varied_inputs(spec: NetworkSpec) -> tuple[NDArray[Any], ...]:
    """Synthetic pictures for what is trained on codes and must hold for pictures of other kinds too; else none.

    They are others than those that `quantising_inputs` adds.
    """
    if spec.kind != "image" or spec.input.dtype != "uint8" or spec.preprocess.channels not in (1, 3):
        return ()
    height, width = spec.input.shape[-2:]
    drawn = (dead_leaves((height, width), seed=_LEAVES + seed) for seed in range(_VARIED))
    # A single plane of a picture in colour is one in grey.
    return tuple(
        np.ascontiguousarray(picture.transpose(2, 0, 1)[np.newaxis, : spec.preprocess.channels]) for picture in drawn
    )


def calibration_inputs(
    spec: NetworkSpec, folder: Path | None, refused: Callable[[InputRefused], None] = lambda _error: None
) -> Calibration:
    """Inputs that `spec`'s network takes: `folder`'s, else the package's radiographs, else seeded noise.

    At most `MAX_INPUTS` are used, spread evenly over the folder. `refused` is told of each file that cannot be used.

    Raises:
        UsageError: `folder` has no usable file.
    """
    if folder is None and spec.kind != "image":
        return Calibration(inputs=_synthetic(spec), origin="synthetic noise, seed 0")
    source = Path(__file__).parent if folder is None else folder
    found = _volumes(spec, source, refused) if spec.kind == "volume" else _files(spec, source, refused)
    if not found:
        raise UsageError(f"--calibration {source}: no file there can be used as input of {spec.name}")
    origin = "the package's 32 chest radiographs" if folder is None else f"{len(found)} of the user's inputs"
    return Calibration(inputs=tuple(found), origin=origin)


def _files(spec: NetworkSpec, folder: Path, refused: Callable[[InputRefused], None]) -> list[NDArray[Any]]:
    paths = [p for p in find_inputs([folder]) if p.suffix not in {".py", ".md", ".pyc", ".csv"}]
    found = []
    for path in _spread(paths):
        try:
            found.append(preprocess(read_file(path), spec))
        except InputRefused as error:
            refused(error)
    return found


def _volumes(spec: NetworkSpec, folder: Path, refused: Callable[[InputRefused], None]) -> list[NDArray[Any]]:
    found = []
    for series in _spread(list(group_series(find_inputs([folder])))):
        if isinstance(series, InputRefused):
            refused(series)
            continue
        try:
            found.append(preprocess(read_series(series), spec))
        except InputRefused as error:
            refused(error)
    return found


def _spread(items: list[Any]) -> list[Any]:
    if len(items) <= MAX_INPUTS:
        return items
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, MAX_INPUTS)]


def _synthetic(spec: NetworkSpec) -> tuple[NDArray[Any], ...]:
    generator = np.random.default_rng(0)
    if spec.input.dtype == "float32":
        draws = (generator.normal(size=spec.input.shape).astype(np.float32) for _ in range(_SYNTHETIC))
        return tuple(draws)
    top = np.iinfo(np.dtype(spec.input.dtype)).max
    drawn = (generator.integers(0, top, spec.input.shape, endpoint=True) for _ in range(_SYNTHETIC))
    return tuple(array.astype(spec.input.dtype) for array in drawn)
