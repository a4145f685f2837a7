"""Makes the records of one unit's images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suture_edge.outputs import readable
from suture_edge.record import Inference, Work
from suture_edge.settings import UnitSettings
from suture_models.bundle import Bundle
from suture_models.manifest import Cut
from suture_partitioner.types import Steps


class Recorder:
    """Of one bundle, with one unit's settings. Not thread-safe."""

    def __init__(self, bundle: Bundle, settings: UnitSettings) -> None:
        self._bundle = bundle
        self._settings = settings
        self._stems: dict[str, str] = {}

    def stem(self, name: str) -> str:
        """The input's name without its folder and ending, made unique among this unit's inputs."""
        plain = Path(name).stem
        stem, count = plain, 1
        while self._stems.setdefault(stem, name) != name:
            count += 1
            stem = f"{plain}-{count}"
        return stem

    def record(self, work: Work, cut: Cut, steps: Steps, outputs: Mapping[str, Any], **fields: Any) -> Inference:
        """The record of a finished image; one with outputs that are not numbers has an error and no finding."""
        spec = self._bundle.manifest.network
        said = readable(outputs, spec, work.stem, self._settings.out)
        if not all(math.isfinite(value) for value in said.values() if isinstance(value, float)):
            said = {}
            fields["error"] = f"{spec.name} gave a number that is not finite; no finding"
        return Inference(
            path=work.name,
            sop_instance_uid=work.picture.sop_instance_uid or "",
            study_instance_uid=work.picture.study_instance_uid,
            bundle=self._bundle.digest,
            weights=spec.weights,
            cut=cut.id,
            outputs=said,
            steps=steps,
            total_s=steps.total_s,
            emulated=self._settings.emulated,
            **fields,
        )
