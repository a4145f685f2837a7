"""A slow device by the kernel: a control group gives this process one millisecond of processor time in each `factor`.

Version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`) have the same bandwidth control beneath (Linux,
Documentation/scheduler/sched-bwc.rst): at least 1 ms of quota, periods of 1 ms to 1 s.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from suture_protocol.errors import CapabilityMissing

_QUOTA_US: Final = 1000
FACTOR_MAX: Final = 1000.0
_WAY_OUT: Final = (
    "start it as root, or in a delegated group of version 2 (systemd-run --user --scope -p Delegate=cpu COMMAND), "
    "or leave out `cgroup:` for dilation, which needs no rights"
)


class ProcessorQuota:
    """The whole process, all its threads, runs slower from entering to leaving: `with ProcessorQuota(8.0): …`.

    Against dilation: nothing has to be wrapped, and what no wrapper reaches (starting, gRPC, garbage collection) is
    slowed too. But it holds over many operations, not for each: the kernel takes the quota away at its clock tick
    (4 ms at 250 Hz), lets the debt be paid off later, and so stops a short operation for long or not at all; and the
    core is cold after each stop. On a busy machine with two cores whole networks of 2 to 8 ms came out 15 to 50 % too
    slow at factors 2 to 32, where dilation was within 10 %. Calibrate, and do not quote single short operations.

    Raises:
        CapabilityMissing: this host does not let the process make a control group with the processor controller.
    """

    def __init__(self, factor: float, *, root: Path = Path("/")) -> None:
        """Finds where a group can be made; nothing is slowed yet."""
        if not 1 <= factor <= FACTOR_MAX:
            raise ValueError(f"device factor {factor:g}; a control group slows 1 to {FACTOR_MAX:g} times")
        self.factor = factor
        self._place = find_place(root)
        self._group = self._place.parent / f"suture-device-{os.getpid()}-{id(self):x}"

    def __enter__(self) -> Self:
        period_us = round(self.factor * _QUOTA_US)
        try:
            self._group.mkdir()
            if self._place.version == 2:
                self._write("cpu.max", f"{_QUOTA_US} {period_us}")
            else:
                self._write("cpu.cfs_period_us", str(period_us))
                self._write("cpu.cfs_quota_us", str(_QUOTA_US))
            self._write("cgroup.procs", str(os.getpid()))
        except OSError as error:
            self._remove()
            why = "a real-time process cannot have one" if error.errno == errno.EINVAL else error.strerror
            raise CapabilityMissing(f"no processor quota at {self._group}: {why}; {_WAY_OUT}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def timed(self, operation: Callable[[], object]) -> float:
        """Seconds that one call takes in the group, after two that use up what is left of the quota."""
        with self:
            operation()
            operation()
            began_s = time.perf_counter()
            operation()
            return time.perf_counter() - began_s

    def _remove(self) -> None:
        """Moves the process back to where it was and removes the group."""
        with suppress(OSError):
            (self._place.home / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        with suppress(OSError):
            self._group.rmdir()

    def _write(self, name: str, text: str) -> None:
        (self._group / name).write_text(text, encoding="ascii")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a group can be made, where the process belongs otherwise, and the version of control groups."""

    parent: Path
    home: Path
    version: int


def find_place(root: Path = Path("/")) -> Place:
    """The nearest group that may hold one with a processor quota; raises as `ProcessorQuota`.

    In version 2 that is an ancestor which hands the controller on (a group with processes of its own may not, the
    root excepted), in version 1 the process's own group.
    """
    mounts, own = _mounts(root), _own(root)
    if "2" in mounts and "" in own:
        top = root / mounts["2"].lstrip("/")
        home = top / own[""].lstrip("/")
        for parent in [home] if home == top else [p for p in home.parents if p == top or top in p.parents]:
            if "cpu" in _text(parent / "cgroup.subtree_control").split() and _writable(parent):
                return Place(parent=parent, home=home, version=2)
    if "cpu" in mounts and "cpu" in own:
        home = root / mounts["cpu"].lstrip("/") / own["cpu"].lstrip("/")
        if _writable(home):
            return Place(parent=home, home=home, version=1)
    raise CapabilityMissing(f"no control group with a processor quota can be made here; {_WAY_OUT}")


def _mounts(root: Path) -> dict[str, str]:
    """`2` and `cpu` → where that hierarchy is mounted."""
    found: dict[str, str] = {}
    for line in _text(root / "proc/self/mounts").splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        if fields[2] == "cgroup2":
            found.setdefault("2", fields[1])
        elif fields[2] == "cgroup" and "cpu" in fields[3].split(","):
            found.setdefault("cpu", fields[1])
    return found


def _own(root: Path) -> dict[str, str]:
    """Empty (version 2) and `cpu` (version 1) → path of this process's group in it."""
    found: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        if match := re.fullmatch(r"\d+:([^:]*):(.*)", line):
            for name in match[1].split(","):
                found[name] = match[2]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
