"""A unit as a process of its own that is offered far more than its cloud can take: `python -m tests.edge.flood`.

Writes one JSON line when it is warm, waits for a line, and writes what became of all of it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.results import PendingResult
from suture_edge.series import infer_series
from suture_edge.settings import UnitSettings
from suture_edge.sockets import Tuning
from suture_edge.unit import Unit
from suture_models.bundle import Bundle, open_bundle
from suture_models.picture import Picture
from tests.cloud.harness import SIDE, NumpyEngine, bulk_request

WARM_UP = 10


class Watch:
    """How many images were read and not done, at most."""

    def __init__(self) -> None:
        self.most = self._ahead = 0
        self._lock = threading.Lock()

    def move(self, by: int) -> None:
        with self._lock:
            self._ahead += by
            self.most = max(self.most, self._ahead)


def series(bundle: Bundle, client: CloudClient, count: int, in_flight: int) -> dict[str, Any]:
    """`count` images as a series."""
    watch = Watch()

    def read(index: int) -> Picture:
        watch.move(1)
        values = np.random.default_rng(index).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        return Picture(name=f"{index}", kind="image", values=values, bits=8, value_range=(0.0, 255.0))

    def source() -> Iterator[tuple[str, Callable[[], Picture]]]:
        for index in range(count):
            yield f"{index}", lambda index=index: read(index)  # type: ignore[misc]

    heads = Heads(bundle, NumpyEngine(), bundle.manifest.variants[0])
    unit = Unit(heads, client, UnitSettings(codec="raw"))
    where: list[str] = []
    for found in infer_series(unit, source(), "bulk", in_flight=in_flight):
        watch.move(-1)
        where.append(found.where)
    unit.close()
    return {"done": len(where), "by_cloud": where.count("cloud"), "most_ahead": watch.most}


def requests(bundle: Bundle, client: CloudClient, count: int, _in_flight: int) -> dict[str, Any]:
    """`count` requests handed in as fast as the client takes them; nobody waits for one before the next."""
    watch = Watch()
    done: list[PendingResult] = []
    for _ in range(count):
        request = bulk_request(bundle)
        watch.move(1)
        pending = client.submit(request)
        pending.when_settled(lambda: watch.move(-1))
        done.append(pending)
    answers = [pending.wait(60).payload_bytes for pending in done]
    return {"done": len(done), "by_cloud": len(answers), "most_ahead": watch.most}


def main(bundle_path: str, address: str, way: str, count: int, in_flight: int) -> None:
    """Warms up with a few images, so that what is imported and allocated once is there, and then does the rest."""
    bundle = open_bundle(Path(bundle_path))
    run = {"series": series, "requests": requests}[way]
    # With lanes that keep their roles, so that the bounds are those of one; `test_lanes` has them change.
    with CloudClient(address, PlainChannels(insecure=True), tuning=Tuning(change_lanes=False)) as client:
        client.connect()
        run(bundle, client, WARM_UP, in_flight)
        _tell({"warm": True})
        sys.stdin.readline()
        _tell(run(bundle, client, count, in_flight))
        sys.stdin.readline()


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))  # type: ignore[arg-type]
