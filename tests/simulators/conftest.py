"""Real emulated links for the tests, and a look at what is left when they are gone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from suture_protocol.errors import CapabilityMissing
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile

GONE_S = 15.0


def open_link(profile: LinkProfile, **settings: Any) -> EmulatedLink:
    """An entered link; skips the test where this machine has none to give."""
    link = EmulatedLink(profile, **settings)
    try:
        return link.__enter__()
    except CapabilityMissing as missing:
        pytest.skip(f"no emulated links on this machine: {missing}")


@pytest.fixture
def make_link() -> Iterator[Callable[..., EmulatedLink]]:
    """Opens links by profile and settings, and closes them after the test."""
    links: list[EmulatedLink] = []

    def make(profile: LinkProfile | None = None, **settings: Any) -> EmulatedLink:
        links.append(open_link(profile or LinkProfile(), **settings))
        return links[-1]

    yield make
    for link in links:
        link.close()


@pytest.fixture
def needs_links() -> None:
    """Skips where this machine has no emulated links to give."""
    open_link(LinkProfile()).close()


def inhabitants(namespace: str) -> list[int]:
    """Processes whose network namespace is `namespace`, as `readlink /proc/self/ns/net` writes it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "ns/net") == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def processes(*pids: int) -> list[psutil.Process]:
    """Handles on processes that exist now, with all that they started."""
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def assert_gone(alive: list[psutil.Process], namespace: str) -> None:
    """All of these processes end within a while, and nobody lives in that namespace.

    The kernel gives a dead namespace's number to the next one, anybody's: who came later is no leftover.
    """
    now_s = time.time()
    _, left = psutil.wait_procs(alive, timeout=GONE_S)
    assert not left, [process.cmdline() for process in left]
    for pid in inhabitants(namespace):
        with contextlib.suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).create_time() > now_s, psutil.Process(pid).cmdline()


def first_words(process: subprocess.Popen[bytes], count: int) -> list[str]:
    """The first words a process writes on its standard output."""
    assert process.stdout is not None
    words: list[str] = []
    while len(words) < count:
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait()} after writing {words}"
        words += line.decode().split()
    return words
