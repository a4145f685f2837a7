"""What a plan may choose from: every cut, codec and variant that both profiles cover, and what forbids one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, Manifest
from suture_partitioner.types import Choice, Constraints, LinkEstimate, Profile, Steps
from suture_protocol.codecs.registry import codec_ids, get_codec
from suture_protocol.errors import PlanError


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One cut with one codec and variant, and its times that do not depend on the link."""

    cut: Cut
    codec: str
    variant_id: str
    payload_bytes: int
    preprocess_s: float
    head_s: float
    encode_s: float
    decode_s: float
    tail_s: float

    @property
    def fixed_s(self) -> float:
        """Time of all steps but the transfer and the queue."""
        return self.preprocess_s + self.head_s + self.encode_s + self.decode_s + self.tail_s

    def total_s(self, link: LinkEstimate, queue_s: float) -> float:
        """Predicted time to the result."""
        if self.cut.id == LAST_CUT:
            return self.fixed_s
        return self.fixed_s + queue_s + self._transfer_s(link)

    def choice(self, link: LinkEstimate, queue_s: float) -> Choice:
        """This candidate with its predicted steps over `link`."""
        local = self.cut.id == LAST_CUT
        steps = Steps(
            preprocess_s=self.preprocess_s,
            head_s=self.head_s,
            encode_s=self.encode_s,
            transfer_s=0.0 if local else self._transfer_s(link),
            queue_s=0.0 if local else queue_s,
            decode_s=self.decode_s,
            tail_s=self.tail_s,
        )
        return Choice(
            cut_id=self.cut.id,
            codec=self.codec,
            variant_id=self.variant_id,
            payload_bytes=self.payload_bytes,
            steps=steps,
        )

    def _transfer_s(self, link: LinkEstimate) -> float:
        return link.rtt_s + 8 * self.payload_bytes / link.bandwidth_bps


def candidates(
    manifest: Manifest, edge_profiles: Sequence[Profile], cloud_profile: Profile | None
) -> tuple[Candidate, ...]:
    """All candidates. A codec counts where the edge measured its encoding and the cloud its decoding.

    The input is the same whichever variant would run the head, so cut 0 is taken from the first profile that has it.

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
            found += _at_cut(cut, profile, cloud_profile)
        seen_input = seen_input or INPUT_CUT in profile.cuts
    return tuple(found)


def why_forbidden(candidate: Candidate, manifest: Manifest, constraints: Constraints) -> str:
    """The constraint that forbids `candidate`, in words; empty where none does.

    Raises:
        PlanError: the privacy floor is no cut of the bundle, or an allowed codec does not exist.
    """
    floor = constraints.privacy_floor
    if floor is not None:
        try:
            least = manifest.cut(floor).index
        except KeyError:
            name = manifest.network.name
            raise PlanError(f"the privacy floor {floor!r} is no cut of {name}; `suture inspect` lists them") from None
        if candidate.cut.index < least:
            return f"shallower than the privacy floor {floor}"
    if candidate.cut.id == LAST_CUT:
        return ""
    if constraints.codecs is None:
        # A lossy picture of a patient goes out only where a person said so.
        return "" if get_codec(candidate.codec).lossless else f"codec {candidate.codec} is lossy and was not allowed"
    unknown = [codec for codec in constraints.codecs if codec not in codec_ids()]
    if unknown:
        raise PlanError(f"unknown codec {unknown[0]!r} among the allowed ones; there are: {', '.join(codec_ids())}")
    return "" if candidate.codec in constraints.codecs else f"codec {candidate.codec} is not allowed"


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


def _at_cut(cut: Cut, edge: Profile, cloud: Profile | None) -> list[Candidate]:
    head = edge.cuts[cut.id]
    if cut.id == LAST_CUT:
        return [_candidate(cut, edge, codec="", payload_bytes=0)]
    if cloud is None or cut.id not in cloud.cuts:
        return []
    tail = cloud.cuts[cut.id]
    return [
        _candidate(
            cut,
            edge,
            codec=codec,
            payload_bytes=head.payload_bytes[codec],
            encode_s=head.codec_s[codec],
            decode_s=tail.codec_s[codec],
            tail_s=tail.compute_s,
        )
        for codec in sorted(head.codec_s.keys() & head.payload_bytes.keys() & tail.codec_s.keys())
        if codec in codec_ids()
    ]


def _candidate(
    cut: Cut,
    edge: Profile,
    *,
    codec: str,
    payload_bytes: int,
    encode_s: float = 0.0,
    decode_s: float = 0.0,
    tail_s: float = 0.0,
) -> Candidate:
    return Candidate(
        cut=cut,
        codec=codec,
        variant_id=edge.variant_id,
        payload_bytes=payload_bytes,
        preprocess_s=edge.preprocess_s,
        head_s=edge.cuts[cut.id].compute_s,
        encode_s=encode_s,
        decode_s=decode_s,
        tail_s=tail_s,
    )
