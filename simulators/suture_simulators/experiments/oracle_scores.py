"""How the oracle scores without fooling itself: the winner is picked on even turns and everything scored on odd ones.

The minimum over noisy medians is biased low: the more cuts, the luckier the luckiest. Scored on turns that had no part
in picking it, the winner's time is an unbiased one, and a regret against it can come out below zero. What remains: with
few turns the winner need not be the best cut, and then regrets come out low; `self_regret` says of what order that is.

Arms that are far behind are given up early (successive elimination): after the first turn those that took more than
1.5 times the least time, after the second those above 1.2 times the least median, then 1.08, then 1.05 times. Samples
of one arm at one point scatter by one or two hundredths, so none of these could have won. What somebody chose has four
turns, or two where it is that far behind after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

#: Cut → turn → seconds.
SamplesByCut = Mapping[str, Mapping[int, float]]
_RESAMPLES: Final = 2000
#: How far behind the least median an arm may be after so many turns; the last one holds from then on.
_BEHIND_MAX: Final = (1.5, 1.2, 1.08, 1.05)
#: What was chosen has so many turns in any case, and so many where it is not far behind: some of them are scored.
_CHOSEN_LEAST: Final = 2
_CHOSEN_TURNS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Winner:
    """The best cut by the even turns (`picked_s`, biased low), and its median over the odd ones (`scored_s`)."""

    cut_id: str
    picked_s: float
    scored_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """The regret of the best cut against itself, as absolute value: half of the repeats stay below `median`."""

    median: float
    p95: float


def split_half_winner(samples_by_cut: SamplesByCut) -> Winner:
    """The cut with the least median over the even turns, with its median over the odd ones.

    Only cuts with samples in both halves take part; the first listed wins a tie.

    Raises:
        ValueError: no cut has samples in both halves.
    """
    picked = {cut: median(_half(turns, 0)) for cut, turns in samples_by_cut.items() if _both(turns)}
    if not picked:
        raise ValueError("picking a winner takes a cut with a sample in an even turn and one in an odd turn")
    best = min(picked, key=picked.__getitem__)
    return Winner(cut_id=best, picked_s=picked[best], scored_s=score_s(samples_by_cut[best]))


def still_in(samples_by_cut: SamplesByCut, turn: int, chosen: Set[str]) -> list[str]:
    """The arms that get a sample in this turn, all before having had one in each; see the module for who drops out."""
    if turn == 0:
        return list(samples_by_cut)
    medians = {arm: median(turns.values()) for arm, turns in samples_by_cut.items() if turn - 1 in turns}
    least_s = min(medians.values())
    limit_s = least_s * _BEHIND_MAX[min(turn, len(_BEHIND_MAX)) - 1]

    def stays(arm: str, time_s: float) -> bool:
        wanted = _CHOSEN_TURNS if time_s <= least_s * _BEHIND_MAX[0] else _CHOSEN_LEAST
        return time_s <= limit_s or (arm in chosen and turn < wanted)

    return [arm for arm, time_s in medians.items() if stays(arm, time_s)]


def expected_turns(ratio: float, turns: int) -> int:
    """How many of the turns an arm gets whose time is so many times the least."""
    return next((place + 1 for place, limit in enumerate(_BEHIND_MAX[:turns]) if ratio > limit), turns)


def score_s(turns: Mapping[int, float]) -> float:
    """The median over the odd turns, which had no part in picking the winner.

    An arm that was given up after its first turn has only that; it is far behind, and had no part in picking either.

    Raises:
        ValueError: no sample in an odd turn, and no lone one.
    """
    scored = _half(turns, 1) or (list(turns.values()) if len(turns) == 1 else [])
    if not scored:
        raise ValueError("scoring takes a sample in an odd turn")
    return median(scored)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.quantile(np.asarray(values), 0.95))


def regret(samples_by_cut: SamplesByCut, chosen: str, winner: Winner | None = None) -> float:
    """The chosen cut's score over the winner's, less 1; 0 where the two are the same, below 0 by noise.

    Raises:
        KeyError: the chosen cut was not measured.
        ValueError: too few samples; see `split_half_winner`.
    """
    winner = winner or split_half_winner(samples_by_cut)
    return score_s(samples_by_cut[chosen]) / winner.scored_s - 1


def self_regret(samples_by_cut: SamplesByCut, *, seed: int) -> Noise:
    """What regret the winner would show against itself, were the oracle repeated.

    Two sets of as many odd turns as there are, drawn with replacement from the winner's, stand for two repeats; the
    regret is between their medians. What differs between runs hours apart is not in it: for that run the oracle twice.

    Raises:
        ValueError: too few samples; see `split_half_winner`.
    """
    winner = split_half_winner(samples_by_cut)
    scored = np.asarray(_half(samples_by_cut[winner.cut_id], 1))
    drawn = np.random.default_rng(seed).integers(scored.size, size=(2, _RESAMPLES, scored.size))
    first, second = np.median(scored[drawn], axis=2)
    low, high = np.quantile(np.abs(first / second - 1), (0.5, 0.95))
    return Noise(median=float(low), p95=float(high))


def _half(turns: Mapping[int, float], parity: int) -> list[float]:
    return [seconds for turn, seconds in turns.items() if turn % 2 == parity]


def _both(turns: Mapping[int, float]) -> bool:
    return bool(_half(turns, 0)) and bool(_half(turns, 1))
