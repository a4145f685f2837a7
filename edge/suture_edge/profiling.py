"""The unit's profile of a bundle: measured heads and encoders, kept in a cache that is keyed by all they depend on."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from suture_edge.engines.base import Engine
from suture_edge.engines.registry import get_engine, load_head
from suture_edge.heads import Heads
from suture_edge.slowdown import Slowdown, SlowedCodec, full_speed
from suture_models.manifest import LAST_CUT, Cut
from suture_partitioner.device import device_fingerprint
from suture_partitioner.profile import PROFILED_CODECS, Progress, Subject, measure
from suture_partitioner.profile_file import cache_folder, kept_or_measured, profile_key
from suture_partitioner.types import Profile
from suture_protocol.codecs.registry import get_codec

#: What `infer --cut auto` may spend on first use.
QUICK_BUDGET_S = 12.0
_COUNTED_RUNS = 5


def versions(engine: Engine) -> dict[str, str]:
    """Versions of what the times depend on."""
    return {engine.name: engine.version(), "suture": version("suture")}


def measure_edge(
    heads: Heads,
    images: Sequence[NDArray[Any]],
    *,
    budget_s: float,
    device_factor: float = 1.0,
    emulated: str = "",
    slow: Slowdown = full_speed,
    preprocess_s: float = 0.0,
    progress: Progress | None = None,
) -> Profile:
    """Measures the candidate cuts of a bundle on this device.

    Args:
        heads: Bundle, engine, variant and threads to measure with; its own cache of heads is not used.
        images: Preprocessed inputs; payload sizes are medians over them.
        budget_s: Time to spend.
        device_factor: The emulated slow-down in force, for the record.
        emulated: The emulated device in words, with its calibration, for the record; empty for none.
        slow: The emulation itself.
        preprocess_s: Measured time of reading and preprocessing one input.
        progress: See `suture_partitioner.profile.measure`.

    Raises:
        BundleError: a head cannot be cut out of the variant's artefact.
        CapabilityMissing: the engine's library is not installed.
    """
    manifest = heads.bundle.manifest
    cuts = [cut for cut in manifest.cuts if cut.candidate and heads.variant.has_cut(cut)]
    subjects = [Subject(cut=cut, load=partial(_load, heads, cut, slow), samples=images) for cut in cuts]
    codecs = [SlowedCodec(get_codec(name), slow) for name in PROFILED_CODECS]
    timings = measure(subjects, side="edge", codecs=codecs, budget_s=budget_s, progress=progress)
    return Profile(
        side="edge",
        bundle_digest=heads.bundle.digest,
        network=heads.bundle.name,
        engine=heads.engine.name,
        variant_id=heads.variant.id,
        device={**device_fingerprint(), **({"emulated": emulated} if emulated else {})},
        versions=versions(heads.engine),
        threads=heads.threads,
        device_factor=device_factor,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        preprocess_s=preprocess_s,
        cuts=timings,
        layers_s=layer_times(heads, images[0]),
    )


def _load(heads: Heads, cut: Cut, slow: Slowdown) -> tuple[Callable[[Any], Any], Callable[[], None]]:
    head = load_head(heads.engine, heads.bundle, heads.variant, cut, threads=heads.threads)
    return slow(head.run), head.close


def layer_times(heads: Heads, image: NDArray[Any]) -> dict[str, float]:
    """Time of each layer of the whole network by the engine's counters: the least of a few runs, seconds, undilated.

    Minima predict a head's time, medians do not: a layer's count holds whatever interrupted it.
    """
    counting = get_engine(heads.engine.name, counters=True)
    last = heads.bundle.cut(LAST_CUT)
    if not heads.variant.has_cut(last):
        return {}
    least: dict[str, float] = {}
    with closing(counting.load(heads.bundle, heads.variant, last, threads=heads.threads)) as head:
        for _ in range(_COUNTED_RUNS):
            head.run(image)
            for name, seconds in head.layer_times_s().items():
                least[name] = min(seconds, least.get(name, seconds))
    return least


def cached_profile(
    heads: Heads,
    images: Callable[[], Sequence[NDArray[Any]]],
    *,
    device_factor: float,
    emulated: str = "",
    slow: Slowdown,
    preprocess_s: float,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Profile:
    """The quick profile of `heads` on this device, measured on first use and kept in `folder`; raises as the above.

    `preprocess_s` is that of the caller's inputs and replaces the kept one.
    """
    key = profile_key(
        side="edge",
        bundle_digest=heads.bundle.digest,
        engine=heads.engine.name,
        variant_id=heads.variant.id,
        device=device_fingerprint(),
        versions=versions(heads.engine),
        threads=heads.threads,
        device_factor=device_factor,
    )
    path = (folder or cache_folder()) / f"edge-{heads.bundle.name}-{key}.json"

    def measured() -> Profile:
        return measure_edge(
            heads,
            images(),
            budget_s=QUICK_BUDGET_S,
            device_factor=device_factor,
            emulated=emulated,
            slow=slow,
            preprocess_s=preprocess_s,
            progress=progress,
        )

    profile = kept_or_measured(
        path,
        measured,
        bundle_digest=heads.bundle.digest,
        device=device_fingerprint(),
        versions=versions(heads.engine),
    )
    return replace(profile, preprocess_s=preprocess_s)


def time_of(function: Callable[[], object], repeats: int = 3) -> float:
    """Median seconds of calling `function`, once warm."""
    function()
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        function()
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)
