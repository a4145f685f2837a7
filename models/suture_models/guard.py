"""The one place where errors of foreign parsers become refusals, and where their warnings and chatter stop.

pydicom, GDCM, Pillow and numpy raise whatever their depths raise when bytes are hostile, so this catches them all. Keep
the block under it small: a mistake of our own inside it would look like a bad file.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from suture_protocol.errors import InputRefused

# Warning filters, and descriptor 2, belong to the whole process: one thread at a time may bend them.
_PROCESS_STATE = threading.RLock()
_MAX_REASON_CHARACTERS = 200


def one_line(error: BaseException) -> str:
    """The error's message on one line, shortened, or its class where it has none; only printable characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _MAX_REASON_CHARACTERS else text[: _MAX_REASON_CHARACTERS - 1] + "…"


@contextmanager
def refusing(name: str, what: str) -> Iterator[None]:
    """Turns any error inside into `InputRefused(name, "<what>: <error>")`; warnings inside are not shown.

    Raises:
        InputRefused: anything at all was raised inside.
    """
    with _PROCESS_STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputRefused:
            raise
        except Exception as error:
            raise InputRefused(name, f"{what}: {one_line(error)}") from error


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Sends descriptor 2 to nowhere while native code runs: GDCM's libjpeg writes there on damaged (and good) files."""
    with _PROCESS_STATE:
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all: nothing to keep quiet
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)
