"""What samples say, and how surely: medians with intervals, paired comparisons, the tests that medical papers expect.

Numbers only, no files. A value that the samples cannot support (the spread of one sample, a test between constants) is
None, never a made-up zero. Times here are skewed and drift with the machine; so medians and paired comparisons by turn
carry the claims, and the t-test and the analysis of variance are given because readers expect them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.errors import CapabilityMissing

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
#: Of fewer samples not even the whole range, from the least to the greatest, holds the median 95 times in 100: with n
#: of them it does so with probability 1 − 2^(1 − n), 94 % for five.
LEAST_SAMPLES: Final = 6
#: Numbers drawn at once by a bootstrap: 8 MB.
_BLOCK_NUMBERS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate and its confidence interval; the bounds are None where there are too few samples for one."""

    value: float
    low: float | None = None
    high: float | None = None

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval; False where there is none."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Arm a against arm b over the turns in which both have a time.

    `ratio` is the median over the turns of a's time over b's: below 1, a is faster. `p_value` is that of a Wilcoxon
    signed-rank test of the logarithms of these ratios. `a_faster` counts the turns that a won.
    """

    ratio: Interval
    p_value: float
    n: int
    a_faster: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One arm in the table of comparisons; the tests are against the reference arm, and None for that arm itself.

    `t`, `df` and `p` are Welch's, `p_holm` is `p` adjusted for the number of arms, `cohens_d` is the difference from
    the reference in pooled standard deviations (negative: faster).
    """

    arm: str
    n: int
    mean: float
    sd: float | None
    median: float
    q1: float
    q3: float
    t: float | None = None
    df: float | None = None
    p: float | None = None
    p_holm: float | None = None
    cohens_d: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Anova:
    """One-way analysis of variance over all arms, and Kruskal and Wallis' test of ranks, which needs no normality."""

    f: float | None
    df_between: int
    df_within: int
    p: float | None
    kruskal_h: float | None
    kruskal_p: float | None


def scipy_stats() -> Any:
    """`scipy.stats`, imported when first needed.

    Raises:
        CapabilityMissing: scipy is not installed.
    """
    try:
        import scipy.stats
    except ImportError as error:
        raise CapabilityMissing("the statistics of experiments need scipy: pip install 'suture[experiment]'") from error
    return scipy.stats


def median_interval(
    values: Sequence[float], *, seed: int, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """The median and its bootstrap interval by percentiles.

    Percentiles and not BCa: BCa's acceleration comes from a jackknife, which is inconsistent for medians (leaving out
    one sample moves the median by one of two steps, or not at all), and fails on ties.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    array = _array(values)
    middle = float(np.median(array))
    if array.size < LEAST_SAMPLES:
        return Interval(value=middle)
    low, high = np.quantile(_medians(array, seed, resamples), _tails(confidence))
    return Interval(value=middle, low=float(low), high=float(high))


def paired(
    a: Mapping[int, float], b: Mapping[int, float], *, seed: int, confidence: float = CONFIDENCE
) -> Paired | None:
    """Compares two interleaved arms turn by turn; None where they share no turn.

    The median of the turns' ratios, not the ratio of medians: what slows the machine for a second slows both arms of
    a turn, and cancels within it.

    Args:
        a: Turn → seconds, all above zero.
        b: The same of the other arm.
        seed: Of the bootstrap.
        confidence: Of the interval.

    Raises:
        ValueError: a time that is not above zero and finite.
    """
    turns = sorted(a.keys() & b.keys())
    if not turns:
        return None
    logs = np.log(_positive([a[turn] for turn in turns])) - np.log(_positive([b[turn] for turn in turns]))
    ratio = median_interval(np.exp(logs).tolist(), seed=seed, confidence=confidence)
    return Paired(ratio=ratio, p_value=_signed_rank(logs), n=len(turns), a_faster=int((logs < 0).sum()))


def ratio_of_medians(a: Sequence[float], b: Sequence[float], *, seed: int, confidence: float = CONFIDENCE) -> Interval:
    """The median of `a` over that of `b`, from two independent sets of samples, with its bootstrap interval.

    Raises:
        ValueError: no value, or one that is not above zero and finite.
    """
    over, under = _positive(a), _positive(b)
    value = float(np.median(over) / np.median(under))
    if min(over.size, under.size) < LEAST_SAMPLES:
        return Interval(value=value)
    ratios = _medians(over, seed, RESAMPLES) / _medians(under, seed + 1, RESAMPLES)
    low, high = np.quantile(ratios, _tails(confidence))
    return Interval(value=value, low=float(low), high=float(high))


def comparison_table(arms: Mapping[str, Sequence[float]], reference: str) -> list[Row]:
    """Every arm with its moments and quartiles, and Welch's t-test of each against the reference, adjusted by Holm.

    Raises:
        ValueError: an arm without a value, or with one that is not finite.
        KeyError: the reference is none of the arms.
    """
    base = _array(arms[reference])
    tests = {arm: _welch(_array(values), base) for arm, values in arms.items() if arm != reference}
    adjusted = dict(zip(tests, holm([test.get("p") for test in tests.values()]), strict=True))
    return [_row(arm, _array(values), tests.get(arm, {}), adjusted.get(arm)) for arm, values in arms.items()]


def anova(arms: Mapping[str, Sequence[float]]) -> Anova:
    """Whether the arms differ at all; None for what fewer than two arms, or constant ones, cannot say.

    Raises:
        ValueError: an arm without a value, or with one that is not finite.
    """
    groups = [_array(values) for values in arms.values()]
    total = sum(group.size for group in groups)
    between, within = len(groups) - 1, total - len(groups)
    f = p = h = kruskal_p = None
    if between > 0 and within > 0 and any(_spread(group) > 0 for group in groups):
        f, p = (float(number) for number in scipy_stats().f_oneway(*groups))
    if between > 0 and np.ptp(np.concatenate(groups)) > 0:
        h, kruskal_p = (float(number) for number in scipy_stats().kruskal(*groups))
    return Anova(f=f, df_between=max(between, 0), df_within=within, p=p, kruskal_h=h, kruskal_p=kruskal_p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted by Holm's step-down method (Scand. J. Statist. 6, 1979); None stays None and does not count."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        adjusted[place] = least
    return adjusted


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise ValueError("statistics take at least one value, and finite ones; leave lost samples out and count them")
    return array


def _positive(values: Sequence[float]) -> NDArray[np.float64]:
    array = _array(values)
    if (array <= 0).any():
        raise ValueError("a ratio of times takes times above zero")
    return array


def _medians(array: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    """Medians of as many resamples, a block of them at a time: a long run has thousands of samples."""
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_NUMBERS // array.size)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    parts = [np.median(array[generator.integers(array.size, size=(size, array.size))], axis=1) for size in sizes]
    return np.concatenate(parts)


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _spread(array: NDArray[np.float64]) -> float:
    """Standard deviation; 0 where it is but rounding, since constants times a rounding error would pass for a test."""
    if array.size < 2:
        return 0.0
    sd = float(array.std(ddof=1))
    return sd if sd > 1e-12 * float(np.abs(array).max()) else 0.0


def _signed_rank(logs: NDArray[np.float64]) -> float:
    if not np.any(logs):
        return 1.0
    return float(scipy_stats().wilcoxon(logs, zero_method="pratt").pvalue)


def _welch(sample: NDArray[np.float64], base: NDArray[np.float64]) -> dict[str, float]:
    """t, df, p and Cohen's d; empty where a spread is unknown (one sample) or there is none in either."""
    sd_sample, sd_base = _spread(sample), _spread(base)
    n, m = sample.size, base.size
    if min(n, m) < 2 or (sd_sample == 0 and sd_base == 0):
        return {}
    share, share_base = sd_sample**2 / n, sd_base**2 / m
    t = float(sample.mean() - base.mean()) / math.sqrt(share + share_base)
    df = (share + share_base) ** 2 / (share**2 / (n - 1) + share_base**2 / (m - 1))
    pooled = math.sqrt(((n - 1) * sd_sample**2 + (m - 1) * sd_base**2) / (n + m - 2))
    return {
        "t": t,
        "df": df,
        "p": float(2 * scipy_stats().t.sf(abs(t), df)),
        "cohens_d": float(sample.mean() - base.mean()) / pooled,
    }


def _row(arm: str, values: NDArray[np.float64], test: Mapping[str, float], p_holm: float | None) -> Row:
    q1, median, q3 = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return Row(
        arm=arm,
        n=values.size,
        mean=float(values.mean()),
        sd=_spread(values) if values.size > 1 else None,
        median=median,
        q1=q1,
        q3=q3,
        p_holm=p_holm,
        **test,
    )
