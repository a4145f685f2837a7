"""One unit of a fleet, in its own process: image after image on a paced device, planned or at a fixed cut.

Eight slow devices share this machine's cores, and stretching each operation by the processor time that it took would
also stretch what they take from each other. So here an operation runs once, for real, and then waits until the time is
over that the same operation took on the emulated device when nothing else ran: the device's profile.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from numpy.typing import NDArray

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.record import Inference
from suture_edge.unit import Unit, UnitSettings
from suture_models.manifest import INPUT_CUT, Cut
from suture_partitioner.load import CloudLoad
from suture_protocol.codecs.base import Codec
from suture_protocol.errors import LinkError, SutureError
from suture_protocol.events import Load
from suture_simulators.experiments.station import HEADS_KEPT, OpenedNetwork
from suture_simulators.experiments.ways import PINNED, as_picture

if TYPE_CHECKING:
    from suture_simulators.experiments.station import Station

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Plans with the last wait that was heard of, as a unit would without any of `CloudLoad`'s cares.
UNDAMPED: Final = "undamped"
#: Uploads before the clock runs: they open TCP's window and fill the estimate of the link.
_WARM_UPS: Final = 3
_CONNECT_S: Final = 20.0


class LastHeard(CloudLoad):
    """The last report as it is: what the experiment sets beside `CloudLoad`, to show what that is for."""

    def __init__(self) -> None:
        """Has heard nothing yet."""
        super().__init__(seed=0)
        self._last_s = 0.0

    def on_report(self, load: Load, now_s: float, *, waited_s: float | None = None) -> None:
        """Takes one report."""
        super().on_report(load, now_s, waited_s=waited_s)
        self._last_s = load.routine_wait_s

    def queue_s(self, now_s: float) -> float:  # noqa: ARG002 the base's signature
        """The wait of the last report."""
        return self._last_s


class Pace:
    """How long the emulated device takes for each operation, from its profile; a `Slowdown` for all but the heads.

    Reading and preprocessing are left at this machine's speed: the images are at hand.

    Args:
        heads_s: Cut → what its head takes.
        encode_s: Cut → codec → what encoding takes.
    """

    def __init__(self, heads_s: Mapping[str, float], encode_s: Mapping[str, Mapping[str, float]]) -> None:
        self._heads_s, self._encode_s = heads_s, encode_s
        self._cut = ""
        self.operations = self.overrun = 0

    def __call__(self, function: Callable[_P, _R], /, *, work: Hashable = None) -> Callable[_P, _R]:  # noqa: ARG002
        """The operation as the device does it; what is no encoding stays as it is."""
        codec = getattr(function, "__self__", None)
        if not isinstance(codec, Codec):
            return function

        @wraps(function)
        def paced(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            duration_s = self._encode_s.get(self._cut, {}).get(codec.spec, 0.0)
            return self._timed(duration_s, lambda: function(*args, **kwargs))

        return paced

    def head(self, cut_id: str, run: Callable[[], _R]) -> _R:
        """Runs the head of a cut in the device's time."""
        self._cut = cut_id
        return self._timed(self._heads_s[cut_id], run)

    def _timed(self, duration_s: float, run: Callable[[], _R]) -> _R:
        end_s = time.perf_counter() + duration_s
        result = run()
        left_s = end_s - time.perf_counter()
        if duration_s > 0:
            self.operations += 1
            self.overrun += left_s < 0
        if left_s > 0:
            time.sleep(left_s)
        return result


class PacedHeads(Heads):
    """Heads that run in the device's time."""

    def __init__(self, opened: OpenedNetwork, pace: Pace) -> None:
        """Those of an opened network; nothing is loaded yet."""
        super().__init__(opened.bundle, opened.heads.engine, opened.heads.variant, kept=HEADS_KEPT)
        self._pace = pace

    def run(self, cut: Cut, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """See `Heads.run`."""
        return self._pace.head(cut.id, lambda: super(PacedHeads, self).run(cut, image))


class Member:
    """A unit of the fleet; it keeps its heads from run to run, and nothing else. Not thread-safe.

    Args:
        station: The process's; it has a network open.
        image: Name of the image that is done over and over.
        heads_s: See `Pace`.
        encode_s: See `Pace`.
    """

    def __init__(
        self,
        station: Station,
        *,
        image: str,
        heads_s: Mapping[str, float],
        encode_s: Mapping[str, Mapping[str, float]],
    ) -> None:
        if station.network is None:
            raise ValueError("no network is open")
        self._name = image
        self._study = station.study(image)
        self._picture = as_picture(self._study, station.network.bundle.manifest.network)
        self._pace = Pace(heads_s, encode_s)
        self._heads = PacedHeads(station.network, self._pace)
        self._address = station.client.address
        self._settings = UnitSettings(device_factor=station.factor)
        self._client: CloudClient | None = None
        self._unit: Unit | None = None
        self._cut = ""

    def begin(self, *, cut: str, codec: str, load: int | str, cuts: Sequence[str]) -> None:
        """A new connection and a new unit for the next run; makes heads and planner ready and warms the link up.

        Args:
            cut: A cut's id for all images, or `auto` to plan each.
            codec: For a fixed cut; empty for the planned one.
            load: How to plan with the cloud's load: a seed for `CloudLoad`, or `undamped`.
            cuts: Whose heads to make ready.

        Raises:
            LinkError: the cloud cannot be reached.
        """
        self.end()
        for cut_id in cuts:
            self._heads.prepare(self._heads.bundle.cut(cut_id)).run(self._study.image)
        client = self._client = CloudClient(self._address, PlainChannels(insecure=True), tuning=PINNED)
        client.ensure_connected(_CONNECT_S)
        settings = dataclasses.replace(self._settings, codec=codec or None)
        heard = CloudLoad(seed=load) if isinstance(load, int) else LastHeard()
        self._unit = Unit(self._heads, client, settings, slow=self._pace, load=heard)
        self._unit.plan([self._study.image], 0.0)
        plain = dataclasses.replace(settings, codec="raw")
        warm = Unit(self._heads, client, plain, slow=self._pace, link=self._unit.link)
        for _ in range(_WARM_UPS):
            found = warm.infer(self._name, lambda: self._picture, INPUT_CUT)
            if found.error or found.note:
                raise LinkError(found.error or found.note)
        self._cut = cut
        self._pace.operations = self._pace.overrun = 0

    def run(self, *, zero_s: float, until_s: float, emit: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        """Does one image after the other, each as soon as the one before is done (a closed loop).

        Args:
            zero_s: When the run begins, on this machine's monotonic clock; all times told are since then.
            until_s: No image is begun at or after this.
            emit: Told of each image when it is done.

        Returns:
            How many operations were paced, and how many of them took longer here than on the device.
        """
        time.sleep(max(zero_s - time.monotonic(), 0.0))
        while (start_s := time.monotonic() - zero_s) < until_s:
            found = self._infer()
            emit(_said(start_s, time.monotonic() - zero_s, found))
        return {"operations": self._pace.operations, "overrun": self._pace.overrun}

    def end(self) -> None:
        """Hangs up; the heads stay."""
        if self._client is not None:
            self._client.close()
        self._client = self._unit = None

    def close(self) -> None:
        """Hangs up and frees the heads."""
        self.end()
        self._heads.close()

    def _infer(self) -> Inference:
        if self._unit is None:
            raise ValueError("no run was begun")
        try:
            return self._unit.infer(self._name, lambda: self._picture, self._cut)
        except SutureError as error:
            return Inference(path=self._name, error=str(error) or type(error).__name__)


def _said(start_s: float, end_s: float, found: Inference) -> dict[str, Any]:
    steps = {} if found.steps is None else asdict(found.steps)
    return {
        "start_s": start_s,
        "end_s": end_s,
        "cut": found.cut,
        "codec": found.codec,
        "payload_bytes": found.payload_bytes,
        "where": found.where,
        "note": found.note,
        "error": found.error,
        "steps_s": {name.removesuffix("_s"): value for name, value in steps.items()},
    }


def join(station: Station, given: Mapping[str, Any]) -> None:
    """The command `fleet_join`: the arguments of `Member`."""
    station.member = Member(station, **given)


def begin(station: Station, given: Mapping[str, Any]) -> None:
    """The command `fleet_begin`: the arguments of `Member.begin`."""
    _member(station).begin(**given)


def run(station: Station, given: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """The command `fleet_run`: the arguments of `Member.run`; it has hung up after it."""
    member = _member(station)
    try:
        return member.run(**given, emit=emit)
    finally:
        member.end()


def _member(station: Station) -> Member:
    if station.member is None:
        raise ValueError("this unit has joined no fleet")
    return station.member
