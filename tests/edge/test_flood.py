"""A thousand requests against a slow cloud: the memory of both processes is bounded, and the source is held back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from suture_cloud.budget import URGENT_SHARE
from suture_cloud.server import RECEIVE_WINDOW_BYTES
from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.lane import MAX_HELD
from suture_models.bundle import Bundle
from suture_protocol.errors import Refused
from suture_protocol.limits import SESSION_REQUESTS
from tests.cloud.harness import BULK_BYTES, ROOT, bulk_request, cloud_process, write_bundle

COUNT = 1000
MIB = 1 << 20
#: What gRPC, the allocator and the interpreter take beside what is held: a constant, and for each session its receive
#: window and what threads and buffers keep.
CONSTANT_BYTES = 16 * MIB
SESSION_BYTES = RECEIVE_WINDOW_BYTES + MIB // 4

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


class Memory:
    """What a process has taken at most beyond what it held when this was made."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._status = Path(f"/proc/{process.pid}/status")
        self._before = self._read("VmRSS")

    def grown_bytes(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = self._status.read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Unit:
    """The flooding unit's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def flooding(bundle: Bundle, address: str, way: str, in_flight: int = 1) -> Iterator[Unit]:
    """A unit that is warm."""
    command = [sys.executable, "-m", "tests.edge.flood", str(bundle.path), address, way, str(COUNT), str(in_flight)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        unit = Unit(process)
        assert unit.told() == {"warm": True}
        yield unit
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("way", "in_flight", "ahead", "held_bytes"),
    [("series", 8, 8, 8 * 3 * BULK_BYTES), ("requests", 1, MAX_HELD + 1, MAX_HELD * BULK_BYTES)],
)
def test_a_unit_that_is_offered_a_thousand_images_reads_no_further_than_its_bound(
    bundle: Bundle, way: str, in_flight: int, ahead: int, held_bytes: int
) -> None:
    """A series holds codes, coded codes and the payload of each image under way; a client the payloads alone."""
    with cloud_process(bundle, "0.004") as (cloud, address), flooding(bundle, address, way, in_flight) as unit:
        memories = Memory(unit.process), Memory(cloud)
        unit.go()
        told = unit.told()
        of_unit, of_cloud = (memory.grown_bytes() for memory in memories)
    assert (told["done"], told["by_cloud"]) == (COUNT, COUNT)
    assert told["most_ahead"] == ahead
    assert of_unit < held_bytes + CONSTANT_BYTES
    # Of one session: payload and decoded codes of each that was let in.
    assert of_cloud < SESSION_REQUESTS * 2 * BULK_BYTES + CONSTANT_BYTES


def test_a_thousand_requests_in_flight_at_the_cloud_stay_within_its_memory_and_the_rest_are_told(
    bundle: Bundle,
) -> None:
    limit_bytes = 32 * MIB
    with cloud_process(bundle, "0.01", memory_bytes=limit_bytes) as (cloud, address), ExitStack() as stack:
        units = [
            stack.enter_context(CloudClient(address, PlainChannels(insecure=True), pulse=None))
            for _ in range(-(-COUNT // SESSION_REQUESTS))
        ]
        for unit in units:
            unit.connect()
        for unit in units:
            unit.infer(bulk_request(bundle))
        memory = Memory(cloud)
        pending = [unit.submit(bulk_request(bundle)) for _ in range(SESSION_REQUESTS) for unit in units]
        answered, refused = 0, set()
        for one in pending:
            try:
                one.wait(60)
                answered += 1
            except Refused as error:
                refused.add(error.code)
        grown = memory.grown_bytes()
        # What it held is free again: as many as before get in.
        units[0].infer(bulk_request(bundle))
    assert answered >= limit_bytes * (1 - URGENT_SHARE) // (2 * BULK_BYTES) - 1
    assert refused == {"busy"}
    assert grown < limit_bytes + CONSTANT_BYTES + len(units) * SESSION_BYTES
