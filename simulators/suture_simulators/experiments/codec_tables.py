"""The codec experiment's tables: rows of text from its results."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from suture_protocol.units import format_rate, format_share, format_size, format_time
from suture_simulators.experiments.codec_favourites import crossing_bps, reigns
from suture_simulators.experiments.codec_rows import Coded, CutRow, crossing_pair
from suture_simulators.experiments.codec_ways import Way
from suture_simulators.experiments.page import Table
from suture_simulators.experiments.statistics import Interval

_SHORT_HEAD = (
    "network", "cut", "codes", "÷ float32", "order-0 entropy", "smallest reference", "smallest lossless", "÷ entropy",
    "÷ reference", "fastest lossless, a code",
)  # fmt: skip
_SIZE_HEAD = (
    "cut", "codec", "median", "90th percentile", "÷ float32", "÷ entropy", "÷ smallest reference", "encode", "decode",
    "ns per code",
)  # fmt: skip
_WAY_HEAD = ("cut", "sent as", "median", "90th percentile", "÷ float32")
_LABELLED_HEAD = (*_WAY_HEAD, "AUC [95 %]", "AUC lost, points [95 %]")
_UNLABELLED_HEAD = (*_WAY_HEAD, "answers changed [95 %]")


def short_table(rows: Iterable[CutRow]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each cut: what the smallest and the fastest lossless codec make of it."""
    return _SHORT_HEAD, [_short_row(row) for row in rows if row.lossless]


def size_table(rows: Iterable[CutRow], *, folded: str) -> Table:
    """Every codec at every cut of one network."""
    return Table(head=_SIZE_HEAD, rows=[cells for row in rows for cells in _size_cells(row)], folded=folded)


def answer_table(ways: Sequence[Way], *, caption: str = "", folded: str = "") -> Table:
    """What each way costs in answers: in AUC where there are labels, else in changed ones."""
    head = _LABELLED_HEAD if any(way.loss is not None for way in ways) else _UNLABELLED_HEAD
    return Table(head=head, rows=[_answer_cells(way) for way in ways], caption=caption, folded=folded)


def crossing_table(rows: Sequence[CutRow], factors: Sequence[float]) -> Table:
    """Where the small and the fast lossless codec cross, and which of all gives the earliest result on which links."""
    pair = crossing_pair(rows)
    head, cells = ["cut"], [[row.cut] for row in rows]
    if pair is not None:
        small, fast = pair
        head += [f"unit × {factor:g}" for factor in factors]
        for row, line in zip(rows, cells, strict=True):
            line += [_crossing_text(row.coded[small], row.coded[fast], factor) for factor in factors]
    head.append(f"earliest of all, from slow links to fast, unit × {factors[0]:g}")
    for row, line in zip(rows, cells, strict=True):
        line.append(_reign_text(row, factors[0]))
    caption = "" if pair is None else f"Below this rate {pair[0]} gives the earlier result, above it {pair[1]}"
    return Table(head=head, rows=cells, caption=caption)


def bounds_text(interval: Interval, form: str = "+.2f") -> str:
    """An estimate with its interval."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:{form}}"
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _short_row(row: CutRow) -> tuple[str, ...]:
    small = min(row.lossless, key=lambda coded: coded.median_bytes)
    coding = [coded for coded in row.lossless if coded.median_bytes < row.codes] or row.lossless
    fast = min(coding, key=lambda coded: coded.both_s)
    references = {name: statistics.median(sizes.values()) for name, sizes in row.references.items()}
    least = min(references, key=lambda name: references[name], default="")
    entropy = statistics.median(row.entropy.values())
    over = row.over_references(small.spec)
    return (
        row.network,
        row.cut,
        str(row.codes),
        f"{row.bytes_float32 / small.median_bytes:.1f}",
        format_size(entropy),
        f"{format_size(references[least])} {least}" if least else "",
        f"{format_size(small.median_bytes)} {small.spec}",
        f"{row.over_entropy(small.spec):.3f}",
        "" if over is None else f"{over:.3f}",
        f"{fast.spec} {1e9 * fast.both_s / row.codes:.1f} ns",
    )


def _size_cells(row: CutRow) -> Iterator[tuple[str, ...]]:
    for coded in row.coded.values():
        over = row.over_references(coded.spec)
        yield (
            row.cut,
            coded.spec,
            format_size(coded.median_bytes),
            format_size(coded.p90_bytes),
            f"{row.bytes_float32 / coded.median_bytes:.1f}",
            f"{row.over_entropy(coded.spec):.3f}",
            "" if over is None else f"{over:.3f}",
            format_time(coded.encode_s),
            format_time(coded.decode_s),
            f"{1e9 * coded.both_s / row.codes:.1f}",
        )


def _answer_cells(way: Way) -> tuple[str, ...]:
    cells = (
        way.bottleneck or ("the input" if way.is_picture else way.cut),
        way.spec,
        format_size(way.bytes_median),
        format_size(way.bytes_p90),
        "" if way.ratio_float32 is None else f"{way.ratio_float32:.1f}",
    )
    if way.auc is not None and way.loss is not None:
        return (*cells, bounds_text(way.auc, ".4f"), bounds_text(way.loss))
    changed = way.changed
    value, low, high = (format_share(share or 0.0) for share in (changed.value, changed.low, changed.high))
    return (*cells, f"{value} [{low}, {high}]")


def _crossing_text(small: Coded, fast: Coded, factor: float) -> str:
    rate_bps = crossing_bps(small, fast, factor)
    if rate_bps is not None:
        return format_rate(rate_bps)
    return "any rate" if small.median_bytes < fast.median_bytes else "no rate"


def _reign_text(row: CutRow, factor: float) -> str:
    parts = []
    for reign in reigns(row.lossless, factor):
        to = "" if reign.to_bps is None else f" to {format_rate(reign.to_bps)}"
        parts.append(f"{reign.spec}{to}")
    return ", then ".join(parts)
