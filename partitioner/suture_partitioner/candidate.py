"""One thing that a plan may choose: a cut with a codec and a variant, and what is predicted of it over a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from suture_models.manifest import LAST_CUT, Cut
from suture_partitioner.energy import PowerModel
from suture_partitioner.late import late_s
from suture_partitioner.types import Choice, Correction, LinkEstimate, Steps
from suture_protocol.codecs.narrow import FULL_BITS

#: The profiles taken as they are.
AS_PROFILED: Final = Correction()


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One cut with one codec and variant, and what of it does not depend on the link.

    Attributes:
        codec: A spec (`suture_protocol.codecs.registry.codec_of`), empty for the last cut.
        late_bytes: The payload's 95th percentile; None where the profile has only its median.
        memory_bytes: The head's; 0 where it was not measured, and at cut 0, which has none.
        bits: Width of the codes that cross, where the codec narrows all alike.
        point: Operating point of a codec that narrows as the bundle says; 0 for others.
        lossless: Whether the codec gives back what it took.
        changed_share: Share of calibration inputs whose answer the narrowed codes change; None: not measured.
    """

    cut: Cut
    codec: str
    variant_id: str
    payload_bytes: int
    preprocess_s: float
    head_s: float
    encode_s: float
    decode_s: float
    tail_s: float
    late_bytes: int | None = None
    memory_bytes: int = 0
    threads: int = 1
    bits: int = FULL_BITS
    point: int = 0
    lossless: bool = True
    changed_share: float | None = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """Cut, codec and variant: what makes it the same choice."""
        return self.cut.id, self.codec, self.variant_id

    @property
    def narrows(self) -> bool:
        """Whether codes lose something on their way."""
        return self.bits < FULL_BITS or self.point > 0

    @property
    def local(self) -> bool:
        """Whether the link has no part in it."""
        return self.cut.id == LAST_CUT

    @property
    def fixed_s(self) -> float:
        """Time of all steps but the transfer and the queue."""
        return self.preprocess_s + self.head_s + self.encode_s + self.decode_s + self.tail_s

    def total_s(self, link: LinkEstimate, queue_s: float) -> float:
        """Time to the result by the profiles alone."""
        if self.local:
            return self.fixed_s
        return self.fixed_s + queue_s + link.rtt_s + 8 * self.payload_bytes / link.bandwidth_bps

    def choice(
        self,
        link: LinkEstimate,
        queue_s: float,
        correction: Correction = AS_PROFILED,
        power: PowerModel | None = None,
        uncertain: LinkEstimate | None = None,
        others_s: float = 0.0,
    ) -> Choice:
        """This candidate with what is predicted of it.

        Args:
            link: The link to plan with; its spread is not looked at.
            queue_s: The cloud's queue.
            correction: How the profiles are off.
            power: For the energy.
            uncertain: The link with its spread, for the 95th percentile; `link` where there is none.
            others_s: What a request to the cloud makes other units wait.
        """
        air_s = 8 * self.payload_bytes / link.bandwidth_bps
        steps = Steps(
            preprocess_s=self.preprocess_s,
            head_s=self.head_s * correction.head.get(self.variant_id, 1.0),
            encode_s=self.encode_s,
            transfer_s=0.0 if self.local else link.rtt_s + air_s,
            queue_s=0.0 if self.local else queue_s,
            decode_s=self.decode_s,
            tail_s=self.tail_s * correction.tail,
        )
        edge_s = steps.preprocess_s + steps.head_s + steps.encode_s
        cloud_s = steps.decode_s + steps.tail_s
        late = float(late_s(self._spread(), edge_s + cloud_s, queue_s, uncertain or link))
        return Choice(
            cut_id=self.cut.id,
            codec=self.codec,
            variant_id=self.variant_id,
            payload_bytes=self.payload_bytes,
            steps=steps,
            late_s=late,
            period_s=max(edge_s, air_s, cloud_s),
            energy_j=None if power is None else self._energy_j(power, steps, edge_s, air_s),
            others_s=0.0 if self.local else others_s,
            changed_share=self.changed_share or 0.0,
            memory_bytes=self.memory_bytes,
        )

    def _spread(self) -> tuple[float, float, float]:
        late_bytes = self.payload_bytes if self.late_bytes is None else self.late_bytes
        return 8.0 * self.payload_bytes, 8.0 * late_bytes, float(not self.local)

    def _energy_j(self, power: PowerModel, steps: Steps, edge_s: float, air_s: float) -> float:
        wait_s = steps.total_s - edge_s - air_s
        return float(power.joules(power.compute_w(self.threads), edge_s, air_s, 8.0 * self.payload_bytes, wait_s))
