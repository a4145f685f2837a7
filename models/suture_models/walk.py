"""Files and folders in front of intake: which files to read, how to read one, which make a series."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture_models.guard import refusing
from suture_models.intake import read_input, sniff
from suture_models.picture import Picture
from suture_models.series import SliceInfo, check_voxels, slice_order, stack
from suture_protocol.errors import InputRefused

#: The largest picture at 16 bits uncompressed is 128 MiB; colour and multi-frame objects a little more.
MAX_FILE_BYTES = 1 << 29
# What media and file managers leave in folders of images; hidden files are skipped as well.
_LITTER = frozenset({"dicomdir", "thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """The files of one DICOM series, in the order of `slice_order`; `name` is the folder and the series' UID."""

    name: str
    series_instance_uid: str
    paths: tuple[Path, ...]


def find_inputs(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file to try: named files as they are, folders walked in sorted order without hidden files or a DICOMDIR.

    What a file is shows when it is read, so files that are no images are yielded too, to be refused with a reason.
    A path that does not exist, or a folder that cannot be listed, is yielded for the same purpose. Links to folders
    are not followed.
    """
    for path in paths:
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif not entry.is_dir():
            yield Path(entry.path)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        InputRefused: missing, unreadable, not a regular file, or larger than `MAX_FILE_BYTES`.
    """
    name = str(path)
    try:
        if path.exists() and not path.is_file():
            what = "a folder that cannot be listed" if path.is_dir() else "not a regular file"
            raise InputRefused(name, f"is {what}")
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise InputRefused(name, f"is {size:,} bytes long; the limit is {MAX_FILE_BYTES:,}")
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputRefused(name, f"cannot be read: {error.strerror or error}") from error


def read_file(path: Path, *, frame: int | None = None) -> Picture:
    """Reads one file; see `suture_models.intake.read_input`.

    Raises:
        InputRefused: it cannot be used; the reason says why.
    """
    return read_input(read_bytes(path), str(path), frame=frame)


def group_series(paths: Iterable[Path]) -> Iterator[Series | InputRefused]:
    """The DICOM series among `paths`, each ordered, by their headers alone; files of a series may lie anywhere.

    Yields one item per series or unusable file, in order of first appearance: a `Series`, or the refusal of a file that
    is no DICOM image, or of a series whose slices do not make a volume. So one bad series does not stop the others.
    """
    found: dict[str, list[tuple[Path, SliceInfo]]] = {}
    refused: list[InputRefused] = []
    for path in paths:
        try:
            uid, info = _slice_header(path)
        except InputRefused as error:
            refused.append(error)
            continue
        found.setdefault(uid, []).append((path, info))
    yield from refused
    for uid, members in found.items():
        yield _ordered(uid, members)


def _ordered(uid: str, members: Sequence[tuple[Path, SliceInfo]]) -> Series | InputRefused:
    name = f"{members[0][0].parent} (series {uid})"
    infos = [info for _, info in members]
    try:
        check_voxels(infos, name)
        order = slice_order(infos, name)
    except InputRefused as error:
        return error
    return Series(name=name, series_instance_uid=uid, paths=tuple(members[i][0] for i in order))


def _slice_header(path: Path) -> tuple[str, SliceInfo]:
    """SeriesInstanceUID and geometry of a file, its pixels unread."""
    from pydicom import dcmread

    from suture_models.dicom_header import DEFLATED, read_header

    name = str(path)
    data = read_bytes(path)
    if sniff(data) != "dicom":
        raise InputRefused(name, "is not DICOM; a volume is a DICOM series or a .npy array")
    if DEFLATED.encode() in data[132:4096]:
        raise InputRefused(name, "is deflated DICOM, which is read as a single image only; convert it")
    with refusing(name, "is damaged DICOM"):
        header = read_header(dcmread(io.BytesIO(data), stop_before_pixels=True, force=True), name)
    if not header.series_instance_uid:
        raise InputRefused(name, "has no SeriesInstanceUID, so it belongs to no volume")
    return header.series_instance_uid, SliceInfo(
        name=name, rows=header.rows, columns=header.columns, place=header.place
    )


def read_series(series: Series) -> Picture:
    """Reads the slices of `series` into one volume.

    Raises:
        InputRefused: a slice cannot be used, or they do not fit together.
    """
    return stack([read_file(path) for path in series.paths], series.name)
