"""Where the codec experiment measures: one bundle's heads and tails in this process, the images, and their labels.

Axes: N image, K output; the rest of a tensor's axes as in its boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails
from suture_edge.engines.base import Head
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import Bundle
from suture_models.calibration import quantising_inputs, varied_inputs
from suture_models.manifest import INPUT_CUT, Cut
from suture_models.preprocess import preprocess
from suture_models.train.patients import patient_of
from suture_partitioner.device import processor_class
from suture_simulators.experiments.pictures import read_image
from suture_simulators.experiments.types import Settings

#: The engine whose codes are measured; its INT8 artefact for this processor.
ENGINE: Final = "openvino"
#: Larger ones leave the cache: MobileNetV2 takes a third longer an image in eights.
_BATCH: Final = 4

Boundary = tuple[NDArray[Any], ...]


class Desk:
    """One network's images, heads and tails, made when first asked for. One thread, like the unit that is planned for.

    Attributes:
        bundle: The network's.
        variant: The INT8 artefact.
        names: Of its images, in the run's order.
        inputs: The network's input for each of them.
    """

    def __init__(self, bundle: Bundle, names: Sequence[str], settings: Settings, base: Bundle | None = None) -> None:
        """Reads the images.

        Args:
            bundle: The network's.
            names: Of the images that it is given.
            settings: Where they are.
            base: The network whose answers are the reference, where it is not this one: a bottleneck's.

        Raises:
            BundleError: the bundle has no INT8 artefact for this processor.
            InputRefused: an image cannot be read any more.
        """
        torch.set_num_threads(1)
        self.bundle = bundle
        self.variant = choose_variant(bundle, ENGINE, processor_class())
        self._base = base or bundle
        self.names = tuple(names)
        self._paths = [settings.images[name] for name in self.names]
        spec = bundle.manifest.network
        self.inputs = [preprocess(read_image(path), spec) for path in self._paths]

    @cached_property
    def truth(self) -> list[int] | None:
        """1 for an image of the second of two labels, 0 for one of the first, by the folder that it lies in.

        None unless the network has two labels, every folder is named after one, and both occur. Folder names are
        matched in any case, as `suture train` does.
        """
        labels = [label.casefold() for label in self.bundle.manifest.network.labels]
        folders = [path.parent.name.casefold() for path in self._paths]
        if len(labels) != 2 or set(folders) != set(labels):
            return None
        return [labels.index(folder) for folder in folders]

    @property
    def patients(self) -> list[str]:
        """Whose image each is, as far as file names say."""
        return [patient_of(path.stem) for path in self._paths]

    @cached_property
    def calibration(self) -> tuple[NDArray[Any], ...]:
        """The inputs that bundles are calibrated with where nothing else is given, and those added for tables."""
        spec = self.bundle.manifest.network
        return (*quantising_inputs(spec, None).inputs, *varied_inputs(spec))

    @cached_property
    def float_outputs_NK(self) -> NDArray[np.float32]:
        """What the float network says of each image: the base where there is one."""
        images = [(image,) for image in self.inputs]
        tails = self._tails if self._base is self.bundle else Tails(self._base, torch.device("cpu"))
        return _outputs(tails, self._base.cut(INPUT_CUT), "", images)

    def head(self, cut: Cut) -> Head:
        """The head of `cut`; to close it is the caller's."""
        return load_head(get_engine(ENGINE), self.bundle, self.variant, cut)

    def base_head(self, cut_id: str) -> Head:
        """The head of a cut of the base, on the same kind of artefact; to close it is the caller's."""
        variant = choose_variant(self._base, ENGINE, processor_class())
        return load_head(get_engine(ENGINE), self._base, variant, self._base.cut(cut_id))

    def outputs(self, cut: Cut, boundaries: Sequence[Boundary]) -> NDArray[np.float32]:
        """The network's first output (N, …) for what crossed `cut`."""
        return _outputs(self._tails, cut, self.variant.id, boundaries)

    def finish(self, cut: Cut, boundary: Boundary) -> None:
        """Runs the tail on one image's boundary, to be timed."""
        _run(self._tails, cut, self.variant.id, boundary)

    @cached_property
    def _tails(self) -> Tails:
        return Tails(self.bundle, torch.device("cpu"))


def _outputs(tails: Tails, cut: Cut, variant_id: str, boundaries: Sequence[Boundary]) -> NDArray[np.float32]:
    found = []
    for start in range(0, len(boundaries), _BATCH):
        batch = tuple(np.concatenate(tensors) for tensors in zip(*boundaries[start : start + _BATCH], strict=True))
        found.append(_run(tails, cut, variant_id, batch))
    return np.concatenate(found)


def _run(tails: Tails, cut: Cut, variant_id: str, tensors: Boundary) -> NDArray[np.float32]:
    request = TailRequest(bundle_digest=tails.bundle.digest, cut_id=cut.id, variant_id=variant_id, tensors=tensors)
    return next(iter(tails.run(request).values()))
