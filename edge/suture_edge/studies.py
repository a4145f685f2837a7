"""What the images of one study say together: gathered as they are done, told when all are. Knows no network.

Any number that an image gives (a label's probability, the share that a mask covers) is a study's by its highest value,
with the image that has it, and by its mean. What that means is for a person to judge: the highest of many images is
high by chance more often than one is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from suture_edge.record import Inference


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One number over a study's images; `path` and `sop_instance_uid` are of the image with the highest."""

    highest: float
    mean: float
    path: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyResult:
    """One study of several images. `failed` of them gave no finding; `masks` are the files, in the images' order."""

    study: str
    bundle: str
    weights: str
    instances: int
    failed: int
    outputs: dict[str, Finding]
    masks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """One JSON object; the key `study` tells it from an instance's."""
        return dataclasses.asdict(self)


@dataclass(slots=True)
class _Study:
    bundle: str = ""
    weights: str = ""
    instances: int = 0
    failed: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    highest: dict[str, Finding] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)

    def add(self, found: Inference) -> None:
        self.bundle, self.weights = found.bundle, found.weights
        self.instances += 1
        self.failed += bool(found.error)
        for name, value in found.outputs.items():
            if isinstance(value, float):
                self._add_number(name, value, found)
        if isinstance(mask := found.outputs.get("mask"), str):
            self.masks.append(mask)

    def _add_number(self, name: str, value: float, found: Inference) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value
        if name not in self.highest or value > self.highest[name].highest:
            uid = found.sop_instance_uid
            self.highest[name] = Finding(highest=value, mean=0.0, path=found.path, sop_instance_uid=uid)


class Studies:
    """Gathers the records of any number of studies, in any order; keeps a few numbers of each, and no record."""

    def __init__(self) -> None:
        self._studies: dict[str, _Study] = {}

    def add(self, found: Inference) -> None:
        """Takes an image's record; one that belongs to no study, or was not read, is left out."""
        if found.study_instance_uid:
            self._studies.setdefault(found.study_instance_uid, _Study()).add(found)

    def results(self) -> Iterator[StudyResult]:
        """Of each study with more than one image, in the order of their first images."""
        for uid, study in self._studies.items():
            if study.instances > 1:
                done = max(study.instances - study.failed, 1)
                yield StudyResult(
                    study=uid,
                    bundle=study.bundle,
                    weights=study.weights,
                    instances=study.instances,
                    failed=study.failed,
                    outputs={n: dataclasses.replace(f, mean=study.sums[n] / done) for n, f in study.highest.items()},
                    masks=tuple(study.masks),
                )
