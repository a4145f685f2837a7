"""Keeps the garbage collector from stopping a server whose modules and tails are there to stay."""

from __future__ import annotations

import gc


def settle() -> None:
    """Has the collector pass over all that is alive now; for a process that serves and keeps what it has loaded.

    A full collection walks every object while no thread of Python's runs: with torch loaded 0.1 s, in the midst of a
    tail or of an urgent request. What is taken out of its sight is never collected any more if it ends in a cycle, so
    this is for what was loaded, not for what comes and goes; what is garbage by now goes before.
    """
    gc.collect()
    gc.freeze()
