"""The cloud's profile of its tails: measured in the background at start, kept, and served to the units."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suture_cloud.executor import TailRequest
from suture_cloud.tail import Tails
from suture_models.manifest import INPUT_CUT, Cut, Variant
from suture_partitioner.device import device_fingerprint
from suture_partitioner.profile import PROFILED_CODECS, Progress, Subject, measure
from suture_partitioner.profile_file import cache_folder, kept_or_measured, profile_key, profile_to_json
from suture_partitioner.types import Profile
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import SutureError

_log = logging.getLogger(__name__)

#: What measuring one bundle's tails at start may take.
BUDGET_S = 10.0


def cloud_device(device: torch.device) -> dict[str, str]:
    """The machine's fingerprint, and the GPU's name where tails run on one."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {**device_fingerprint(), "tails_on": device.type, **gpu}


def versions() -> dict[str, str]:
    """Versions of what the times depend on."""
    return {"torch": torch.__version__, "suture": version("suture")}


def measure_tails(tails: Tails, *, budget_s: float = BUDGET_S, progress: Progress | None = None) -> Profile:
    """Measures the tail of each candidate cut, and decoding. A tail's time does not depend on the values it is given.

    Tails of INT8 variants are measured, dequantising included; float ones differ by less than the noise.
    """
    bundle = tails.bundle
    variant = next((v for v in bundle.manifest.variants if v.precision == "int8"), None)
    generator = np.random.default_rng(0)

    def loader(cut: Cut) -> Callable[[], tuple[Callable[[Any], Any], Callable[[], None]]]:
        variant_id = "" if variant is None or cut.id == INPUT_CUT else variant.id

        def run(boundary: tuple[NDArray[Any], ...]) -> Any:
            return tails.run(
                TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant_id, tensors=boundary)
            )

        return lambda: (run, lambda: None)

    subjects = [
        Subject(cut=cut, load=loader(cut), samples=[_boundary(cut, variant, generator)])
        for cut in bundle.manifest.cuts
        if cut.candidate
    ]
    codecs = [get_codec(name) for name in PROFILED_CODECS]
    timings = measure(subjects, side="cloud", codecs=codecs, budget_s=budget_s, progress=progress)
    return Profile(
        side="cloud",
        bundle_digest=bundle.digest,
        network=bundle.name,
        engine="torch",
        variant_id="",
        device=cloud_device(tails.device),
        versions=versions(),
        threads=torch.get_num_threads(),
        device_factor=1.0,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        preprocess_s=0.0,
        cuts=timings,
    )


def _boundary(cut: Cut, variant: Variant | None, generator: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """A boundary of plausible entropy: a slowly varying ramp with a little noise, as neighbouring codes have."""
    tensors = []
    for spec in cut.boundary:
        dtype = np.dtype(spec.dtype if variant is None else variant.wire_dtype(cut, spec))
        ramp = np.linspace(0, 40, spec.elements) % 32 + generator.integers(0, 16, spec.elements)
        tensors.append(ramp.astype(dtype).reshape(spec.shape))
    return tuple(tensors)


class TailProfiles:
    """Profiles of several bundles, one after the other in a thread; see `suture_cloud.server.ProfileSource`."""

    def __init__(self, tails: Iterable[Tails], folder: Path | None = None) -> None:
        """Prepares; `start` begins to measure."""
        self._tails = list(tails)
        self._folder = folder or cache_folder()
        self._ready: dict[str, str] = {}
        self._thread = threading.Thread(target=self._measure_all, name="tail-profiles", daemon=True)

    def start(self) -> None:
        """Begins to measure in the background."""
        self._thread.start()

    def profile_json(self, bundle_digest: str) -> str | None:
        """The profile as JSON; None while it is being measured, and where it cannot be (the log says why)."""
        return self._ready.get(bundle_digest)

    def _measure_all(self) -> None:
        for tails in self._tails:
            try:
                self._ready[tails.bundle.digest] = profile_to_json(self._profile(tails))
            except (SutureError, RuntimeError) as error:  # the others are measured all the same
                _log.error("the tails of %s cannot be measured: %s", tails.bundle.name, error)

    def _profile(self, tails: Tails) -> Profile:
        path = self._folder / f"cloud-{tails.bundle.name}-{self._key(tails)}.json"

        def measured() -> Profile:
            _log.info("measuring the tails of %s", tails.bundle.name)
            return measure_tails(tails)

        return kept_or_measured(
            path,
            measured,
            bundle_digest=tails.bundle.digest,
            device=cloud_device(tails.device),
            versions=versions(),
        )

    @staticmethod
    def _key(tails: Tails) -> str:
        return profile_key(
            side="cloud",
            bundle_digest=tails.bundle.digest,
            engine="torch",
            variant_id="",
            device=cloud_device(tails.device),
            versions=versions(),
            threads=torch.get_num_threads(),
            device_factor=1.0,
        )
