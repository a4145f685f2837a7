"""What a plan may choose from: every cut, codec and variant that both profiles cover, and what forbids one."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from suture_models.manifest import INPUT_CUT, Cut, Manifest
from suture_partitioner.candidate import Candidate
from suture_partitioner.types import Constraints, Profile
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.registry import codec_of, codecs_in_words
from suture_protocol.errors import CodecError, PlanError
from suture_protocol.units import format_share, format_size

__all__ = [
    "UNMEASURED",
    "Candidate",
    "ChangedShares",
    "broken_rules",
    "candidates",
    "check_constraints",
    "why_forbidden",
]

#: The rule that no constraint relaxes: narrowed codes whose loss nobody measured.
UNMEASURED: Final = "unmeasured"


class ChangedShares(Protocol):
    """What a bundle's annotations say of narrowed codes (`suture_models.accuracy`)."""

    def changed_share(self, cut_id: str, bits: int) -> float | None:
        """Share of calibration inputs whose answer differs from that at full width; None: not measured."""

    def point_share(self, cut_id: str, point: int) -> float | None:
        """The same for an operating point of `narrow`."""


def candidates(
    manifest: Manifest,
    edge_profiles: Sequence[Profile],
    cloud_profile: Profile | None,
    accuracy: ChangedShares | None = None,
) -> tuple[Candidate, ...]:
    """All candidates. A codec counts where the edge measured its encoding and the cloud its decoding.

    The input is the same whichever variant would run the head, so cut 0 is taken from the first profile that has it.

    Args:
        manifest: The bundle's.
        edge_profiles: The heads', one per engine and precision.
        cloud_profile: The tails'; None leaves the last cut.
        accuracy: What narrowed codes cost in answers, as the bundle's annotations measured it.

    Raises:
        PlanError: the profiles belong to different bundles or sides.
    """
    _check_profiles(edge_profiles, cloud_profile)
    found: list[Candidate] = []
    seen_input = False
    for profile in edge_profiles:
        for cut in manifest.cuts:
            if cut.id not in profile.cuts or (cut.id == INPUT_CUT and seen_input):
                continue
            found += _at_cut(cut, profile, cloud_profile, accuracy)
        seen_input = seen_input or INPUT_CUT in profile.cuts
    return tuple(found)


def check_constraints(manifest: Manifest, constraints: Constraints) -> None:
    """Refuses constraints that name what does not exist.

    Raises:
        PlanError: the privacy floor is no cut of the bundle, or an allowed codec does not exist.
    """
    floor = constraints.privacy_floor
    if floor is not None and floor not in {cut.id for cut in manifest.cuts}:
        name = manifest.network.name
        raise PlanError(f"the privacy floor {floor!r} is no cut of {name}; `suture inspect` lists them")
    unknown = [spec for spec in constraints.codecs or () if _codec(spec) is None]
    if unknown:
        raise PlanError(f"unknown codec {unknown[0]!r} among the allowed ones; there are: {codecs_in_words()}")


def broken_rules(candidate: Candidate, manifest: Manifest, constraints: Constraints) -> Mapping[str, str]:
    """The constraints that forbid `candidate` on any link: their names in `Constraints`, and why, in words.

    `UNMEASURED` stands for a loss that nobody measured, which no constraint relaxes. The constraints name what exists:
    see `check_constraints`.
    """
    broken: dict[str, str] = {}
    floor = constraints.privacy_floor
    if floor is not None and candidate.cut.index < manifest.cut(floor).index:
        broken["privacy_floor"] = f"shallower than the privacy floor {floor}"
    limit = constraints.memory_bytes
    if limit is not None and candidate.memory_bytes > limit:
        broken["memory_bytes"] = (
            f"its head takes {format_size(candidate.memory_bytes)} of memory, over the {format_size(limit)} allowed"
        )
    if not candidate.local:
        broken |= _codec_rules(candidate, constraints.codecs)
        broken |= _accuracy_rules(candidate, constraints.accuracy_budget)
    return broken


def why_forbidden(candidate: Candidate, manifest: Manifest, constraints: Constraints) -> str:
    """The constraints that forbid `candidate` on any link, in words; empty where none does.

    Raises:
        PlanError: see `check_constraints`.
    """
    check_constraints(manifest, constraints)
    return "; ".join(broken_rules(candidate, manifest, constraints).values())


def _codec_rules(candidate: Candidate, allowed: tuple[str, ...] | None) -> dict[str, str]:
    narrowed = candidate.narrows
    if allowed is None:
        # A lossy picture of a patient goes out only where a person said so; narrowed codes have their own budget.
        refused = not candidate.lossless and not narrowed
        return {"codecs": f"codec {candidate.codec} is lossy and was not allowed"} if refused else {}
    named = candidate.codec in allowed or (narrowed and candidate.codec.partition("@")[0] in allowed)
    return {} if named else {"codecs": f"codec {candidate.codec} is not allowed"}


def _accuracy_rules(candidate: Candidate, budget: float | None) -> dict[str, str]:
    if not candidate.narrows:
        return {}
    share = candidate.changed_share
    coarse = f"codes of {candidate.codec}" if candidate.point else f"{candidate.bits}-bit codes"
    if share is None:
        return {UNMEASURED: f"what {coarse} change here was not measured"}
    if budget is None:
        said = f"changing {format_share(share)} of the answers" if share else "which changed no calibration answer"
        return {"accuracy_budget": f"{coarse}, {said}, take an accuracy budget"}
    if share > budget:
        return {"accuracy_budget": f"changes {format_share(share)} of the answers, over the {format_share(budget)}"}
    return {}


@functools.cache
def _codec(spec: str) -> Codec | None:
    """The codec of a spec; None where this installation knows none."""
    try:
        return codec_of(spec)
    except CodecError:
        return None


def _check_profiles(edge_profiles: Sequence[Profile], cloud_profile: Profile | None) -> None:
    clouds = [] if cloud_profile is None else [cloud_profile]
    for side, profiles in (("edge", edge_profiles), ("cloud", clouds)):
        wrong = [profile for profile in profiles if profile.side != side]
        if wrong:
            raise PlanError(f"a profile of the {wrong[0].side} was given for the {side}; swap the two files")
    digests = {profile.bundle_digest for profile in (*edge_profiles, *clouds)}
    if len(digests) > 1:
        which = " and ".join(sorted(digest[:12] for digest in digests))
        raise PlanError(f"the profiles were measured for different bundles ({which}); profile one bundle on both sides")


def _at_cut(cut: Cut, edge: Profile, cloud: Profile | None, accuracy: ChangedShares | None) -> list[Candidate]:
    head = edge.cuts[cut.id]
    alone = Candidate(
        cut=cut,
        codec="",
        variant_id=edge.variant_id,
        payload_bytes=0,
        preprocess_s=edge.preprocess_s,
        head_s=head.compute_s,
        encode_s=0.0,
        decode_s=0.0,
        tail_s=0.0,
        memory_bytes=0 if cut.id == INPUT_CUT else head.memory_bytes,
        threads=edge.threads,
    )
    if alone.local:
        return [alone]
    if cloud is None or cut.id not in cloud.cuts:
        return []
    tail = cloud.cuts[cut.id]
    found = []
    for spec in sorted(head.codec_s.keys() & head.payload_bytes.keys() & tail.codec_s.keys()):
        codec = _codec(spec)
        if codec is None or not codec.suits(is_input=cut.id == INPUT_CUT):
            continue
        quantiles = head.payload_quantiles_bytes.get(spec, ())
        found.append(
            replace(
                alone,
                codec=spec,
                payload_bytes=head.payload_bytes[spec],
                encode_s=head.codec_s[spec],
                decode_s=tail.codec_s[spec],
                tail_s=tail.compute_s,
                late_bytes=quantiles[-1] if quantiles else None,
                bits=codec.bits,
                point=codec.point,
                lossless=codec.lossless,
                changed_share=_changed_share(cut, codec, accuracy),
            )
        )
    return found


def _changed_share(cut: Cut, codec: Codec, accuracy: ChangedShares | None) -> float | None:
    if not codec.narrows:
        return 0.0
    if accuracy is None:
        return None
    return accuracy.point_share(cut.id, codec.point) if codec.point else accuracy.changed_share(cut.id, codec.bits)
