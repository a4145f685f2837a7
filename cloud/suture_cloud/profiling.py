"""The cloud's profile of its tails: measured in the background at start, kept, and served to the units."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray

from suture_cloud.batches import measure_batches, with_batches
from suture_cloud.executor import TailRequest
from suture_cloud.layers import boundaries, layer_times
from suture_cloud.tail import Tails
from suture_models.calibration import calibration_inputs
from suture_models.manifest import INPUT_CUT, Cut, Variant
from suture_models.tables import BundleTables
from suture_partitioner.device import device_fingerprint, resident_bytes
from suture_partitioner.payloads import PROFILED_CODECS, Payloads
from suture_partitioner.predict import terms
from suture_partitioner.profile import Progress, Run, Subject, completed, in_order, measure
from suture_partitioner.profile_file import Partial, cache_folder, kept_or_measured, profile_key, profile_to_json
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import Profile
from suture_protocol.codecs.registry import codec_of
from suture_protocol.errors import SutureError

_log = logging.getLogger(__name__)

#: What measuring one bundle's tails at start may take, and the share of it that goes to batches.
BUDGET_S: Final = 10.0
BATCH_SHARE: Final = 0.25
#: Images whose payloads are decoded, and the share of the budget after which no further one is.
IMAGES: Final = 4
PAYLOADS_SHARE: Final = 0.25


def cloud_device(device: torch.device) -> dict[str, str]:
    """The machine's fingerprint, and the GPU's name where tails run on one."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {**device_fingerprint(), "tails_on": device.type, **gpu}


def versions() -> dict[str, str]:
    """Versions of what the times depend on."""
    return {"torch": torch.__version__, "suture": version("suture")}


def measure_tails(
    tails: Tails, *, budget_s: float = BUDGET_S, progress: Progress | None = None, resume: Partial | None = None
) -> Profile:
    """Measures the tail of each candidate cut, and decoding what crosses it for a few of the package's images.

    Tails are measured as far as the time goes and predicted from the times of their operations beyond; batches at a few
    cuts, and predicted in proportion elsewhere. Tails of INT8 variants are measured, dequantising included; float ones
    differ by less than the noise.

    Args:
        tails: The bundle's tails on their device.
        budget_s: Time to spend.
        progress: See `suture_partitioner.profile.measure`.
        resume: Where to keep what is measured until it is finished, and to go on from.
    """
    start_s = time.perf_counter()
    manifest = tails.bundle.manifest
    variant = next((v for v in manifest.variants if v.precision == "int8"), None)
    cuts = [cut for cut in manifest.cuts if cut.candidate]
    images = calibration_inputs(manifest.network, None).inputs[:IMAGES]
    before = resume.read() if resume is not None else None
    layers_s = dict(before.layers_s) if before is not None else layer_times(tails, images[0])
    tables = BundleTables(tails.bundle, variant)
    payloads = Payloads("cloud", [codec_of(spec) for spec in PROFILED_CODECS], tables=tables)
    crossing: dict[str, tuple[NDArray[Any], ...]] = {}
    for turn, image in enumerate(images):
        if turn and time.perf_counter() - start_s > PAYLOADS_SHARE * budget_s:
            break
        for cut, boundary in boundaries(tails, cuts, variant, image):
            payloads.add(cut, boundary)
            crossing.setdefault(cut.id, boundary)
    described = terms(manifest, cuts, "cloud", layers_s)
    order = in_order({cut.id: described[cut.id][0] for cut in cuts}, payloads.sizes())
    runs = {cut.id: _runner(tails, cut, variant) for cut in cuts}
    blank, watch = _blank(tails, layers_s), _watch(tails.device)
    measured = measure(
        [Subject(cut=manifest.cut(c), load=_loader(tails, c, runs[c]), samples=[crossing[c]]) for c in order],
        budget_s=budget_s * (1 - BATCH_SHARE) - (time.perf_counter() - start_s),
        kept=None if before is None else before.cuts,
        save=None if resume is None else lambda timings: resume.write(replace(blank, cuts=timings)),
        progress=progress,
        watch=watch,
        resident=partial(_memory_bytes, tails.device),
    )
    batches = measure_batches(measured, crossing, runs, budget_s=BATCH_SHARE * budget_s, watch=watch)
    timings = with_batches(completed(measured, described), batches)
    if resume is not None:
        resume.drop()
    return replace(blank, cuts={cut_id: payloads.put_into(cut_id, timing) for cut_id, timing in timings.items()})


def _blank(tails: Tails, layers_s: dict[str, float]) -> Profile:
    """The profile without its cuts."""
    return Profile(
        side="cloud",
        bundle_digest=tails.bundle.digest,
        network=tails.bundle.name,
        engine="torch",
        variant_id="",
        device=cloud_device(tails.device),
        versions=versions(),
        threads=torch.get_num_threads(),
        device_factor=1.0,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        preprocess_s=0.0,
        cuts={},
        layers_s=layers_s,
    )


def _runner(tails: Tails, cut: Cut, variant: Variant | None) -> Run:
    variant_id = "" if variant is None or cut.id == INPUT_CUT else variant.id

    def run(boundary: tuple[NDArray[Any], ...]) -> Any:
        return tails.run(
            TailRequest(bundle_digest=tails.bundle.digest, cut_id=cut.id, variant_id=variant_id, tensors=boundary)
        )

    return run


def _loader(tails: Tails, cut_id: str, run: Run) -> Callable[[], tuple[Run, Callable[[], None]]]:
    def load() -> tuple[Run, Callable[[], None]]:
        tails.prepare(tails.bundle.cut(cut_id))
        return run, lambda: None

    return load


def _watch(device: torch.device) -> Stopwatch:
    """On a GPU the processor waits, so the clock counts; a tail is over when its outputs are back in memory."""
    return Stopwatch() if device.type == "cpu" else Stopwatch(processor=None)


def _memory_bytes(device: torch.device) -> int:
    return resident_bytes() if device.type == "cpu" else int(torch.cuda.memory_reserved(device))


class TailProfiles:
    """Profiles of several bundles, one after the other in a thread; see `suture_cloud.server.ProfileSource`."""

    def __init__(
        self, tails: Iterable[Tails], folder: Path | None = None, *, then: Callable[[], None] = lambda: None
    ) -> None:
        """Prepares; `start` begins to measure, and `then` is called in its thread when all are measured."""
        self._tails = list(tails)
        self._folder = folder or cache_folder()
        self._then = then
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
            except (SutureError, RuntimeError, ValueError) as error:  # the others are measured all the same
                _log.error("the tails of %s cannot be measured: %s", tails.bundle.name, error)
        self._then()

    def _profile(self, tails: Tails) -> Profile:
        path = self._folder / f"cloud-{tails.bundle.name}-{tails_key(tails)}.json"

        def measured() -> Profile:
            _log.info("measuring the tails of %s, about %.0f s", tails.bundle.name, BUDGET_S)
            return measure_tails(tails, resume=Partial(path))

        return kept_or_measured(
            path,
            measured,
            bundle_digest=tails.bundle.digest,
            device=cloud_device(tails.device),
            versions=versions(),
        )


def partial_profile(tails: Tails) -> Partial:
    """Where a longer measurement for `suture profile` is kept until it is finished."""
    return Partial(cache_folder() / f"long-cloud-{tails.bundle.name}-{tails_key(tails)}.json")


def tails_key(tails: Tails) -> str:
    """What the times of these tails depend on."""
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
