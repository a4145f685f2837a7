"""Whose image a file of the Kermany set is, from its name. Torch-free."""

from __future__ import annotations

import re

#: In that set's file names; bacterial and viral cases are numbered apart.
_PATIENT = re.compile(r"^(person\d+_[a-z]+|(?:NORMAL2-)?IM-\d+)")


def patient_of(stem: str) -> str:
    """The patient in a file's name without its suffix; the whole name where it says nothing of one."""
    match = _PATIENT.match(stem)
    return match.group(1) if match else stem
