"""Starts `suture` so that it ends with the process that started it: `python -m suture.demo.child cloud --bundle …`."""

from __future__ import annotations

import ctypes
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Asks Linux for a SIGTERM when the parent dies; elsewhere an orphan has to be ended by hand."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Runs the command line that was given."""
    end_with_parent()
    from suture.app import main as suture

    return suture(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
