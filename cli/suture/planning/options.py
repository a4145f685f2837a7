"""What the options of `suture plan` mean, each refused by its name where it does not read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from suture_models.bundle import Bundle
from suture_partitioner.energy import PowerModel, power_model
from suture_partitioner.objective import OBJECTIVES
from suture_partitioner.profile_file import load_profile
from suture_partitioner.types import Constraints, LinkEstimate, Objective, Profile
from suture_protocol.codecs.registry import codec_of, codecs_in_words
from suture_protocol.errors import BundleError, CodecError, UsageError
from suture_protocol.units import parse_rate_bps, parse_share, parse_size_bytes, parse_time_s

T = TypeVar("T")


def link(bandwidth: str, rtt: str, spread: str) -> LinkEstimate:
    """The link to plan for.

    Raises:
        UsageError: as all below: an option does not read, or cannot be.
    """
    bandwidth_bps = _parsed(parse_rate_bps, "--bandwidth", bandwidth)
    if bandwidth_bps <= 0:
        raise UsageError(f"--bandwidth {bandwidth}: a link carries something; without one leave --cloud-profile out")
    share = _parsed(parse_share, "--spread", spread)
    rtt_s = _parsed(parse_time_s, "--rtt", rtt)
    return LinkEstimate(bandwidth_bps=bandwidth_bps, rtt_s=rtt_s, spread_bps=share * bandwidth_bps)


def objective(name: str) -> Objective:
    """What to make small."""
    for known in OBJECTIVES:
        if name == known:
            return known
    raise UsageError(f"--objective {name}: no such objective; there are: {', '.join(OBJECTIVES)}")


def power(name: str | None, aim: str, energy: str | None) -> PowerModel | None:
    """The unit's power; needed where energy counts."""
    if name is None:
        if aim == "energy" or energy is not None:
            needs = "--objective energy" if aim == "energy" else "--energy"
            raise UsageError(f"{needs} takes the unit's power: add --power DEVICE, e.g. --power pi-4")
        return None
    try:
        return power_model(name)
    except UsageError as error:
        raise UsageError(f"--power {name}: {error}") from error


def constraints(
    bundle: Bundle,
    *,
    deadline: str | None,
    privacy_floor: str | None,
    codecs: list[str] | None,
    memory: str | None,
    energy: str | None,
    accuracy_budget: str | None,
) -> Constraints:
    """What the plan must respect."""
    for spec in codecs or ():
        try:
            codec_of(spec)
        except CodecError as error:
            raise UsageError(f"--codec {spec}: no such codec; there are: {codecs_in_words()}") from error
    if privacy_floor is not None:
        try:
            bundle.cut(privacy_floor)
        except BundleError as error:
            raise UsageError(f"--privacy-floor: {error}") from error
    return Constraints(
        deadline_s=_given(parse_time_s, "--deadline", deadline),
        privacy_floor=privacy_floor,
        codecs=tuple(codecs) if codecs else None,
        memory_bytes=_given(parse_size_bytes, "--memory", memory),
        energy_j=_given(_joules, "--energy", energy),
        accuracy_budget=_given(parse_share, "--accuracy-budget", accuracy_budget),
    )


def limits(given: Constraints, *, memory: str | None, accuracy_budget: str | None) -> Constraints:
    """`given` with the limits that a running unit takes as well."""
    return replace(
        given,
        memory_bytes=_given(parse_size_bytes, "--memory", memory),
        accuracy_budget=_given(parse_share, "--accuracy-budget", accuracy_budget),
    )


def profile(path: Path, bundle: Bundle) -> Profile:
    """A profile of this very bundle."""
    try:
        found = load_profile(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if found.bundle_digest != bundle.digest:
        raise UsageError(
            f"{path} was measured for {found.network} {found.bundle_digest[:12]}, {bundle.path} holds "
            f"{bundle.name} {bundle.digest[:12]}; measure again with `suture profile {bundle.path}`"
        )
    return found


def check_drawing(path: Path) -> None:
    """Refuses at once a file that could not be written in the end."""
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot {path}: drawings are SVG; name a file that ends in .svg")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"--plot {path}: no file can be written there; name one in a folder that exists")


def _given(parse: Callable[[str], T], option: str, text: str | None) -> T | None:
    return None if text is None else _parsed(parse, option, text)


def _parsed(parse: Callable[[str], T], option: str, text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _joules(text: str) -> float:
    number = text.strip().lower().removesuffix("j").strip()
    try:
        joules = float(number)
    except ValueError:
        joules = -1.0
    if not 0 <= joules < float("inf"):
        raise ValueError(f"{text[:40]!r}: an energy is written in joules, such as 1.5j or 0.2j")
    return joules
