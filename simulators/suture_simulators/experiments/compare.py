"""`suture experiment compare A B`: what changed from one run of an experiment to another, beyond the samples' noise.

Each arm at each point is tested (Mann and Whitney), each arm over all points too (Wilcoxon), p-values are adjusted by
Benjamini and Hochberg: of what is called changed, no more than `ALPHA` is expected to be chance. Holm's adjustment
would be stricter than the handful of samples at each of several hundred points could ever meet.

What the samples of a run cannot know is what differs between runs as such, a warmer machine or a busier one. Compare
two runs of the same thing first: what they show is that.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from suture_protocol.errors import UsageError
from suture_simulators.experiments.statistics import Interval, median_interval, ratio_of_medians, scipy_stats
from suture_simulators.experiments.store import CONFIGURATION, RESULTS, differences

ALPHA: Final = 0.05
#: A change of less is called none, however sure: links and devices are emulated no better than this.
LEAST_CHANGE: Final = 0.02
#: Circumstances of a run that explain a change.
_FACTS: Final = (
    "versions",
    "commit",
    "kernel",
    "machine",
    "congestion_control",
    "link_backend",
    "cloud_device",
    "networks",
    "seed",
)
_SEED: Final = 1

Verdict = Literal["slower", "faster", "within noise", "too few samples"]
#: Point and arm.
Cell = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One arm at one point, or over all points (`point` is then empty). `ratio` is B's median time over A's.

    `n_a` and `n_b` count results, or points. `p` is adjusted.
    """

    point: str
    arm: str
    a_s: float
    b_s: float
    n_a: int
    n_b: int
    ratio: Interval
    p: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """Results that did not come, of one arm at one point; `p` is Fisher's, adjusted."""

    point: str
    arm: str
    lost_a: int
    of_a: int
    lost_b: int
    of_b: int
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether as many losses more (or fewer) would be no chance."""
        return self.p < ALPHA


@dataclass(frozen=True, kw_only=True, slots=True)
class FigurePair:
    """A figure of both runs, None where one lacks it."""

    name: str
    a: float | None
    b: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What changed from A to B. `only_a`, `only_b`: points and arms of one side; `invalid` points are left out."""

    experiment: str
    a: str
    b: str
    changes: tuple[Change, ...]
    arms: tuple[Change, ...]
    losses: tuple[Losses, ...]
    figures: tuple[FigurePair, ...]
    differences: tuple[str, ...]
    only_a: tuple[Cell, ...]
    only_b: tuple[Cell, ...]
    invalid: tuple[str, ...]

    @property
    def beyond_noise(self) -> tuple[Change, ...]:
        """What got slower or faster, the largest change first; whole arms before single points."""
        found = [change for change in (*self.arms, *self.changes) if change.verdict in ("slower", "faster")]
        return tuple(sorted(found, key=lambda change: (bool(change.point), -abs(math.log(change.ratio.value)))))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)


def compare(a: Path, b: Path) -> Comparison:
    """Compares two runs of the same experiment, each given by its folder or its results.json.

    Raises:
        UsageError: one cannot be read, is no such file, or the two are of different experiments.
        CapabilityMissing: scipy is not installed.
    """
    before, now = _read(a), _read(b)
    if before["experiment"] != now["experiment"]:
        raise UsageError(
            f"{a} is a run of {before['experiment']}, {b} of {now['experiment']}; give two runs of one experiment"
        )
    invalid = sorted({point["key"] for run in (before, now) for point in run["points"] if not point["valid"]})
    ours, theirs = _cells(before, invalid), _cells(now, invalid)
    both = [cell for cell in ours if cell in theirs]
    changes = _changes(both, ours, theirs)
    return Comparison(
        experiment=before["experiment"],
        a=str(a),
        b=str(b),
        changes=changes,
        arms=_arms(changes),
        losses=_losses(both, ours, theirs),
        figures=_figures(before["figures"], now["figures"]),
        differences=(*_differing(before, now), *_configured(a, b)),
        only_a=tuple(cell for cell in ours if cell not in theirs),
        only_b=tuple(cell for cell in theirs if cell not in ours),
        invalid=tuple(invalid),
    )


def _read(path: Path) -> dict[str, Any]:
    file = path / RESULTS if path.is_dir() else path
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); give a folder that --out wrote") from error
    except ValueError as error:
        raise UsageError(f"{file} is no results.json of `suture experiment`: {error}") from error
    wanted = {"experiment": str, "figures": dict, "facts": dict, "points": list, "samples": list}
    for name, kind in wanted.items():
        if not isinstance(raw, dict) or not isinstance(raw.get(name), kind):
            raise UsageError(f"{file} is no results.json of `suture experiment`: it has no {name!r}")
    return dict(raw)


@dataclass(slots=True)
class _Cell:
    """One arm's times at one point, and how many results did not come."""

    times_s: list[float] = dataclasses.field(default_factory=list)
    lost: int = 0


def _cells(run: Mapping[str, Any], invalid: Iterable[str]) -> dict[Cell, _Cell]:
    left_out = frozenset(invalid)
    cells: dict[Cell, _Cell] = {}
    try:
        for sample in run["samples"]:
            if sample["point"] in left_out:
                continue
            cell = cells.setdefault((sample["point"], sample["arm"]), _Cell())
            if sample["error"]:
                cell.lost += 1
            else:
                cell.times_s.append(float(sample["total_s"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a sample in the results of {run['experiment']} is damaged: {error!r}") from error
    return cells


def _changes(both: Sequence[Cell], ours: Mapping[Cell, _Cell], theirs: Mapping[Cell, _Cell]) -> tuple[Change, ...]:
    tested = [cell for cell in both if ours[cell].times_s and theirs[cell].times_s]
    pairs = [(ours[cell].times_s, theirs[cell].times_s) for cell in tested]
    adjusted = _adjusted([_rank_sum(a, b) for a, b in pairs])
    return tuple(
        _change(cell, a, b, ratio_of_medians(b, a, seed=_SEED), p)
        for cell, (a, b), p in zip(tested, pairs, adjusted, strict=True)
    )


def _change(cell: Cell, a: Sequence[float], b: Sequence[float], ratio: Interval, p: float | None) -> Change:
    point, arm = cell
    return Change(
        point=point,
        arm=arm,
        a_s=median(a),
        b_s=median(b),
        n_a=len(a),
        n_b=len(b),
        ratio=ratio,
        p=p,
        verdict=_verdict(ratio, p),
    )


def _arms(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Each arm over its points: the median of the points' ratios; finds what is too small for any one of them."""
    by_arm: dict[str, list[Change]] = {}
    for change in changes:
        by_arm.setdefault(change.arm, []).append(change)
    adjusted = _adjusted([_signed_rank([math.log(c.ratio.value) for c in found]) for found in by_arm.values()])
    return tuple(
        _change(
            ("", arm),
            [change.a_s for change in found],
            [change.b_s for change in found],
            median_interval([change.ratio.value for change in found], seed=_SEED),
            p,
        )
        for (arm, found), p in zip(by_arm.items(), adjusted, strict=True)
    )


def _verdict(ratio: Interval, p: float | None) -> Verdict:
    if p is None or ratio.low is None:
        return "too few samples"
    if p >= ALPHA or not ratio.excludes(1.0) or abs(ratio.value - 1) < LEAST_CHANGE:
        return "within noise"
    return "slower" if ratio.value > 1 else "faster"


def _rank_sum(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Mann and Whitney's p; None where even a complete separation of so few samples would pass for chance."""
    if 2 / math.comb(len(a) + len(b), len(a)) >= ALPHA:
        return None
    if len({*a, *b}) == 1:
        return 1.0
    return float(scipy_stats().mannwhitneyu(a, b).pvalue)


def _signed_rank(logs: Sequence[float]) -> float | None:
    """Wilcoxon's p; None where even one sign throughout so few points would pass for chance."""
    if 2 / 2 ** len(logs) >= ALPHA:
        return None
    return float(scipy_stats().wilcoxon(logs, zero_method="pratt").pvalue) if any(logs) else 1.0


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    known = [p for p in p_values if p is not None]
    adjusted = iter(scipy_stats().false_discovery_control(known).tolist() if known else ())
    return [None if p is None else float(next(adjusted)) for p in p_values]


def _losses(both: Sequence[Cell], ours: Mapping[Cell, _Cell], theirs: Mapping[Cell, _Cell]) -> tuple[Losses, ...]:
    """Where either run lost something."""
    lossy = [cell for cell in both if ours[cell].lost or theirs[cell].lost]
    tables = [
        [[ours[cell].lost, len(ours[cell].times_s)], [theirs[cell].lost, len(theirs[cell].times_s)]] for cell in lossy
    ]
    adjusted = _adjusted([float(scipy_stats().fisher_exact(table).pvalue) for table in tables])
    return tuple(
        Losses(
            point=cell[0], arm=cell[1], lost_a=a[0], of_a=sum(a), lost_b=b[0], of_b=sum(b), p=1.0 if p is None else p
        )
        for cell, (a, b), p in zip(lossy, tables, adjusted, strict=True)
    )


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[FigurePair, ...]:
    names = dict.fromkeys([*a, *b])
    return tuple(FigurePair(name=name, a=a.get(name), b=b.get(name)) for name in names)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[str]:
    a, b = ({name: run["facts"].get(name) for name in _FACTS} for run in (before, now))
    return differences(a, b)


def _configured(a: Path, b: Path) -> Sequence[str]:
    """What differs in the configurations that lie beside the results, where they do on both sides."""
    found = []
    for path in (a, b):
        try:
            raw = json.loads(((path if path.is_dir() else path.parent) / CONFIGURATION).read_text(encoding="utf-8"))
            found.append(raw["configuration"])
        except (OSError, ValueError, KeyError, TypeError):
            return []
    # The points are compared one by one, and the seed is among the facts.
    return [line for line in differences(*found) if not line.startswith(("points was", "seed was"))]
