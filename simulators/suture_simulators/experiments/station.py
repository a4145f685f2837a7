"""What the unit's process holds between its parent's commands: device, connection, opened networks, read images."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.profiling import cached_profile
from suture_edge.settings import UnitSettings
from suture_edge.slowdown import Slowdown, full_speed
from suture_models.bundle import Bundle, open_bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_models.preprocess import preprocess
from suture_models.walk import read_bytes
from suture_partitioner.device import device_fingerprint, processor_class
from suture_partitioner.profile_file import profile_to_json
from suture_partitioner.types import Constraints
from suture_simulators.device import emulate
from suture_simulators.experiments import pictures
from suture_simulators.experiments.local import LocalEngine, local_engines
from suture_simulators.experiments.types import Report
from suture_simulators.experiments.ways import PINNED, TIMEOUT_S, Prepared, Ways

if TYPE_CHECKING:
    from suture_simulators.experiments.fleet_unit import Member
    from suture_simulators.experiments.stream import Stream

#: Heads that stay compiled: every candidate of the deepest networks at hand.
HEADS_KEPT: Final = 64
#: Uploads before the first sample of a point. The first runs in TCP's slow start, the estimate is a median of three.
WARM_UPS: Final = 4
_CONNECT_S: Final = 20.0
_CALIBRATION_S: Final = 1.0
_READ_BUDGET_S: Final = 3.0
_READ_RUNS_MAX: Final = 5
_PREPROCESS_RUNS: Final = 5
_PROFILE_INPUTS: Final = 8
#: A warm-up's uncompressed upload takes no longer than this; on slower lines it is compressed.
_WARM_UP_S: Final = 0.5


@dataclass(slots=True)
class OpenedNetwork:
    """A bundle with its compiled heads, what was read for it, and its engines by speed once they were measured."""

    bundle: Bundle
    heads: Heads
    studies: dict[str, Prepared] = field(default_factory=dict)
    local: list[LocalEngine] = field(default_factory=list)
    inputs: list[NDArray[Any]] = field(default_factory=list)
    calibrated: Heads | None = None
    prepared: set[str] = field(default_factory=set)


class Station:
    """The unit. Not thread-safe; `current` are the ways of the point that is being measured."""

    def __init__(
        self, *, address: str, device: str, images: Mapping[str, str], accuracy_budget: float | None = None
    ) -> None:
        """Becomes the device; nothing is connected or loaded yet. `images` maps names to files or a series' folder.

        Raises:
            UsageError: there is no such device.
        """
        self.device = emulate(device)
        self.factor = self.device.factor
        self.slow: Slowdown = self.device
        self.constraints = Constraints(accuracy_budget=accuracy_budget)
        self._address = address
        self.client = self._new_client()
        self.network: OpenedNetwork | None = None
        self.current: Ways | None = None
        self.stream: Stream | None = None
        self.member: Member | None = None
        self._images = images
        self._read_s: dict[str, float] = {}
        self._path: Path | None = None

    def connect(self) -> dict[str, Any]:
        """Connects where there is no connection; a link's first packets may stall for a second.

        Raises:
            LinkError: the cloud cannot be reached.
        """
        welcome = self.client.ensure_connected(_CONNECT_S)
        return {"cloud_device": welcome.device}

    def open(self, path: Path, images: Sequence[str]) -> dict[str, Any]:
        """Opens a bundle in place of the one before, whose heads are freed; `images` are those it is profiled with.

        Raises:
            BundleError: there is none, or none for this processor.
        """
        if self._path != path:
            self.close_network()
            bundle = open_bundle(path)
            variant = choose_variant(bundle, "openvino", processor_class(), "int8")
            heads = Heads(bundle, get_engine("openvino"), variant, slow=self.slow, kept=HEADS_KEPT)
            spec = bundle.manifest.network
            inputs = [preprocess(pictures.read_image(self.path(name)), spec) for name in images[:_PROFILE_INPUTS]]
            self.network, self._path = OpenedNetwork(bundle=bundle, heads=heads, inputs=inputs), path
        found = self._opened()
        told = {name: value for name, value in self.device.to_json().items() if name != "calibration"}
        return {"variant": found.heads.variant.id, "device": {**told, "fingerprint": dict(device_fingerprint())}}

    def calibrate(self) -> dict[str, Any]:
        """What the factor comes to on a whole inference of the open network, as `Calibration.to_json()`."""
        found = self._opened()
        last, image = found.bundle.cut(LAST_CUT), found.inputs[0]
        if found.calibrated is None:
            found.calibrated = Heads(found.bundle, found.heads.engine, found.heads.variant, slow=full_speed, kept=1)
        head = found.calibrated.prepare(last)
        name = f"{found.bundle.name} {found.heads.variant.id}"
        measured = self.device.calibrate(lambda: head.run(image), name=name, budget_s=_CALIBRATION_S)
        return measured.to_json()

    def profile(self, tell: Report) -> str:
        """The unit's profile of the open network, measured at first use and kept, as JSON."""
        found = self._opened()
        profile = cached_profile(
            found.heads,
            lambda: found.inputs,
            device_factor=self.factor,
            slow=self.slow,
            preprocess_s=0.0,
            progress=tell,
        )
        return profile_to_json(profile)

    def path(self, name: str) -> Path:
        """The file of an image, or the folder of a volume's slices."""
        return Path(self._images[name])

    def study(self, name: str) -> Prepared:
        """One image as this unit reads it and the open network takes it; times are medians, measured at first use.

        Raises:
            InputRefused: it cannot be read.
        """
        found = self._opened()
        if name not in found.studies:
            path = self.path(name)
            picture = pictures.read_image(path)  # also imports the readers
            if name not in self._read_s:
                runs = (_READ_RUNS_MAX, _READ_BUDGET_S)
                self._read_s[name] = _median_time(self.slow(lambda: pictures.read_image(path)), *runs)
            spec = found.bundle.manifest.network
            prepare = self.slow(lambda: preprocess(picture, spec))
            found.studies[name] = Prepared(
                name=name,
                file=b"" if path.is_dir() else read_bytes(path),
                image=preprocess(picture, spec),
                read_s=self._read_s[name],
                preprocess_s=_median_time(prepare, _PREPROCESS_RUNS, _READ_BUDGET_S),
            )
        return found.studies[name]

    def begin(self, image: str, rate_bps: float) -> dict[str, Any]:
        """Begins a point: a new connection and a new estimate of the link, then some uploads to warm up.

        Args:
            image: Its name.
            rate_bps: The link's nominal rate, which says what an upload may hold.

        Returns:
            The link estimate after them, and what reading and preprocessing take.

        Raises:
            LinkError: the cloud cannot be reached.
        """
        found = self._opened()
        study = self.study(image)
        # TCP remembers: BBR paces by the rate of ten round trips ago, cubic by its last losses.
        self.client.close()
        self.client = self._new_client()
        self.connect()
        path = Path(self._images[image])
        settings = UnitSettings(device_factor=self.factor, timeout_s=TIMEOUT_S, constraints=self.constraints)
        self.current = Ways(found.heads, self.client, study, self.slow, settings, lambda: read_bytes(path))
        # Uncompressed, so that even a small image is large enough to measure the rate by; where the line is slow,
        # slow start is nothing to it, and a smaller payload will do.
        fast = 8 * study.image.nbytes / rate_bps <= _WARM_UP_S
        for _ in range(WARM_UPS if fast else WARM_UPS - 1):
            self.current.infer(INPUT_CUT, "raw" if fast else "zstd")
        estimate = self.current.unit.link.estimate()
        return {"link": dataclasses.asdict(estimate), "before_s": study.before_s}

    def prepare(self, cut_id: str) -> None:
        """Compiles a head of the open network and runs it once, at full speed."""
        found = self._opened()
        if cut_id != INPUT_CUT and cut_id not in found.prepared:
            found.heads.prepare(found.bundle.cut(cut_id)).run(found.inputs[0])
            found.prepared.add(cut_id)

    def local(self) -> list[LocalEngine]:
        """Engines and precisions that can run the whole open network here, fastest first; measured at first use."""
        found = self._opened()
        if not found.local:
            found.local = local_engines(found.bundle, found.inputs[0], self.slow)
        return found.local

    def close_network(self) -> None:
        """Frees the open network."""
        if self.network is not None:
            self.network.heads.close()
            if self.network.calibrated is not None:
                self.network.calibrated.close()
            for engine in self.network.local:
                engine.heads.close()
        self.network, self.current, self._path = None, None, None

    def close(self) -> None:
        """Frees everything and disconnects."""
        if self.stream is not None:
            self.stream.close()
        if self.member is not None:
            self.member.close()
        self.close_network()
        self.client.close()

    def _new_client(self) -> CloudClient:
        return CloudClient(self._address, PlainChannels(insecure=True), tuning=PINNED)

    def _opened(self) -> OpenedNetwork:
        if self.network is None:
            raise ValueError("no network is open")
        return self.network


def _median_time(function: Callable[[], object], runs_max: int, budget_s: float) -> float:
    samples: list[float] = []
    while len(samples) < runs_max and sum(samples) < budget_s:
        start_s = time.perf_counter()
        function()
        samples.append(time.perf_counter() - start_s)
    return statistics.median(samples)
