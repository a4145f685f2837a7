"""Profiles as JSON files: strict reading, a key to cache them by, and whether one still fits what is at hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from suture_partitioner.device import VOLATILE
from suture_partitioner.payloads import PERCENTILES
from suture_partitioner.types import CutTiming, Profile

_log = logging.getLogger(__name__)

FORMAT: Final = "suture-profile"
#: A profile that was not finished; half a day later the machine may be in another state.
PARTIAL_SUFFIX: Final = ".partial.json"
PARTIAL_LIFE_S: Final = 12 * 3600.0
FORMAT_VERSION: Final = 2

#: No tail takes more images at once; a guard against nonsense in a file.
_BATCH_MAX: Final = 4096

_T = TypeVar("_T")


def profile_to_json(profile: Profile) -> str:
    """Canonical JSON, also what the cloud serves its tail profile as."""
    body = {"format": FORMAT, "format_version": FORMAT_VERSION, "profile": dataclasses.asdict(profile)}
    return json.dumps(body, sort_keys=True, indent=1, default=dict)


def profile_from_json(text: str, source: str = "profile") -> Profile:
    """Reads what `profile_to_json` wrote, and nothing else.

    Args:
        text: The JSON.
        source: File or host it came from, for messages.

    Raises:
        ValueError: not a profile of this version, or a field is missing, unknown or of the wrong kind.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not JSON ({error}); make a profile with `suture profile BUNDLE`") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ValueError(f"{source} is JSON but not a profile; make one with `suture profile BUNDLE --out FILE`")
    if body.get("format_version") != FORMAT_VERSION:
        found = body.get("format_version")
        raise ValueError(f"{source} has profile format {found!r}, this Suture reads {FORMAT_VERSION}; measure again")
    try:
        return _profile(body.get("profile"))
    except _Malformed as error:
        raise ValueError(f"{source} is a damaged profile: {error}; measure again") from None


def save_profile(profile: Profile, path: Path) -> None:
    """Writes `profile` to `path`; a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(profile_to_json(profile) + "\n", encoding="utf-8")
    temporary.replace(path)


def load_profile(path: Path) -> Profile:
    """Reads a profile from a file.

    Raises:
        ValueError: the file cannot be read or holds no profile; the message names it and says what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); make one with `suture profile BUNDLE`") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a profile but binary data; make one with `suture profile BUNDLE`") from error
    return profile_from_json(text, str(path))


def cache_folder() -> Path:
    """Where profiles are kept: `$XDG_CACHE_HOME/suture/profiles`, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "suture" / "profiles"


def kept_or_measured(
    path: Path,
    measure: Callable[[], Profile],
    *,
    bundle_digest: str,
    device: Mapping[str, str],
    versions: Mapping[str, str],
) -> Profile:
    """The profile kept at `path` where it fits, else a measured one, kept there from now on if that can be written."""
    try:
        kept = load_profile(path)
        if not fits(kept, bundle_digest, device, versions):
            return kept
    except ValueError:
        pass
    profile = measure()
    try:
        save_profile(profile, path)
    except OSError as error:  # a read-only home: work on, and measure again next time
        _log.warning("the profile of %s is not kept: %s", profile.network, error)
    return profile


class Partial:
    """A profile in the making, beside the file it is to become: what an attempt that was stopped has measured already.

    Only what was measured is in it (times as they are here, without an emulated slow-down), saved after each group of
    cuts; whoever begins again with the same key goes on from there.

    Args:
        path: The file of the finished profile.
        inputs: What was measured with; another set of inputs begins anew.
    """

    def __init__(self, path: Path, inputs: Sequence[NDArray[Any]] = ()) -> None:
        digest = hashlib.sha256()
        for array in inputs:
            digest.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
        self._stem = path.stem
        self.path = path.with_name(f"{path.stem}-{digest.hexdigest()[:8]}{PARTIAL_SUFFIX}")

    def read(self) -> Profile | None:
        """What was measured so far; None where nothing usable is there, or where it is older than `PARTIAL_LIFE_S`."""
        try:
            if time.time() - self.path.stat().st_mtime > PARTIAL_LIFE_S:
                return None
            return load_profile(self.path)
        except (OSError, ValueError):
            return None

    def write(self, profile: Profile) -> None:
        """Keeps what is measured so far, where that can be written."""
        with suppress(OSError):
            save_profile(profile, self.path)

    def drop(self) -> None:
        """It is finished: nothing to go on from, nor from other inputs."""
        with suppress(OSError):
            for path in self.path.parent.glob(f"{self._stem}-*{PARTIAL_SUFFIX}"):
                path.unlink(missing_ok=True)


def profile_key(
    *,
    side: str,
    bundle_digest: str,
    engine: str,
    variant_id: str,
    device: Mapping[str, str],
    versions: Mapping[str, str],
    threads: int,
    device_factor: float,
) -> str:
    """A name for everything a profile's times depend on, 24 hexadecimal digits; equal exactly when all of it is."""
    stable = {name: value for name, value in device.items() if name not in VOLATILE}
    parts = [side, bundle_digest, engine, variant_id, stable, dict(versions), threads, float(device_factor)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def fits(
    profile: Profile, bundle_digest: str, device: Mapping[str, str], versions: Mapping[str, str]
) -> tuple[str, ...]:
    """What makes `profile` unfit for this bundle, device and software, one sentence each; empty where it fits."""
    unfit = []
    if profile.bundle_digest != bundle_digest:
        unfit.append(f"it was measured for bundle {profile.bundle_digest[:12]}, this is {bundle_digest[:12]}")
    was = {name: value for name, value in profile.device.items() if name not in VOLATILE}
    now = {name: value for name, value in device.items() if name not in VOLATILE}
    for what, before, after in (("device's", was, now), ("version of", profile.versions, versions)):
        unfit += [
            f"the {what} {name} was {before.get(name, 'unknown')}, is {after.get(name, 'unknown')}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
    return tuple(unfit)


class _Malformed(Exception):
    """A field of the JSON is not what a profile has there."""


def _profile(raw: Any) -> Profile:
    fields = _fields(raw, Profile, "profile")
    if fields["side"] not in ("edge", "cloud"):
        raise _Malformed("side is neither edge nor cloud")
    cuts = _mapping(fields["cuts"], "cuts", _timing)
    return Profile(
        side=fields["side"],
        **{
            name: _text(fields[name], name)
            for name in ("bundle_digest", "network", "engine", "variant_id", "measured_at")
        },
        device=_mapping(fields["device"], "device", _text),
        versions=_mapping(fields["versions"], "versions", _text),
        threads=_count(fields["threads"], "threads"),
        device_factor=_seconds(fields["device_factor"], "device_factor"),
        preprocess_s=_seconds(fields["preprocess_s"], "preprocess_s"),
        cuts=cuts,
        layers_s=_mapping(fields["layers_s"], "layers_s", _seconds),
    )


def _timing(raw: Any, where: str) -> CutTiming:
    fields = _fields(raw, CutTiming, where)
    return CutTiming(
        compute_s=_seconds(fields["compute_s"], f"{where}.compute_s"),
        compute_min_s=_seconds(fields["compute_min_s"], f"{where}.compute_min_s"),
        samples=_count(fields["samples"], f"{where}.samples"),
        codec_s=_mapping(fields["codec_s"], f"{where}.codec_s", _seconds),
        payload_bytes=_mapping(fields["payload_bytes"], f"{where}.payload_bytes", _count),
        payload_quantiles_bytes=_mapping(
            fields["payload_quantiles_bytes"], f"{where}.payload_quantiles_bytes", _quantiles
        ),
        load_s=_seconds(fields["load_s"], f"{where}.load_s"),
        first_s=_seconds(fields["first_s"], f"{where}.first_s"),
        memory_bytes=_count(fields["memory_bytes"], f"{where}.memory_bytes"),
        batch_s=_batches(fields["batch_s"], f"{where}.batch_s"),
    )


def _quantiles(raw: Any, where: str) -> tuple[int, ...]:
    if not isinstance(raw, list) or len(raw) != len(PERCENTILES):
        raise _Malformed(f"{where} is not a list of {len(PERCENTILES)} sizes")
    return tuple(_count(size, where) for size in raw)


def _batches(raw: Any, where: str) -> dict[int, float]:
    found = _mapping(raw, where, _seconds)
    if not all(size.isascii() and size.isdigit() and 1 <= int(size) <= _BATCH_MAX for size in found):
        raise _Malformed(f"{where} names what is no batch size")
    return {int(size): seconds for size, seconds in found.items()}


def _fields(raw: Any, kind: type, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _Malformed(f"{where} is not an object")
    expected = {field.name for field in dataclasses.fields(kind)}
    if raw.keys() != expected:
        missing, unknown = sorted(expected - raw.keys()), sorted(raw.keys() - expected)
        raise _Malformed(f"{where} lacks {missing}" if missing else f"{where} has unknown fields {unknown}")
    return raw


def _mapping(raw: Any, where: str, read: Callable[[Any, str], _T]) -> dict[str, _T]:
    if not isinstance(raw, dict):
        raise _Malformed(f"{where} is not an object")
    return {name: read(value, f"{where}.{name}") for name, value in raw.items()}


def _text(raw: Any, where: str) -> str:
    if not isinstance(raw, str):
        raise _Malformed(f"{where} is not a text")
    return raw


def _seconds(raw: Any, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or raw < 0:
        raise _Malformed(f"{where} is not a number from 0 up")
    return float(raw)


def _count(raw: Any, where: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise _Malformed(f"{where} is not a whole number from 0 up")
    return raw
