"""The studies that are read: those in the repository's data/demo, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import suture
from suture_protocol.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One image to read. `label` is the finding on record with it, empty where there is none."""

    path: Path
    name: str
    title: str
    label: str = ""
    remark: str = ""


_KERMANY = "Kermany et al., CC BY 4.0; test split, never trained on; 224 x 224"
#: file name → what it is; origins and licences are in data/README.md
_BUNDLED = {
    "CR_chest_child_pneumonia_2.dcm": Study(
        path=Path(),
        name="cr_child_pneumonia",
        title="chest X-ray of a child, CR",
        label="pneumonia",
        remark=_KERMANY,
    ),
    "DX_chest_2128x2000_12bit_MONO1_J2Klossless.dcm": Study(
        path=Path(),
        name="dx_adult",
        title="chest radiograph of an adult, DX",
        remark="pylibjpeg-data, MIT; no finding on record, and adults are outside what the network was trained on",
    ),
}


def studies(chosen: Sequence[Path]) -> tuple[Study, ...]:
    """The chosen files, or the bundled studies where none was chosen.

    Raises:
        UsageError: a file is missing, or the bundled studies are not here.
    """
    if chosen:
        return tuple(_own(path) for path in chosen)
    folder = _demo_folder()
    found = []
    for name, study in _BUNDLED.items():
        if not (folder / name).is_file():
            raise UsageError(
                f"the bundled studies are not in {folder}: an installed package does not carry them; run from a "
                "clone of Suture's repository (data/README.md lists them), or give your own with --study FILE"
            )
        found.append(_at(folder / name, study))
    return tuple(found)


def check_readable(read: Sequence[Study]) -> None:
    """Reads each study once, so that a bad file is refused before anything is built or started.

    Raises:
        InputRefused: one cannot be read.
    """
    from suture_models.walk import read_file

    for study in read:
        read_file(study.path)


def _own(path: Path) -> Study:
    if not path.is_file():
        raise UsageError(f"--study {path}: there is no such file")
    if path.name in _BUNDLED:
        return _at(path, _BUNDLED[path.name])
    return Study(path=path.resolve(), name=path.stem.lower(), title=path.name, remark="given with --study")


def _at(path: Path, study: Study) -> Study:
    return Study(path=path.resolve(), name=study.name, title=study.title, label=study.label, remark=study.remark)


def _demo_folder() -> Path:
    """data/demo beside the source tree that this package was imported from, else below the working directory."""
    for root in (Path(suture.__file__).resolve().parents[2], Path.cwd()):
        if (root / "data" / "demo").is_dir():
            return root / "data" / "demo"
    return Path.cwd() / "data" / "demo"
