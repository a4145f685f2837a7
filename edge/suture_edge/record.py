"""The record of one inference: what `infer --json` prints and the agent writes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from suture_models.picture import Picture
from suture_partitioner.types import Steps


@dataclass(slots=True)
class Work:
    """One image on its way. `tried_at_s` is when this unit last turned to the cloud for it."""

    name: str
    stem: str
    picture: Picture
    image: NDArray[Any]
    preprocess_s: float
    tried_at_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """One instance's result or refusal; `error` is empty where all went well.

    `weights` is `random` where the network was never trained, so that nobody reads a finding into its outputs.
    `note` says why an answer came from the edge although the cloud was asked. `emulated` says what slow device the
    unit's times are of, where they are not this machine's own. `study_instance_uid` is for what gathers a study, and no
    part of the JSON object.
    """

    path: str
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    bundle: str = ""
    weights: str = ""
    cut: str = ""
    engine: str = ""
    codec: str = ""
    payload_bytes: int = 0
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: Steps | None = None
    total_s: float = 0.0
    where: Literal["cloud", "edge", ""] = ""
    emulated: str = ""
    note: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """One JSON object; times in seconds."""
        names = ("path", "sop_instance_uid", "bundle", "weights", "cut", "engine", "codec", "payload_bytes", "outputs")
        fields = {name: getattr(self, name) for name in names}
        timings: dict[str, float] = {}
        if self.steps is not None:
            timings = {k.removesuffix("_s"): v for k, v in dataclasses.asdict(self.steps).items()}
            timings["total"] = self.total_s
        rest = {"timings_s": timings, "where": self.where, "note": self.note, "error": self.error}
        return {**fields, **rest, **({"emulated": self.emulated} if self.emulated else {})}
