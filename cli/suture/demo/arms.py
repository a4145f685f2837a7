"""The ways to a result, each as it really runs on the slowed unit, from the same preprocessed image or the file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture.demo.settings import JPEG_QUALITY, MIDDLE
from suture_edge.client import CloudClient
from suture_edge.heads import Heads
from suture_edge.outputs import readable
from suture_edge.slowdown import Slowdown
from suture_edge.unit import Unit, UnitSettings
from suture_edge.uploads import CloudRequest
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_models.picture import Picture
from suture_models.preprocess import preprocess
from suture_partitioner.types import Choice, Plan
from suture_protocol.errors import LinkError, SutureError
from suture_protocol.events import TensorHeader
from suture_protocol.service import FILE_CODEC

#: A DICOM file takes 17 s at 2 Mbit/s.
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
class Sample:
    """One result by one way. `total_s` is from the file to the result."""

    total_s: float
    cut: str
    codec: str
    payload_bytes: int
    outputs: dict[str, Any]


class Arms:
    """All ways for one network and study over one warm connection. Not thread-safe."""

    def __init__(
        self,
        heads: Heads,
        client: CloudClient,
        study: Prepared,
        slow: Slowdown,
        factor: float,
        open_file: Callable[[], bytes],
    ) -> None:
        """Prepares; nothing is sent yet. `open_file` reads the file's bytes."""
        self._client = client
        self._study = study
        self._bundle = heads.bundle
        self._read_file = slow(open_file)
        self._picture = _as_picture(study)
        check = preprocess(self._picture, heads.bundle.manifest.network)
        if not np.array_equal(check, study.image):
            raise SutureError(f"{study.name}: the preprocessed image does not stay as it is when preprocessed again")
        plain = UnitSettings(device_factor=factor, timeout_s=TIMEOUT_S)
        self._unit = Unit(heads, client, plain, slow=slow)
        jpeg = dataclasses.replace(plain, codec="jpeg", codec_config=(("quality", str(JPEG_QUALITY)),))
        self._jpeg = Unit(heads, client, jpeg, slow=slow)
        self.middle: Choice | None = None

    def plan(self) -> Plan:
        """The plan for the link as the traffic has shown it so far; sets the best middle cut."""
        plan = self._unit.plan([self._study.image], self._study.before_s)
        inner = [c for c in (plan.chosen, *plan.rejected) if c.cut_id not in (INPUT_CUT, LAST_CUT)]
        self.middle = min(inner, key=lambda choice: choice.steps.total_s, default=None)
        return plan

    def run(self, arm: str) -> Sample:
        """One result by one way.

        Raises:
            LinkError: the cloud could not be reached; what the unit then finishes alone is no sample of this way.
        """
        if arm == "dicom_upload":
            return self._send_file()
        if arm == "jpeg_upload":
            return self._infer(self._jpeg, INPUT_CUT)
        cut = {"split": "auto", "image_upload": INPUT_CUT, "edge_only": LAST_CUT}.get(arm)
        if arm == MIDDLE and self.middle is not None:
            cut = self.middle.cut_id
        if cut is None:
            raise ValueError(f"no way named {arm!r}, or no middle cut")
        return self._infer(self._unit, cut)

    def _infer(self, unit: Unit, cut: str) -> Sample:
        found = unit.infer(self._study.name, lambda: self._picture, cut)
        if found.error or found.note or found.steps is None:
            raise LinkError(found.error or found.note or "no result")
        return Sample(
            # What the unit spent on preprocessing what is preprocessed already is no part of the way.
            total_s=found.total_s - found.steps.preprocess_s + self._study.before_s,
            cut=found.cut,
            codec=found.codec,
            payload_bytes=found.payload_bytes,
            outputs=found.outputs,
        )

    def _send_file(self) -> Sample:
        start_s = time.perf_counter()
        payload = self._read_file()
        header = TensorHeader(dtype="uint8", shape=(len(payload),), payload_bytes=len(payload))
        request = CloudRequest(
            bundle_digest=self._bundle.digest,
            cut_id=INPUT_CUT,
            variant_id="",
            codec=FILE_CODEC,
            tensors=(header,),
            payload=payload,
        )
        result = self._client.infer(request, timeout_s=TIMEOUT_S)
        total_s = time.perf_counter() - start_s
        took = result.timings
        arrivals = [(arrival.offset_end, arrival.at_s) for arrival in result.arrivals]
        round_trip_s = took.total_s - took.waited_s - took.server_s
        self._unit.link.on_upload(result.payload_bytes, arrivals, round_trip_s, time.monotonic())
        outputs = readable(result.outputs, self._bundle.manifest.network, self._study.name, None)
        return Sample(
            total_s=total_s, cut=INPUT_CUT, codec=FILE_CODEC, payload_bytes=result.payload_bytes, outputs=outputs
        )


def _as_picture(study: Prepared) -> Picture:
    """The network's input as a picture that preprocessing leaves as it is."""
    values = study.image[0, 0] if study.image.shape[1] == 1 else study.image[0].transpose(1, 2, 0)
    return Picture(
        name=study.name,
        kind="image",
        values=np.ascontiguousarray(values),
        bits=8 * values.dtype.itemsize,
        value_range=(0.0, float(np.iinfo(values.dtype).max)),
    )
