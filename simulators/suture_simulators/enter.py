"""Joins namespaces and becomes a command: `python -I -S enter.py USER_FD|- NET_FD PARENT COMMAND…`; no package.

Run as a file, not as a module, so that it starts in milliseconds and the command's process is this one: its standard
streams, its signals and its exit status need no passing on.
"""

import ctypes
import os
import signal
import sys

NOT_FOUND, NOT_RUNNABLE = 127, 126  # what a shell answers


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0) != 0:
        number = ctypes.get_errno()
        raise SystemExit(f"suture link: cannot enter the emulated link: {os.strerror(number)}")
    os.close(descriptor)


def main(user: str, network: str, parent: str, *command: str) -> int:
    """Joins and executes; returns only when the command cannot be executed."""
    if user != "-":
        _enter(int(user))
    _enter(int(network))
    # When the parent dies, whoever is in there is ended. Who comes later than that has to see to it himself.
    if os.getppid() != int(parent):
        return NOT_RUNNABLE
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"suture link: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE


if __name__ == "__main__":
    # Python's own handler only takes a note of Ctrl-C, and a note taken just before the command replaces it is lost.
    # Where Ctrl-C is ignored, as in a shell's background job, the command inherits that.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(main(*sys.argv[1:]))
