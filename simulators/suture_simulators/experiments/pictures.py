"""The images of a run: what a folder holds, files and folders that are one DICOM series, and which network takes which.

A colour network is given the colour images where there are any, a grey one the grey; a volume is a folder with one
series in it, or an array. What a network cannot take is refused before anything starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from suture_models.manifest import InputKind, NetworkSpec
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_models.walk import Series, find_inputs, group_series, read_file, read_series
from suture_protocol.errors import InputRefused, UsageError

#: Fewer slices are taken for single images that happen to share a series.
_SLICES_MIN: Final = 4
#: So many of a folder's images are looked at, unless more are wanted.
_READ_MAX: Final = 24
#: Differences between the channels up to this are a grey image's, stored as colour and compressed.
_CHROMA_MIN: Final = 24
_KINDS: Final[Mapping[InputKind, str]] = {"image": "an image", "volume": "a volume", "signal": "a signal"}


_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One image of a run: where it lies (a folder for a series of slices) and what it is."""

    name: str
    path: Path
    kind: InputKind
    colour: bool


def read_image(path: Path) -> Picture:
    """Reads a file, or a folder that holds one DICOM series.

    Raises:
        InputRefused: it cannot be used; the reason says why.
    """
    if not path.is_dir():
        return read_file(path)
    return read_series(_only_series(path))


def find_images(
    chosen: Path, refused: Callable[[InputRefused], None], limit: int = 0, *, volumes: bool = True
) -> tuple[Found, ...]:
    """What `chosen` holds, each read once; a folder that is one series counts as a volume where those are wanted.

    Of a folder with more files than `limit`, or than are usually read, some spread evenly over it are read. `refused`
    is told of each that cannot be.

    Raises:
        UsageError: there is no such file or folder, or nothing in it can be read.
    """
    if not chosen.exists():
        raise UsageError(f"--images {chosen}: there is no such file or directory")
    found: dict[str, Found] = {}
    for path in spread(_sources(chosen, volumes=volumes), max(limit, _READ_MAX)):
        try:
            picture = read_image(path)
        except InputRefused as refusal:
            refused(refusal)
            continue
        name = _free_name(path.name if path.is_dir() else path.stem, found)
        found[name] = Found(name=name, path=path, kind=picture.kind, colour=is_colour(picture))
    if not found:
        raise UsageError(f"--images {chosen}: it holds no image that can be read")
    return tuple(found.values())


def suited(found: Sequence[Found], spec: NetworkSpec, limit: int) -> tuple[Found, ...]:
    """At most `limit` of the images that the network takes; those with as many channels as it has where there are any.

    Raises:
        UsageError: it takes none of them; says what it takes and what there is.
    """
    usable = [one for one in found if one.kind == spec.kind]
    if not usable:
        there = ", ".join(f"{one.path.name} ({_KINDS[one.kind]})" for one in found[:4])
        more = "" if len(found) <= 4 else f" and {len(found) - 4} more"
        raise UsageError(
            f"{spec.name} takes {_KINDS[spec.kind]}, and --images holds only {there}{more}; give a folder that has "
            "one as well (a volume is a folder with one DICOM series), or leave that network out"
        )
    wanted = [one for one in usable if one.colour == (spec.preprocess.channels == 3)]
    chosen = (wanted or usable)[:limit]
    for one in chosen:
        try:
            preprocess(read_image(one.path), spec)
        except InputRefused as refusal:
            raise UsageError(f"--images: {refusal}") from refusal
    return tuple(chosen)


def is_colour(picture: Picture) -> bool:
    """Whether an image's channels differ by more than compression leaves."""
    values = picture.values
    if picture.kind != "image" or values.ndim != 3:
        return False
    spread = values.max(axis=2).astype(np.int32) - values.min(axis=2)
    return bool(np.quantile(spread, 0.95) > _CHROMA_MIN)


def spread(items: Sequence[_T], limit: int) -> list[_T]:
    """At most `limit` of them, spread evenly."""
    if len(items) <= limit:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, limit)]


def _sources(chosen: Path, *, volumes: bool) -> list[Path]:
    """Files, and the folders that stand for the series in them."""
    if not volumes or chosen.is_file():
        return list(find_inputs([chosen]))
    by_folder: dict[Path, list[Path]] = {}
    for path in find_inputs([chosen]):
        by_folder.setdefault(path.parent, []).append(path)
    found: list[Path] = []
    for folder, files in by_folder.items():
        found += [folder] if len(files) >= _SLICES_MIN and _is_series(folder) else files
    return found


def _is_series(folder: Path) -> bool:
    try:
        _only_series(folder)
    except InputRefused:
        return False
    return True


def _only_series(folder: Path) -> Series:
    parts = list(group_series(path for path in sorted(folder.iterdir()) if path.is_file()))
    if len(parts) != 1 or isinstance(parts[0], InputRefused) or len(parts[0].paths) < _SLICES_MIN:
        raise InputRefused(str(folder), f"is no folder with one DICOM series of at least {_SLICES_MIN} slices alone")
    return parts[0]


def _free_name(stem: str, taken: Mapping[str, Found]) -> str:
    """As a point's key has it: lower case, and no two alike."""
    name, count = stem.lower().replace("/", "_"), 1
    while name in taken:
        count += 1
        name = f"{stem.lower()}-{count}"
    return name
