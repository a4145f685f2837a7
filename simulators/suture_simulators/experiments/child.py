"""Runs a module so that it ends with the process that started it: `python -m …experiments.child suture cloud …`.

The module is named by the caller, so that processes of the face above can be started from here without importing it.
"""

from __future__ import annotations

import ctypes
import runpy
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Asks Linux for a SIGTERM when the parent dies; elsewhere an orphan has to be ended by hand."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Runs the module that the first argument names with the other arguments; exits as it does."""
    end_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
