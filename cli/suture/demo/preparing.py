"""What is measured before any link: the device factor, its calibration, reading the studies, both sides' profiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from suture.demo.bundles import ENGINE
from suture_edge.client import CloudClient
from suture_edge.engines.registry import choose_variant, get_engine
from suture_edge.heads import Heads
from suture_edge.profiling import cached_profile
from suture_edge.slowdown import Slowdown, full_speed
from suture_models.bundle import Bundle, open_bundle
from suture_models.calibration import calibration_inputs
from suture_models.manifest import LAST_CUT, Precision
from suture_models.preprocess import preprocess
from suture_models.walk import read_file
from suture_partitioner.device import processor_class
from suture_partitioner.profile_file import profile_to_json
from suture_protocol.errors import LinkError
from suture_simulators.device import Calibration, Dilated, calibrate, dilate, emulate
from suture_simulators.experiments.types import Report

_READ_BUDGET_S: Final = 4.0
_READ_RUNS_MAX: Final = 7
_PREPROCESS_RUNS: Final = 5
_PROFILE_INPUTS: Final = 8
_CLOUD_PROFILE_S: Final = 120.0


def heads_of(bundle: Bundle, precision: Precision, slow: Slowdown) -> Heads:
    """The heads of a demonstration bundle, one thread."""
    variant = choose_variant(bundle, ENGINE, processor_class(), precision)
    return Heads(bundle, get_engine(ENGINE), variant, slow=slow)


def prepare(config: dict[str, Any], client: CloudClient, tell: Report) -> dict[str, Any]:
    """The job `prepare`.

    Args:
        config: `bundles` and `studies` (paths), `board`, `device_factor` (or null).
        client: Connected to the cloud over this machine's own network.
        tell: Told how it goes.
    """
    bundles = [open_bundle(Path(path)) for path in config["bundles"]]
    total = 3 + 2 * len(bundles)
    clouds: dict[str, str] = {}
    for place, bundle in enumerate(bundles):
        # Before anything is timed here: while the cloud measures its tails, the machine is not free.
        tell(place, total, f"waiting for the cloud's profile of {bundle.name} (kept for the next run)")
        clouds[bundle.name] = _cloud_profile(client, bundle)
    tell(len(bundles), total, "how much slower the emulated device is")
    device = _device(config)
    slow = dilate(device["factor"])
    calibration = _calibrated(bundles[0], slow)
    edges: dict[str, str] = {}
    for place, bundle in enumerate(bundles, start=len(bundles) + 1):
        tell(place, total, f"profiling {bundle.name} on the emulated device (kept for the next run)")
        edges[bundle.name] = _edge_profile(bundle, slow, device["factor"])
    tell(total - 2, total, "reading the studies on the emulated device")
    studies = {path: _read(Path(path), bundles, slow) for path in config["studies"]}
    profiles = {bundle.name: {"edge": edges[bundle.name], "cloud": clouds[bundle.name]} for bundle in bundles}
    return {
        "device": device,
        "calibration": calibration.to_json(),
        "calibration_text": str(calibration),
        "studies": studies,
        "profiles": profiles,
        "cloud_device": client.welcome.device if client.welcome is not None else "",
    }


def _calibrated(bundle: Bundle, slow: Dilated) -> Calibration:
    """What the factor comes to on one whole inference."""
    heads = heads_of(bundle, "int8", full_speed)
    last, image = bundle.cut(LAST_CUT), calibration_inputs(bundle.manifest.network, None).inputs[0]
    name = f"{bundle.name} {heads.variant.id}"
    calibration = calibrate(slow, lambda: heads.run(last, image), name=name, budget_s=1.0)
    heads.close()
    return calibration


def _device(config: dict[str, Any]) -> dict[str, Any]:
    """The device as plain data; puts this process under its processor class."""
    asked = config["board"] if config["device_factor"] is None else config["device_factor"]
    return emulate(asked).to_json()


def _read(path: Path, bundles: list[Bundle], slow: Slowdown) -> dict[str, Any]:
    """Times of reading one study and of preprocessing it for each network, slowed, with every sample."""
    picture = read_file(path)  # imports the readers
    read = slow(lambda: read_file(path))
    samples: list[float] = []
    while len(samples) < _READ_RUNS_MAX and sum(samples) < _READ_BUDGET_S:
        samples.append(_timed(read))
    steps: dict[str, list[float]] = {}
    for bundle in bundles:
        spec = bundle.manifest.network
        prepare_image = slow(lambda spec=spec: preprocess(picture, spec))
        steps[bundle.name] = [_timed(prepare_image) for _ in range(_PREPROCESS_RUNS)]
    return {"read_s": samples, "preprocess_s": steps}


def _timed(function: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    function()
    return time.perf_counter() - start_s


def _edge_profile(bundle: Bundle, slow: Slowdown, factor: float) -> str:
    def images() -> list[NDArray[Any]]:
        return list(calibration_inputs(bundle.manifest.network, None).inputs[:_PROFILE_INPUTS])

    heads = heads_of(bundle, "int8", full_speed)
    return profile_to_json(cached_profile(heads, images, device_factor=factor, slow=slow, preprocess_s=0.0))


def _cloud_profile(client: CloudClient, bundle: Bundle) -> str:
    until_s = time.monotonic() + _CLOUD_PROFILE_S
    while not (found := client.fetch_profile(bundle.digest)).ready:
        if time.monotonic() > until_s:
            raise LinkError(f"the cloud has not measured the tails of {bundle.name} within {_CLOUD_PROFILE_S:.0f} s")
        time.sleep(0.1)
    return found.profile_json
