"""How the unit works, and whether what was asked of it can be done at all, told before the first image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, Variant
from suture_models.tables import BundleTables
from suture_partitioner.energy import PowerModel
from suture_partitioner.payloads import PROFILED_CODECS
from suture_partitioner.types import Choice, Constraints, Objective
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.registry import codec_of, default_codec, get_codec
from suture_protocol.errors import BundleError, CodecError, UsageError
from suture_protocol.events import Priority

#: The cut that means: plan it.
AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSettings:
    """How the unit works. `codec` None takes the planned or the tensor's default one.

    `emulated` says in words what slow device is emulated, for the records; empty for none. `power` is needed where
    `objective` or `constraints` are about energy.
    """

    codec: str | None = None
    codec_config: tuple[tuple[str, str], ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    objective: Objective = "latency"
    power: PowerModel | None = None
    priority: Priority = Priority.ROUTINE
    timeout_s: float = 30.0
    device_factor: float = 1.0
    emulated: str = ""
    out: Path | None = None


def check_settings(
    bundle: Bundle, variant: Variant, *, cut: str, codec: str | None, privacy_floor: str | None, has_cloud: bool
) -> None:
    """Checks what a person asked for against the bundle and its artefact.

    Args:
        bundle: The bundle.
        variant: The artefact that runs the heads.
        cut: A cut's id, or `auto`.
        codec: A codec's spec, or None for the planned one.
        privacy_floor: The shallowest cut allowed, or None.
        has_cloud: Whether a cloud was named.

    Raises:
        UsageError: an unknown cut or codec, or settings that contradict each other.
        BundleError: the artefact has no head for that cut.
    """
    floor = None if privacy_floor is None else _cut(bundle, privacy_floor, "the privacy floor")
    made = None if codec is None else _codec(codec)
    if cut == AUTO:
        if codec is not None and codec not in PROFILED_CODECS:
            raise UsageError(
                f"codec {codec} is not planned with ({', '.join(PROFILED_CODECS)} are); force a cut as well"
            )
        return
    forced = _cut(bundle, cut, "the cut")
    if forced.id == LAST_CUT:
        return
    if not has_cloud:
        raise UsageError(f"cut {cut} needs a cloud to finish it; name one, or use cut {LAST_CUT}")
    if floor is not None and forced.index < floor.index:
        raise UsageError(
            f"cut {cut} is shallower than the privacy floor {floor.id}; take a deeper cut, or drop the floor"
        )
    if not variant.has_cut(forced):
        have = ", ".join(c.id for c in bundle.manifest.cuts if variant.has_cut(c))
        raise BundleError(f"{variant.id} of bundle {bundle.name} has no head for cut {cut}; it has: {have}")
    if made is not None:
        _check_codec(BundleTables(bundle, variant).given_to(made, forced), forced, variant)


def codec_for(
    settings: UnitSettings, cut: Cut, boundary: tuple[NDArray[Any], ...], choice: Choice | None, tables: BundleTables
) -> Codec:
    """The codec for what crosses a cut: the one asked for, else the planned one, else the tensor's default.

    Raises:
        BundleError: it uses the bundle's tables, and these are damaged.
    """
    if settings.codec is not None:
        return tables.given_to(codec_of(settings.codec, dict(settings.codec_config)), cut)
    if choice is not None:
        return tables.given_to(codec_of(choice.codec), cut)
    return get_codec(default_codec(boundary[0].shape, boundary[0].dtype.name, is_input=cut.id == INPUT_CUT))


def _cut(bundle: Bundle, cut_id: str, what: str) -> Cut:
    try:
        return bundle.cut(cut_id)
    except BundleError as error:
        raise UsageError(f"{what}: {error}") from error


def _codec(spec: str) -> Codec:
    try:
        return codec_of(spec)
    except CodecError as error:
        raise UsageError(str(error)) from error


def _check_codec(codec: Codec, cut: Cut, variant: Variant) -> None:
    is_input = cut.id == INPUT_CUT
    for place, tensor in enumerate(cut.boundary):
        dtype = variant.wire_dtype(cut, tensor)
        if not codec.of_tensor(place).accepts(tensor.shape, dtype):
            raise UsageError(
                f"codec {codec.spec} carries no {dtype} tensor of shape {tensor.shape}, which crosses cut {cut.id}; "
                "zstd and raw carry any"
            )
    if not codec.suits(is_input=is_input):
        only = "narrows codes, and cut 0 sends an image" if is_input else "is lossy and only for images, at cut 0"
        raise UsageError(f"codec {codec.spec} {only}; use zstd at cut {cut.id}")
