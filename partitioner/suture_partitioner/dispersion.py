"""The rate of a bottleneck, told from how far apart it spaced what passed through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: Chunks that arrive closer together than this were read from one buffer; their spacing says nothing.
MIN_SPACING_S: Final = 0.002


def dispersion(arrivals: Sequence[tuple[int, float]]) -> float | None:
    """Rate in bit/s at which the bottleneck spaced the chunks: the median over bytes of the rates between arrivals.

    The median passes over the pauses of slow start, in which the sender waits and the bottleneck idles.

    Args:
        arrivals: (bytes arrived so far, time in seconds), in the order of time.

    Returns:
        None where fewer than three chunks arrived at times that can be told apart.
    """
    spans: list[tuple[float, int]] = []
    if not arrivals:
        return None
    start_bytes, start_s = arrivals[0]
    for end_bytes, end_s in arrivals[1:]:
        if end_s - start_s >= MIN_SPACING_S and end_bytes > start_bytes:
            spans.append((8 * (end_bytes - start_bytes) / (end_s - start_s), end_bytes - start_bytes))
            start_bytes, start_s = end_bytes, end_s
    if len(spans) < 2:
        return None
    spans.sort()
    half = sum(size for _, size in spans) / 2
    passed = 0
    for rate_bps, size in spans:
        passed += size
        if passed >= half:
            return rate_bps
    return spans[-1][0]
