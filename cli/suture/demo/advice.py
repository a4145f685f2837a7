"""Where a cut inside the network would win: device factors, bandwidths, clouds and image sizes, by planning arithmetic.

Axes: K device factors, B bandwidths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import INPUT_CUT, LAST_CUT, Manifest
from suture_partitioner.candidates import Candidate, candidates, why_forbidden
from suture_partitioner.types import Constraints, Profile

FACTOR_MAX: Final = 1000.0
RATES_MIN_MAX_BPS: Final = (0.1e6, 1000e6)
#: How much faster a cloud with a GPU is taken to be where one is supposed.
FAST_CLOUD: Final = 10.0
#: Lossless bytes of a colour picture over those of a grey one, where its planes code as badly as a grey one does.
COLOUR_PLANES: Final = 3
#: Larger pictures to suppose, as multiples of the network's own side.
SIDES: Final = (2, 4, 8)
_FACTORS_K: Final = np.geomspace(1, FACTOR_MAX, 181)
_RATES_B: Final = np.geomspace(*RATES_MIN_MAX_BPS, 161)


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Where a middle cut is predicted to be faster than every rival, under one supposition.

    Attributes:
        supposing: What is supposed, in words.
        rates_bps: The lowest and the highest such rate at the emulated device factor, or None: at no rate.
        factor_by_rate: For each link's rate in bit/s the smallest such device factor up to 1000, or None.
        least: The smallest such device factor at any rate, with the lowest rate that it holds at, or None: nowhere.
    """

    supposing: str
    rates_bps: tuple[float, float] | None
    factor_by_rate: tuple[tuple[float, float | None], ...]
    least: tuple[float, float] | None


def advise(
    manifest: Manifest,
    edge: Profile,
    cloud: Profile,
    *,
    factor: float,
    rtt_s: float,
    rates_bps: Sequence[float],
    jpeg_bytes: int,
) -> tuple[Where, ...]:
    """Scans device factors 1 … 1000 and rates 0.1 … 1000 Mbit/s, as things are and under some suppositions.

    The rivals are the lossless image, the JPEG and all on the unit. Sending the DICOM file is left out, because its
    size is the file's and not the network's.

    Args:
        manifest: The bundle's.
        edge: Profile of the heads, measured at `factor`; its times are scaled from there.
        cloud: Profile of the tails.
        factor: The emulated device factor.
        rtt_s: Round trip.
        rates_bps: The links to give a device factor for.
        jpeg_bytes: Size of the input as JPEG, whose coding is taken to cost what the lossless one does.
    """
    allowed = [
        c
        for c in candidates(manifest, [edge], cloud)
        if c.cut.candidate and not why_forbidden(c, manifest, Constraints())
    ]
    height = manifest.network.preprocess.size[0]

    def where(supposing: str, *, tails: float = 1.0, side: int = 1, planes: int = 1, jpeg: bool = True) -> Where:
        supposed = [_supposed(c, tails, side, planes) for c in allowed]
        scan = _Scan(supposed, factor, rtt_s, jpeg_bytes * side * side if jpeg else None)
        return scan.where(supposing, rates_bps)

    return (
        where("as measured here"),
        where("if a lossy picture is not allowed (JPEG left out)", jpeg=False),
        where(
            f"on colour pictures, with {COLOUR_PLANES} times the lossless bytes (JPEG left out)",
            planes=COLOUR_PLANES,
            jpeg=False,
        ),
        where(f"with a cloud {FAST_CLOUD:g} times faster", tails=1 / FAST_CLOUD),
        *(where(f"with the same network on pictures of {height * s} x {height * s}", side=s) for s in SIDES),
    )


def _supposed(c: Candidate, tails: float, side: int, planes: int) -> Candidate:
    """`c` with tails that take `tails` times as long, and a picture `side` times as wide and high, of `planes` planes.

    Work, and tensors with a height and a width, then grow with the picture's area; pooled vectors do not. More planes
    make the picture itself larger, and nothing behind the first convolution.
    """
    area = side * side
    sent = area if all(len(tensor.shape) == 4 for tensor in c.cut.boundary) else 1
    if c.cut.id == INPUT_CUT:
        sent *= planes
    return dataclasses.replace(
        c,
        payload_bytes=c.payload_bytes * sent,
        preprocess_s=c.preprocess_s * area,
        head_s=c.head_s * area,
        encode_s=c.encode_s * sent,
        decode_s=c.decode_s * sent * tails,
        tail_s=c.tail_s * area * tails,
    )


class _Scan:
    """The candidates' times as straight lines in the device factor and in 1 / bandwidth."""

    def __init__(self, allowed: Sequence[Candidate], factor: float, rtt_s: float, jpeg_bytes: int | None) -> None:
        self._factor, self._rtt_s = factor, rtt_s
        self._middle = [c for c in allowed if c.cut.id not in (INPUT_CUT, LAST_CUT)]
        self._rivals = [c for c in allowed if c.cut.id in (INPUT_CUT, LAST_CUT)]
        if jpeg_bytes is not None:
            self._rivals += [dataclasses.replace(c, payload_bytes=jpeg_bytes) for c in allowed if c.cut.id == INPUT_CUT]

    def where(self, supposing: str, rates_bps: Sequence[float]) -> Where:
        wins_KB = self._wins(_FACTORS_K, _RATES_B)
        found = np.argwhere(wins_KB)
        here = np.flatnonzero(self._wins(np.array([self._factor]), _RATES_B)[0])
        return Where(
            supposing=supposing,
            rates_bps=(float(_RATES_B[here[0]]), float(_RATES_B[here[-1]])) if len(here) else None,
            factor_by_rate=tuple((rate_bps, self._first_factor(rate_bps)) for rate_bps in rates_bps),
            least=(float(_FACTORS_K[found[0][0]]), float(_RATES_B[found[0][1]])) if len(found) else None,
        )

    def _first_factor(self, rate_bps: float) -> float | None:
        wins_K = self._wins(_FACTORS_K, np.array([rate_bps]))[:, 0]
        return float(_FACTORS_K[int(wins_K.argmax())]) if wins_K.any() else None

    def _wins(self, factors_K: NDArray[np.float64], rates_B: NDArray[np.float64]) -> NDArray[np.bool_]:
        wins: NDArray[np.bool_] = self._best(self._middle, factors_K, rates_B) < self._best(
            self._rivals, factors_K, rates_B
        )
        return wins

    def _best(
        self, group: Sequence[Candidate], factors_K: NDArray[np.float64], rates_B: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        best = np.full((len(factors_K), len(rates_B)), np.inf)
        for c in group:
            unit_s = (c.preprocess_s + c.head_s + c.encode_s) / self._factor
            times_KB = (unit_s * factors_K + c.decode_s + c.tail_s)[:, None]
            if c.cut.id != LAST_CUT:
                times_KB = times_KB + self._rtt_s + 8 * c.payload_bytes / rates_B[None, :]
            best = np.minimum(best, times_KB)
        return best
