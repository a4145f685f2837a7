"""Cores of a process's own, on real processes with several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suture_simulators.experiments.cores import a_core_for

CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
_CHILD = """
import subprocess, sys, threading
thread = threading.Thread(target=sys.stdin.read)
thread.start()
grandchild = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(grandchild.pid, flush=True)
thread.join()
grandchild.communicate()
"""


@pytest.fixture
def families() -> Iterator[tuple[list[int], list[int]]]:
    """Two processes, each with a thread and a child of its own."""
    started = [
        subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = ([one.pid, int(one.stdout.readline())] for one in started if one.stdout is not None)
    yield first, second
    for one in started:
        one.communicate(timeout=20)


def cores_of(pid: int) -> list[list[int]]:
    """Those of each thread."""
    return [sorted(os.sched_getaffinity(int(task.name))) for task in Path(f"/proc/{pid}/task").iterdir()]


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores or more")
def test_all_processes_but_one_leave_it_a_core_until_it_is_over(families: tuple[list[int], list[int]]) -> None:
    (favoured, _), others = families
    with a_core_for(favoured) as apart:
        assert apart
        assert cores_of(favoured)[0] == CORES
        for pid in others:
            assert {tuple(cores) for cores in cores_of(pid)} == {tuple(CORES[:-1])}
        assert sorted(os.sched_getaffinity(0)) == CORES
    for pid in others:
        assert {tuple(cores) for cores in cores_of(pid)} == {tuple(CORES)}


@pytest.mark.skipif(not CORES, reason="Linux only")
def test_on_one_core_nothing_changes(families: tuple[list[int], list[int]]) -> None:
    os.sched_setaffinity(0, CORES[:1])
    try:
        with a_core_for(families[0][0]) as apart:
            assert not apart
            assert cores_of(families[1][0])[0] == CORES
    finally:
        os.sched_setaffinity(0, CORES)
