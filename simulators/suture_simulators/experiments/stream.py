"""The unit's side of a stream of images: one at a set cadence, planned or at a fixed cut, each accounted for.

The next image is begun when it is due and the unit is free; what it waited counts. Where so many wait that the room is
full, the camera waits too, so no image is dropped here and none waits for ever. Every image is read, preprocessed,
inferred and answered for real, by the same `Unit` that the agent runs, with its own time-outs and its own heartbeat.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.record import Inference
from suture_edge.unit import Unit, UnitSettings
from suture_models.manifest import INPUT_CUT
from suture_models.picture import Picture
from suture_models.walk import read_file
from suture_protocol.errors import LinkError, SutureError

if TYPE_CHECKING:
    from suture_simulators.experiments.station import Station

#: Uploads before the first image: they open TCP's window and fill the estimate, a median of three.
_WARM_UPS: Final = 3
_CONNECT_S: Final = 20.0


class Camera:
    """When images come: `due_s` is the next one's time, `images` how many came before it."""

    def __init__(self, *, first_s: float, period_s: float, room: int) -> None:
        """Begins at `first_s`; of images that came, at most `room` wait."""
        self.due_s = first_s
        self.images = 0
        self._period_s = period_s
        self._ends_s: deque[float] = deque(maxlen=room + 1)

    def done(self, end_s: float) -> None:
        """The image that was due has its result, and the unit is free."""
        self.images += 1
        self._ends_s.append(end_s)
        # With `room` images waiting, the next one comes only when the first of them is begun.
        full = len(self._ends_s) == self._ends_s.maxlen
        self.due_s = max(self.due_s + self._period_s, self._ends_s[0] if full else 0.0)


class Stream:
    """A connection and a unit of their own for one run of images, so that no run inherits anything of the one before.

    Not thread-safe.
    """

    def __init__(self, station: Station, image: str, codec: str = "") -> None:
        """Prepares; nothing is connected yet. The station has a network open, whose heads this shares.

        `codec` is for a fixed cut; empty for the planned or default one.
        """
        if station.network is None:
            raise ValueError("no network is open")
        self._study = station.study(image)
        self._path = station.path(image)
        self._client = CloudClient(station.client.address, PlainChannels(insecure=True))
        heads = station.network.heads
        settings = UnitSettings(device_factor=station.factor, codec=codec or None)
        self._unit = Unit(heads, self._client, settings, slow=station.slow)
        # Uncompressed, so that even a small image is large enough to measure the rate by.
        plain = replace(settings, codec="raw")
        self._warm = Unit(heads, self._client, plain, slow=station.slow, link=self._unit.link)

    def open(self) -> dict[str, Any]:
        """Connects, makes the planner ready and warms up.

        Returns:
            The estimate after that.

        Raises:
            LinkError: the cloud cannot be reached.
        """
        self._client.ensure_connected(_CONNECT_S)
        self._unit.plan([self._study.image], self._study.before_s)
        for _ in range(_WARM_UPS):
            found = self._warm.infer(self._study.name, self._read, INPUT_CUT)
            if found.error or found.note:
                raise LinkError(found.error or found.note)
        return asdict(self._unit.link.estimate())

    def run(
        self,
        *,
        cut: str,
        zero_s: float,
        period_s: float,
        until_s: float,
        room: int,
        emit: Callable[[Mapping[str, Any]], None],
    ) -> int:
        """Does images until the last one that is due in time.

        Args:
            cut: A cut's id for all of them, or `auto` to plan each.
            zero_s: When the link's scenario began, on this machine's monotonic clock; all times told are since then.
            period_s: From one image to the next.
            until_s: No image comes at or after this.
            room: How many images may wait; while there are as many, the next one comes later.
            emit: Told of each image as soon as it is done.

        Returns:
            How many images came.
        """
        camera = Camera(first_s=time.monotonic() - zero_s, period_s=period_s, room=room)
        while (due_s := camera.due_s) < until_s:
            time.sleep(max(due_s - (time.monotonic() - zero_s), 0.0))
            start_s = time.monotonic() - zero_s
            found = self._infer(cut)
            end_s = time.monotonic() - zero_s
            emit(self._said(camera.images, due_s, start_s, end_s, found))
            camera.done(end_s)
        return camera.images

    def close(self) -> None:
        """Hangs up, which also ends any attempt to connect; the heads stay."""
        self._client.close()

    def _infer(self, cut: str) -> Inference:
        try:
            return self._unit.infer(self._study.name, self._read, cut)
        except SutureError as error:
            return Inference(path=self._study.name, error=str(error) or type(error).__name__)

    def _said(self, index: int, due_s: float, start_s: float, end_s: float, found: Inference) -> dict[str, Any]:
        steps = {} if found.steps is None else asdict(found.steps)
        estimate = self._unit.link.estimate()
        return {
            "index": index,
            "due_s": due_s,
            "start_s": start_s,
            "end_s": end_s,
            "cut": found.cut,
            "codec": found.codec,
            "payload_bytes": found.payload_bytes,
            "where": found.where,
            "note": found.note,
            "error": found.error,
            "steps_s": {name.removesuffix("_s"): value for name, value in steps.items()},
            "bandwidth_bps": estimate.bandwidth_bps,
            "rtt_s": estimate.rtt_s,
        }

    def _read(self) -> Picture:
        return read_file(self._path)


def open_stream(station: Station, given: Mapping[str, Any]) -> dict[str, Any]:
    """The command `stream_open`: `image` and `codec`; ends the stream before."""
    if station.stream is not None:
        station.stream.close()
    station.stream = Stream(station, given["image"], given["codec"])
    return station.stream.open()


def run_stream(station: Station, given: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """The command `stream`: the arguments of `Stream.run`; the stream is over after it."""
    if station.stream is None:
        raise ValueError("no stream was opened")
    try:
        return {"images": station.stream.run(**given, emit=emit)}
    finally:
        station.stream.close()
        station.stream = None
