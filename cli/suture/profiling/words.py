"""What tables and drawing of a profile say alike: its title, its layers by name, what was measured, what predicted."""

from __future__ import annotations

from suture_partitioner.predict import layer_nodes
from suture_partitioner.types import CutTiming, Profile
from suture_protocol.codecs.registry import codec_of


def title(profile: Profile) -> str:
    """Network, artefact, processor; and that the device is emulated, where it is."""
    emulated = f", emulated {profile.device_factor:g} times slower" if profile.device_factor != 1 else ""
    on = profile.device.get("gpu") or profile.device.get("cpu", "?")
    return f"{profile.network}, {profile.variant_id or profile.engine} on {on}{emulated}"


def part(profile: Profile) -> str:
    """What a cut's time is of."""
    return "head" if profile.side == "edge" else "tail"


def coverage(profile: Profile) -> str:
    """How many cuts were measured."""
    measured = sum(timing.samples > 0 for timing in profile.cuts.values())
    predicted = len(profile.cuts) - measured
    by = "the engine's counters" if profile.layers_s else "arithmetic and bytes"
    rest = f", {predicted} predicted from {by} and the measured ones" if predicted else ""
    return f"{measured} {part(profile)}s measured{rest}"


def slowest_layers(profile: Profile, count: int) -> list[tuple[str, float]]:
    """The layers that take longest, by the graph's nodes that they compute; several of one name together."""
    times_s: dict[str, float] = {}
    for name, seconds in profile.layers_s.items():
        shown = " + ".join(layer_nodes(name)) or name
        times_s[shown] = times_s.get(shown, 0.0) + seconds
    return sorted(times_s.items(), key=lambda row: -row[1])[:count]


def layers_named(profile: Profile) -> int:
    """How many layers have a time."""
    return len(slowest_layers(profile, len(profile.layers_s)))


def lossless(timing: CutTiming) -> str | None:
    """The codec of the smallest payload that loses nothing; None where nothing is sent."""
    fitting = [spec for spec in timing.payload_bytes if codec_of(spec).lossless]
    return min(fitting, key=lambda spec: timing.payload_bytes[spec]) if fitting else None
