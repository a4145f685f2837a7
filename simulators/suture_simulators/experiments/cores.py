"""Which of this machine's cores the parts of an experiment run on, where they would be in each other's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def a_core_for(pid: int) -> Iterator[bool]:
    """Keeps all other processes that this one has started off the last core it may use, from entering to leaving.

    A pipeline has the unit, the link and the cloud at work at once, which elsewhere are three machines. The relay runs
    at real-time priority and pushes aside whatever computes on the core where it wakes; left to the system, that is a
    tail more often than not.

    Args:
        pid: The process that may use all cores.

    Yields:
        Whether there are two cores or more; else nothing is changed.
    """
    import psutil  # of the extra `experiment`

    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        yield False
        return
    others = [child.pid for child in psutil.Process().children(recursive=True) if child.pid != pid]
    _keep(others, cores[:-1])
    try:
        yield True
    finally:
        _keep(others, cores)


def _keep(pids: list[int], cores: list[int]) -> None:
    for pid in pids:
        with suppress(OSError):  # it has ended
            for thread in list(Path(f"/proc/{pid}/task").iterdir()):
                with suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cores)
