"""The table of tests that medical papers print: mean ± SD, median [IQR], Welch's t, analysis of variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from suture_simulators.experiments.page import Table
from suture_simulators.experiments.statistics import Anova, Row, anova, comparison_table

_HEAD: Final = (
    "point", "way", "n", "mean ± SD (ms)", "median [IQR] (ms)", "t (df)", "p", "p (Holm)", "Cohen's d",
    "F (df), p over all ways", "Kruskal-Wallis H, p",
)  # fmt: skip


def comparison_of_ways(
    points: Mapping[str, Mapping[str, Sequence[float]]], reference: str, *, titles: Mapping[str, str], folded: str = ""
) -> Table:
    """A row for each way at each point; the tests over all ways of a point stand in the reference's row.

    Args:
        points: Title of a point → way → seconds. Points without the reference, or with it alone, are left out.
        reference: The way that the others are tested against.
        titles: Way → what to call it.
        folded: Folds the table away under this name.

    Raises:
        CapabilityMissing: scipy is not installed.
    """
    rows: list[list[str]] = []
    for title, arms in points.items():
        if reference not in arms or len(arms) < 2:
            continue
        overall = anova(arms)
        for row in comparison_table(arms, reference):
            over_all = _over_all(overall) if row.arm == reference else ["", ""]
            rows.append([title, titles.get(row.arm, row.arm), *_cells(row), *over_all])
    return Table(head=_HEAD, rows=rows, folded=folded)


def p_text(p: float | None) -> str:
    """A p-value as papers print it; a dash where there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cells(row: Row) -> list[str]:
    sd = "–" if row.sd is None else _ms(row.sd)
    t = "–" if row.t is None or row.df is None else f"{row.t:.2f} ({row.df:.1f})"
    d = "–" if row.cohens_d is None else f"{row.cohens_d:.2f}"
    median = f"{_ms(row.median)} [{_ms(row.q1)}, {_ms(row.q3)}]"
    return [str(row.n), f"{_ms(row.mean)} ± {sd}", median, t, p_text(row.p), p_text(row.p_holm), d]


def _over_all(overall: Anova) -> list[str]:
    if overall.f is None:
        variance = "–"
    else:
        variance = f"{overall.f:.2f} ({overall.df_between}, {overall.df_within}), {p_text(overall.p)}"
    ranks = "–" if overall.kruskal_h is None else f"{overall.kruskal_h:.2f}, {p_text(overall.kruskal_p)}"
    return [variance, ranks]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"
