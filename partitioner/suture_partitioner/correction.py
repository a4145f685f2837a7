"""Live timings against the profiles: how far a throttled processor, or a profile that no longer fits, is off by now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from suture_partitioner.types import Correction, Profile

#: The lower quartile of so many ratios counts. What disturbs a measured time makes it longer, and comes in bursts:
#: seven slow ones of nine move it, a burst of a few on a busy processor does not; three fast ones bring it back.
WINDOW: Final = 9
#: Fewer say nothing.
LEAST: Final = 3
#: Nearer to 1 than this is what measured times scatter by, not news; a plan does not change for it.
TOLERANCE: Final = 0.1
#: Where a head (or any tail) was not run for so many observations, what is known of it is out of date. Without this,
#: a unit that moved to the image upload when its processor was hot would never find out that it is cool again.
LIFE: Final = 60
#: Shorter operations are mostly their caller's overhead.
SHORTEST_S: Final = 0.2e-3
#: Beyond these a clock was wrong, or a machine asleep; they still count, but as no more.
BOUNDS: Final = (0.05, 20.0)


class Corrections:
    """Follows live timings and says what to multiply the profiles by. Not thread-safe.

    The correction is the lower quartile of the last `WINDOW` ratios of measured to profiled time, one window per
    variant for the heads and one for all tails. A processor that is throttled is noticed within seven requests, and one
    that recovers within three.
    Not given: which cuts a ratio holds for. One taken at one cut is applied to all cuts of its variant.

    Args:
        edge_profiles: What the heads were expected to take, by variant.
        cloud_profile: What the tails were expected to take; None without a cloud.
    """

    def __init__(self, edge_profiles: Iterable[Profile], cloud_profile: Profile | None = None) -> None:
        self._heads_s = {
            profile.variant_id: {cut_id: timing.compute_s for cut_id, timing in profile.cuts.items()}
            for profile in edge_profiles
        }
        tails = {} if cloud_profile is None else cloud_profile.cuts
        self._tails_s = {cut_id: timing.compute_s for cut_id, timing in tails.items()}
        self._heads: dict[str, _Ratios] = {}
        self._tail = _Ratios()
        self._seen = 0

    def observe(
        self, variant_id: str, cut_id: str, *, head_s: float | None = None, tail_s: float | None = None
    ) -> None:
        """Takes one finished request.

        Args:
            variant_id: What ran the head.
            cut_id: Where it was cut.
            head_s: Measured time of the head; None where that is not known.
            tail_s: Measured time of the tail alone, without queue and decoding; of one request, not of a batch.
        """
        self._seen += 1
        expected_s = self._heads_s.get(variant_id, {}).get(cut_id, 0.0)
        if head_s is not None and expected_s >= SHORTEST_S:
            self._heads.setdefault(variant_id, _Ratios()).add(head_s / expected_s, self._seen)
        expected_s = self._tails_s.get(cut_id, 0.0)
        if tail_s is not None and expected_s >= SHORTEST_S:
            self._tail.add(tail_s / expected_s, self._seen)

    def now(self) -> Correction:
        """What the profiles have to be multiplied by; 1 where too little was seen or nothing is off."""
        head = {variant_id: ratios.now(self._seen) for variant_id, ratios in self._heads.items()}
        return Correction(head=head, tail=self._tail.now(self._seen))


class _Ratios:
    """The last ratios of one kind of operation."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._at = 0

    def add(self, ratio: float, at: int) -> None:
        if at - self._at > LIFE:
            self._last.clear()
        low, high = BOUNDS
        self._last.append(min(max(ratio, low), high))
        self._at = at

    def now(self, at: int) -> float:
        if len(self._last) < LEAST or at - self._at > LIFE:
            return 1.0
        ratio = sorted(self._last)[len(self._last) // 4]
        return 1.0 if abs(ratio - 1) < TOLERANCE else ratio
