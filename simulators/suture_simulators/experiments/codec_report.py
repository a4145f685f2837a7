"""What `codec` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from suture_protocol.units import format_share, format_size, format_time
from suture_simulators.experiments.codec_rows import Coded, CutRow, cut_rows
from suture_simulators.experiments.codec_scores import Answered, answered
from suture_simulators.experiments.codec_scores import figures as figures
from suture_simulators.experiments.page import Section, Table, Text
from suture_simulators.experiments.statistics import Interval
from suture_simulators.experiments.types import Results

_SIZE_HEAD = (
    "network", "cut", "codes", "codec", "median", "90th", "÷ float32", "÷ entropy", "encode", "decode", "ns per code",
)  # fmt: skip
_ANSWER_HEAD = ("network", "cut", "codec", "median", "90th", "÷ float32", "AUC", "AUC loss, points", "answers changed")


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each cut and codec."""
    return _SIZE_HEAD, list(_size_rows(results))


def sections(results: Results) -> Sequence[Section]:
    """Results first, then every row."""
    if not results.valid:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    return [
        Section(title="Answers", blocks=[Table(head=_ANSWER_HEAD, rows=list(_answer_rows(results)))]),
        Section(title="Sizes", blocks=[Table(head=_SIZE_HEAD, rows=list(_size_rows(results)))]),
    ]


def _size_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for row in cut_rows(results):
        for coded in row.coded.values():
            yield (row.network, row.cut, str(row.codes), coded.spec, *_size_cells(row, coded))


def _size_cells(row: CutRow, coded: Coded) -> tuple[str, ...]:
    return (
        format_size(round(coded.median_bytes)),
        format_size(round(coded.p90_bytes)),
        f"{row.bytes_float32 / coded.median_bytes:.1f}",
        f"{row.over_entropy(coded.spec):.3f}",
        format_time(coded.encode_s),
        format_time(coded.decode_s),
        f"{1e9 * coded.both_s / row.codes:.1f}",
    )


def _answer_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for way in answered(results):
        yield (way.network, way.cut, way.spec, *_answer_cells(way))


def _answer_cells(way: Answered) -> tuple[str, ...]:
    return (
        format_size(round(way.bytes_median)),
        format_size(round(way.bytes_p90)),
        "" if way.ratio_float32 is None else f"{way.ratio_float32:.1f}",
        "" if way.auc is None else f"{way.auc.value:.4f}",
        "" if way.loss is None else _with_bounds(way.loss),
        f"{format_share(way.changed.value)}",
    )


def _with_bounds(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
