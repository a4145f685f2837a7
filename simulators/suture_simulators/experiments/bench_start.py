"""What a bench finds out as it starts: which congestion control links may use, and the cloud's profiles."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_models.bundle import Bundle
from suture_partitioner.profile_file import cache_folder, profile_from_json
from suture_partitioner.types import Profile
from suture_protocol.errors import CapabilityMissing, LinkError
from suture_simulators.device import parse_device
from suture_simulators.experiments.processes import CloudProcess
from suture_simulators.experiments.types import Report
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import LinkProfile

#: What Linux has by default; where a network namespace may not use it, the system's own is taken and recorded.
PREFERRED_CONGESTION_CONTROL: Final = "cubic"
_CLOUD_PROFILE_S: Final = 300.0


def usable_congestion_control(wanted: str | None) -> str | None:
    """The one wanted; else the preferred one where it is allowed, else None for the system's.

    Tells before anything is started whether links can be emulated here.

    Raises:
        CapabilityMissing: they cannot, or not with the one wanted.
    """
    tries = [wanted] if wanted is not None else [PREFERRED_CONGESTION_CONTROL, None]
    for place, name in enumerate(tries):
        try:
            EmulatedLink(LinkProfile(), congestion_control=name).__enter__().close()
        except CapabilityMissing:
            if place == len(tries) - 1:
                raise
        else:
            return name
    return None


def unit_environment(device: str, images: Mapping[str, str], suited: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """A unit's environment: one thread, the device's instructions, and a cache for the profiles with these images."""
    name = hashlib.sha256(json.dumps([images, suited], sort_keys=True).encode()).hexdigest()[:12]
    return {
        "OMP_NUM_THREADS": "1",
        **parse_device(device).environment(),
        "XDG_CACHE_HOME": str(cache_folder().parent / "experiments" / name),
    }


def tail_profiles(cloud: CloudProcess, bundles: Mapping[str, Bundle], report: Report) -> tuple[str, dict[str, Profile]]:
    """The device of the cloud's tails, and network's name → their profile.

    From this process, so that no slow link has to carry them; while the cloud measures, nothing else may run.

    Raises:
        LinkError: the cloud does not measure a bundle.
        ExperimentFailed: it ended.
    """
    found: dict[str, Profile] = {}
    with CloudClient(f"127.0.0.1:{cloud.port}", PlainChannels(insecure=True)) as client:
        device = client.ensure_connected(timeout_s=15.0).device
        for place, (name, bundle) in enumerate(bundles.items()):
            report(place, len(bundles), f"waiting for the cloud's profile of {name} (kept for the next run)")
            found[name] = _profile(client, bundle, cloud)
    return device, found


def _profile(client: CloudClient, bundle: Bundle, cloud: CloudProcess) -> Profile:
    until_s = time.monotonic() + _CLOUD_PROFILE_S
    while not (found := client.fetch_profile(bundle.digest)).ready:
        cloud.check()
        if time.monotonic() > until_s:
            raise LinkError(f"the cloud has not measured {bundle.name} within {_CLOUD_PROFILE_S:.0f} s")
        time.sleep(0.1)
    return profile_from_json(found.profile_json, "the cloud's profile")
