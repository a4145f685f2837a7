"""The unit's profile of a bundle: measured heads and encoders, kept in a cache that is keyed by all they depend on."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from suture_edge.engines.base import Engine
from suture_edge.engines.registry import get_engine
from suture_edge.heads import Heads
from suture_edge.sizes import add_payloads
from suture_edge.slowdown import Slowdown, full_speed
from suture_edge.slowness import head_of, slow_down
from suture_models.manifest import LAST_CUT
from suture_partitioner.device import device_fingerprint
from suture_partitioner.payloads import PROFILED_CODECS, Payloads
from suture_partitioner.predict import terms
from suture_partitioner.profile import Progress, Subject, completed, in_order, measure
from suture_partitioner.profile_file import Partial, cache_folder, kept_or_measured, profile_key
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import Profile
from suture_protocol.codecs.registry import codec_of

#: What `infer --cut auto` may spend on first use.
QUICK_BUDGET_S: Final = 12.0
#: Share of the budget after which no further image's payloads are weighed, and that for checking an emulated device.
_PAYLOADS_SHARE: Final = 0.3
_CHECK_SHARE: Final = 0.15
#: Runs from which the layers' least times are taken, and until when more are added while they are not clean.
_COUNTED_RUNS: Final = 10
_COUNTED_RUNS_MIN: Final = 4
_COUNTED_S: Final = 2.5
#: Layers' times are clean when they add up to no more than so many times the processor time of a whole run.
_CLEAN: Final = 1.15


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
    resume: Partial | None = None,
) -> Profile:
    """Measures the candidate cuts of a bundle on this device, and predicts those for which there is no time.

    Payloads are weighed at every cut. On an emulated device all is measured at full speed; see `suture_edge.slowness`.

    Args:
        heads: Bundle, engine, variant and threads to measure with; its own cache of heads is not used.
        images: Preprocessed inputs; payload sizes are distributions over them.
        budget_s: Time to spend.
        device_factor: The emulated slow-down in force, for the record.
        emulated: The emulated device in words, with its calibration, for the record; empty for none.
        slow: The emulation itself.
        preprocess_s: Measured time of reading and preprocessing one input.
        progress: See `suture_partitioner.profile.measure`.
        resume: Where what is measured is kept until it is finished, to go on from.

    Raises:
        BundleError: a head cannot be cut out of the variant's artefact.
        CapabilityMissing: the engine's library is not installed.
    """
    start_s = time.perf_counter()
    manifest, before = heads.bundle.manifest, None if resume is None else resume.read()
    cuts = [cut for cut in manifest.cuts if cut.candidate and heads.variant.has_cut(cut)]
    if progress is not None:
        progress(0, len(cuts), f"counting layers, {budget_s:.0f} s left at most")
    layers_s = layer_times(heads, images[0]) if before is None else before.layers_s
    payloads = Payloads("edge", [codec_of(spec) for spec in PROFILED_CODECS], tables=heads.tables)
    add_payloads(payloads, heads, cuts, images, until_s=start_s + _PAYLOADS_SHARE * budget_s)
    described = terms(manifest, cuts, "edge", layers_s)
    blank = _blank(heads, layers_s, device_factor, emulated, preprocess_s)
    order = in_order({cut.id: described[cut.id][0] for cut in cuts}, payloads.sizes())
    measured = measure(
        [Subject(cut=manifest.cut(c), load=partial(head_of, heads, c), samples=images) for c in order],
        budget_s=budget_s * (1 - _CHECK_SHARE * (slow is not full_speed)) - (time.perf_counter() - start_s),
        kept=None if before is None else before.cuts,
        save=None if resume is None else lambda timings: resume.write(replace(blank, cuts=timings)),
        progress=progress,
    )
    slower = slow_down(heads, measured, slow, images[0], _CHECK_SHARE * budget_s, device_factor)
    timings = completed(measured, described, slower)
    if resume is not None:
        resume.drop()
    return replace(blank, cuts={cut_id: payloads.put_into(cut_id, t, slower) for cut_id, t in timings.items()})


def _blank(
    heads: Heads, layers_s: Mapping[str, float], device_factor: float, emulated: str, preprocess_s: float
) -> Profile:
    """The profile without its cuts."""
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
        cuts={},
        layers_s=layers_s,
    )


def layer_times(heads: Heads, image: NDArray[Any]) -> dict[str, float]:
    """Time of each layer of the whole network by the engine's counters: the least of a few runs, seconds, undilated.

    Minima predict a head's time, medians do not: a layer's count holds whatever interrupted it. On a busy machine that
    is every run, so runs go on until the minima add up to what the processor needed for the whole, or time is up.
    """
    counting = get_engine(heads.engine.name, counters=True)
    last = heads.bundle.cut(LAST_CUT)
    if not heads.variant.has_cut(last):
        return {}
    least: dict[str, float] = {}
    watch, whole_s, runs = Stopwatch(), float("inf"), 0
    with closing(counting.load(heads.bundle, heads.variant, last, threads=heads.threads)) as head:
        until_s = time.perf_counter() + _COUNTED_S
        while runs < _COUNTED_RUNS or sum(least.values()) > _CLEAN * whole_s:
            whole_s = min(whole_s, watch.timed(lambda: head.run(image))[1])
            for name, seconds in head.layer_times_s().items():
                least[name] = min(seconds, least.get(name, seconds))
            runs += 1
            if not least or (runs >= _COUNTED_RUNS_MIN and time.perf_counter() > until_s):
                break
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

    One that was stopped on its way goes on where it was. `preprocess_s` is that of the caller's inputs and replaces the
    kept one.
    """
    path = (folder or cache_folder()) / f"edge-{heads.bundle.name}-{_key(heads, device_factor)}.json"

    def measured() -> Profile:
        pictures = images()
        return measure_edge(
            heads,
            pictures,
            budget_s=QUICK_BUDGET_S,
            device_factor=device_factor,
            emulated=emulated,
            slow=slow,
            preprocess_s=preprocess_s,
            progress=progress,
            resume=Partial(path, pictures),
        )

    profile = kept_or_measured(
        path,
        measured,
        bundle_digest=heads.bundle.digest,
        device=device_fingerprint(),
        versions=versions(heads.engine),
    )
    return replace(profile, preprocess_s=preprocess_s)


def partial_profile(heads: Heads, images: Sequence[NDArray[Any]], device_factor: float) -> Partial:
    """Where a longer measurement for `suture profile` is kept until it is finished."""
    name = f"long-edge-{heads.bundle.name}-{_key(heads, device_factor)}.json"
    return Partial(cache_folder() / name, images)


def _key(heads: Heads, device_factor: float) -> str:
    return profile_key(
        side="edge",
        bundle_digest=heads.bundle.digest,
        engine=heads.engine.name,
        variant_id=heads.variant.id,
        device=device_fingerprint(),
        versions=versions(heads.engine),
        threads=heads.threads,
        device_factor=device_factor,
    )


def time_of(function: Callable[[], object], repeats: int = 3) -> float:
    """Median seconds of calling `function`, once warm."""
    function()
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        function()
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)
