"""The ways from an image file to a result, each as it really runs on the slowed unit over its one connection."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.outputs import readable
from suture_edge.settings import AUTO
from suture_edge.slowdown import Slowdown
from suture_edge.sockets import Tuning
from suture_edge.unit import Unit, UnitSettings
from suture_edge.uploads import CloudRequest, request_of
from suture_models.manifest import INPUT_CUT, LAST_CUT, NetworkSpec
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_partitioner.link import LinkEstimator
from suture_partitioner.types import Plan
from suture_protocol.codecs.registry import codec_of
from suture_protocol.errors import LinkError, SutureError
from suture_protocol.events import Priority, TensorHeader
from suture_protocol.service import FILE_CODEC

#: A client's sockets here: the congestion control is the link's, which is recorded.
PINNED: Final = Tuning(congestion_control=None)
#: A full-size DICOM file takes 33 s at 1 Mbit/s.
TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """One study as the unit has it: the file, the network's input, and what reading and preprocessing took there."""

    name: str
    file: bytes
    image: NDArray[Any]
    read_s: float
    preprocess_s: float

    @property
    def before_s(self) -> float:
        """Time until the network's input is there."""
        return self.read_s + self.preprocess_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One result by one way. `total_s` is from the file to the result."""

    total_s: float
    cut: str
    codec: str
    payload_bytes: int
    where: str
    outputs: dict[str, Any]
    steps_s: dict[str, float] = field(default_factory=dict)


class Ways:
    """All ways for one network and study over one warm connection. Not thread-safe."""

    def __init__(
        self,
        heads: Heads,
        client: CloudClient,
        study: Prepared,
        slow: Slowdown,
        settings: UnitSettings,
        open_file: Callable[[], bytes],
    ) -> None:
        """Prepares; nothing is sent yet. `open_file` reads the file's bytes."""
        self._heads = heads
        self._client = client
        self._study = study
        self._slow = slow
        self._read_file = slow(open_file)
        spec = heads.bundle.manifest.network
        self._picture = as_picture(study, spec)
        check = preprocess(self._picture, spec)
        if not np.array_equal(check, study.image):
            raise SutureError(f"{study.name}: the preprocessed image does not stay as it is when preprocessed again")
        self._open_file = open_file
        self._settings = settings
        self._by_codec: dict[tuple[str, tuple[tuple[str, str], ...]], Unit] = {}
        self._link = LinkEstimator()
        self.unit = Unit(heads, client, self._settings, slow=slow, link=self._link)

    def plan(self) -> Plan:
        """The plan for the link as the traffic has shown it so far."""
        return self.unit.plan([self._study.image], self._study.before_s)

    def infer(self, cut: str = AUTO, codec: str = "", config: tuple[tuple[str, str], ...] = ()) -> Outcome:
        """One result by way of a cut.

        Args:
            cut: Its id, or `auto` to plan.
            codec: Forces a codec, with its settings in `config`; empty for the planned or default one.
            config: The codec's settings, as on the wire.

        Raises:
            LinkError: the cloud could not be reached; what the unit then finishes alone is no result of this way.
        """
        return self._infer(self._unit(codec, config) if codec else self.unit, cut)

    @property
    def client(self) -> CloudClient:
        """The connection."""
        return self._client

    def picture(self) -> Picture:
        """The study as a picture that preprocessing leaves as it is."""
        return self._picture

    def over(self, client: CloudClient) -> Ways:
        """The same ways over another connection."""
        return Ways(self._heads, client, self._study, self._slow, self._settings, self._open_file)

    def with_codec(self, codec: str) -> Unit:
        """The unit that sends with this codec."""
        return self._unit(codec, ())

    def urgent(self, cut: str, codec: str) -> Outcome:
        """One result by way of a cut, as a STAT image; raises as `infer` does."""
        key = (codec, (("priority", "stat"),))
        if key not in self._by_codec:
            settings = dataclasses.replace(self._settings, codec=codec, priority=Priority.STAT)
            self._by_codec[key] = Unit(self._heads, self._client, settings, slow=self._slow, link=self._link)
        return self._infer(self._by_codec[key], cut)

    def request(self, cut_id: str, codec: str) -> CloudRequest:
        """A routine request with what crosses a cut."""
        cut = self._heads.bundle.cut(cut_id)
        boundary = (self._study.image,) if cut_id == INPUT_CUT else self._heads.prepare(cut).run(self._study.image)
        return request_of(
            boundary,
            self._heads.tables.given_to(codec_of(codec), cut),
            bundle_digest=self._heads.bundle.digest,
            cut_id=cut_id,
            variant_id="" if cut_id == INPUT_CUT else self._heads.variant.id,
        )

    def alone(self, heads: Heads) -> Outcome:
        """One result without the cloud, on other heads than the split's."""
        unit = Unit(heads, None, self._settings, slow=self._slow)
        return self._infer(unit, LAST_CUT)

    def send_file(self) -> Outcome:
        """One result from the file as it is; the cloud reads, preprocesses and infers.

        Raises:
            LinkError: the cloud could not be reached.
            Refused: it takes no files, or cannot read this one.
        """
        start_s = time.perf_counter()
        payload = self._read_file()
        sent_s = time.perf_counter()
        header = TensorHeader(dtype="uint8", shape=(len(payload),), payload_bytes=len(payload))
        bundle = self._heads.bundle
        request = CloudRequest(
            bundle_digest=bundle.digest,
            cut_id=INPUT_CUT,
            variant_id="",
            codec=FILE_CODEC,
            tensors=(header,),
            payload=payload,
        )
        result = self._client.infer(request, timeout_s=TIMEOUT_S)
        end_s = time.perf_counter()
        self.unit.learn(result)
        took = result.timings
        in_cloud_s = {"queue": took.queue_s, "decode": took.decode_s, "tail": took.tail_s}
        transfer_s = max(end_s - sent_s - sum(in_cloud_s.values()), 0.0)
        return Outcome(
            total_s=end_s - start_s,
            cut=INPUT_CUT,
            codec=FILE_CODEC,
            payload_bytes=result.payload_bytes,
            where="cloud",
            outputs=readable(result.outputs, bundle.manifest.network, self._study.name, None),
            steps_s={"read": sent_s - start_s, "transfer": transfer_s, **in_cloud_s},
        )

    def _unit(self, codec: str, config: tuple[tuple[str, str], ...]) -> Unit:
        key = (codec, config)
        if key not in self._by_codec:
            settings = dataclasses.replace(self._settings, codec=codec, codec_config=config)
            self._by_codec[key] = Unit(self._heads, self._client, settings, slow=self._slow, link=self._link)
        return self._by_codec[key]

    def _infer(self, unit: Unit, cut: str) -> Outcome:
        found = unit.infer(self._study.name, lambda: self._picture, cut)
        if found.error or found.note or found.steps is None:
            raise LinkError(found.error or found.note or "no result")
        # What the unit spent on preprocessing what is preprocessed already is no part of the way.
        steps = dataclasses.replace(found.steps, preprocess_s=self._study.before_s)
        return Outcome(
            total_s=steps.total_s,
            cut=found.cut,
            codec=found.codec,
            payload_bytes=found.payload_bytes,
            where=found.where,
            outputs=found.outputs,
            steps_s={name.removesuffix("_s"): value for name, value in dataclasses.asdict(steps).items()},
        )


def as_picture(study: Prepared, spec: NetworkSpec) -> Picture:
    """The network's input as a picture that preprocessing leaves as it is."""
    volume = spec.kind == "volume"
    values = study.image[0, 0] if study.image.shape[1] == 1 else study.image[0].transpose(1, 2, 0)
    top = float(np.iinfo(values.dtype).max)
    if spec.preprocess.window is not None and values.ndim == (3 if volume else 2):
        # The network's window will be applied: undo it (PS3.3 C.11.2.1.2), so that applying it gives the same again.
        centre, width = spec.preprocess.window
        values = ((values / top - 0.5) * (width - 1) + centre - 0.5).astype(np.float32)
    return Picture(
        name=study.name,
        kind="volume" if volume else "image",
        values=np.ascontiguousarray(values),
        bits=8 * study.image.dtype.itemsize,
        value_range=(0.0, top),
    )
