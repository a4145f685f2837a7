"""The unit's side of a stream of images: one at a set cadence, planned or at a fixed cut, each accounted for.

The next image is begun when it is due and the unit is free; what it waited counts. Where so many wait that the room is
full, the camera waits too, so no image is dropped here and none waits for ever. Every image is read, preprocessed,
inferred and answered for real, by the same `Unit` that the agent runs, with its own time-outs and its own heartbeat.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heads import HEADS_KEPT, Heads
from suture_edge.record import Inference
from suture_edge.unit import Unit, UnitSettings
from suture_models.manifest import INPUT_CUT
from suture_models.picture import Picture
from suture_partitioner.device import resident_bytes
from suture_partitioner.link import LinkEstimator
from suture_protocol.errors import LinkError, SutureError
from suture_simulators.experiments.clairvoyant import Foresight, foresight_from_json
from suture_simulators.experiments.pictures import read_image
from suture_simulators.experiments.ways import PINNED

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
    """Connection, heads and unit of their own for one run of images, so that no run inherits anything of one before.

    Not thread-safe.
    """

    def __init__(
        self,
        station: Station,
        image: str,
        codec: str = "",
        *,
        foresight: Foresight | None = None,
        kept: int = HEADS_KEPT,
    ) -> None:
        """Prepares; nothing is connected yet. The station has a network open.

        Args:
            station: Where the network, the cloud's address and the emulated device are.
            image: What every image of the stream is.
            codec: For a fixed cut; empty for the planned or default one.
            foresight: Chooses cut and codec of each image in place of the plan.
            kept: How many heads stay loaded.
        """
        if station.network is None:
            raise ValueError("no network is open")
        self._study = station.study(image)
        self._path = station.path(image)
        self._client = CloudClient(station.client.address, PlainChannels(insecure=True), tuning=PINNED)
        opened = station.network.heads
        # A maker of its own: what moving the cut costs is part of what is measured.
        self._made_bytes: dict[str, int] = {}
        self._heads = Heads(opened.bundle, opened.engine, opened.variant, slow=station.slow, kept=kept)
        settings = UnitSettings(device_factor=station.factor, codec=codec or None, constraints=station.constraints)
        self._unit = Unit(self._heads, self._client, settings, slow=station.slow, link=LinkEstimator())
        # Uncompressed, so that even a small image is large enough to measure the rate by.
        plain = replace(settings, codec="raw")
        self._warm = Unit(self._heads, self._client, plain, slow=station.slow, link=self._unit.link)
        self._foresight = foresight
        codecs = {option.codec for option in foresight.known} if foresight is not None else set[str]()
        self._coded = {
            found: Unit(self._heads, self._client, replace(settings, codec=found or None), slow=station.slow)
            for found in codecs
        }

    def open(self, cut: str, ready: Sequence[str]) -> dict[str, Any]:
        """Connects, makes the planner ready and warms up, with the head of the first image.

        Args:
            cut: As for `run`.
            ready: Cuts whose heads are ready as well, as in a unit that used them before.

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
        first = self._unit.choose(cut, [self._study.image], self._study.before_s)
        for cut_id in dict.fromkeys([*ready, cut if first is None else first.cut_id]):
            self._prepare(cut_id)
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
            found = self._infer(cut, start_s)
            end_s = time.monotonic() - zero_s
            emit(self._said(camera.images, due_s, start_s, end_s, found))
            camera.done(end_s)
        return camera.images

    def close(self) -> None:
        """Hangs up, which also ends any attempt to connect, and frees its heads."""
        self._client.close()
        self._unit.close()

    @property
    def memory(self) -> dict[str, int]:
        """Heads held now, by cut: what making each took of memory, as far as that was measured."""
        return {cut: size or self._made_bytes.get(cut, 0) for cut, size in self._heads.held_bytes().items()}

    def _prepare(self, cut_id: str) -> None:
        """Makes a head ready at full speed: loaded, and run once."""
        if cut_id == INPUT_CUT:
            return
        before = resident_bytes()
        self._heads.prepare(self._heads.bundle.cut(cut_id)).run(self._study.image)
        self._made_bytes[cut_id] = max(resident_bytes() - before, 0)

    def _infer(self, cut: str, start_s: float) -> Inference:
        unit = self._unit
        if self._foresight is not None:
            best = self._foresight.best(start_s + self._study.before_s)
            unit, cut = self._coded[best.codec], best.cut
        try:
            return unit.infer(self._study.name, self._read, cut)
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
        return read_image(self._path)


def open_stream(station: Station, given: Mapping[str, Any]) -> dict[str, Any]:
    """The command `stream_open`: `image`, `cut`, `codec`, `ready` and `foresight`; ends the stream before."""
    if station.stream is not None:
        station.stream.close()
    foresight = None if given["foresight"] is None else foresight_from_json(given["foresight"])
    # A clairvoyant is not to lose by compiling: it keeps all the heads that it is going to want.
    kept = max(HEADS_KEPT, len(given["ready"]) + 1)
    station.stream = Stream(station, given["image"], given["codec"], foresight=foresight, kept=kept)
    return station.stream.open(given["cut"], given["ready"])


def run_stream(station: Station, given: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """The command `stream`: the arguments of `Stream.run`; the stream is over after it."""
    if station.stream is None:
        raise ValueError("no stream was opened")
    try:
        images = station.stream.run(**given, emit=emit)
        return {"images": images, "memory": station.stream.memory}
    finally:
        station.stream.close()
        station.stream = None
