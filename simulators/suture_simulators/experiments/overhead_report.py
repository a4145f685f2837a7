"""What `overhead` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from suture_protocol.units import format_share, format_size, format_time
from suture_simulators.experiments.overhead import IDLE_S, LOSS, SIZES_BYTES
from suture_simulators.experiments.overhead_scores import (
    OVER_S,
    OVER_SHARE,
    Cell,
    Spread,
    cells,
    figures,
    pipelines,
    urgent,
)
from suture_simulators.experiments.page import Block, Figure, Section, Table, Text
from suture_simulators.experiments.plots import Series, scatter
from suture_simulators.experiments.types import Point, Results
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

_HEAD = (
    "network",
    "part",
    "Mbit/s",
    "round trip",
    "what",
    "payload",
    "measured",
    "n: quartiles",
    "bound",
    "ratio",
    "over by",
)


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each cell, series and urgent image."""
    return _HEAD, [*_single_rows(results), *_stat_rows(results), *_series_rows(results)]


def sections(results: Results) -> Sequence[Section]:
    """Results first, then every row."""
    if not results.valid:
        return [Section(title="Nothing to show", blocks=[Text(text="No valid point was measured.")])]
    head, rows = table(results)
    blocks: list[Block] = [Text(text=_summary(results), lead=True)]
    shown = {part: cells(results, part) for part in ("warm", "idle", "lossy")}
    if any(shown.values()):
        blocks.append(Figure(svg=_picture(shown), caption="Each dot is a median; on the dashed line is the bound."))
    blocks.append(Table(head=head, rows=rows, caption="All of it"))
    definitions = Section(title="What was measured", blocks=[Text(text=text) for text in _DEFINITIONS])
    return [Section(title="Results", blocks=blocks), definitions]


_DEFINITIONS = (
    "Bound: head and tail as they took in the same samples, the payload at the line's rate less what headers take "
    f"({100 * TCP_PAYLOAD_SHARE:.1f} % is left), and one round trip as a bare TCP handshake takes it on the same link "
    "(in brackets, ms; set is the delay, to which the emulation adds its own). Reading and preprocessing are left out "
    "on both sides. Codes cross as they are, so that sizes are exact. The answer's bytes are no part of the bound: "
    "1,000 logits take 3.3 ms at 10 Mbit/s. overhead_vs_profiles_median is the ratio to a bound whose head and tail "
    "are the profiles', measured in a loop without waits: a core that has waited for the link is colder. Measured is "
    "the median of the samples; how many there are, and their quartiles in ms, stand beside it. Ratio and excess of "
    "warm, idle and lossy rows are medians over the samples of each one's own, against the bound of its own head and "
    "tail: these vary more than what lies between. So they are not the quotient and difference of the row's medians.",
    "Warm, idle, lossy and STAT alike begin with a series at the largest payload that fills the line for ten round "
    "trips: only then does TCP know the line's rate, which short requests alone do not show it.",
    f"Idle: {IDLE_S:g} s of silence before each image; the worst payload counts. Lossy: {format_share(LOSS)} of "
    "packets are lost at random each way; the median over payloads counts.",
    "Series: the rate is set so that one image's codes take as long as the slower of head and tail. Slowest stage: "
    "reading and preprocessing; head and encoding; the codes at the line's rate; decoding and tail; each as the median "
    "of the images that were done one by one. In the series they share this machine's cores, which slows them. The "
    "pipeline's start and end, when not all stages have work, count. On an emulated device each image takes as long to "
    "read as the median one.",
    "STAT: an urgent image of one size while routine images of the largest size saturate the uplink, against the same "
    "on an idle link. Untuned: on a connection whose sockets are as the system makes them. stat_link_used is the share "
    "of the line that the routine payloads took in either, urgent images between them.",
)


def _single_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for part in ("warm", "idle", "lossy"):
        for cell in cells(results, part):
            times = (*_times(cell.measured), format_time(cell.bound_s))
            yield (
                *_place(cell.point)[:3],
                f"{format_time(cell.point.rtt_s)} ({1e3 * cell.rtt_s:.1f})",
                f"cut {cell.cut}",
                format_size(cell.payload_bytes),
                *times,
                f"{cell.ratio:.3f}",
                f"{cell.over_s * 1e3:.1f} ms",
            )


def _stat_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for one in urgent(results):
        notes = one.record.notes
        done = f"beside {notes['routine_done']} routine images, {notes['routine_failed']} lost"
        arms = ((done, one.busy, one.ratio), ("the same on untuned sockets", one.untuned, one.untuned_ratio))
        for what, took, ratio in arms:
            times = (*_times(took), format_time(one.idle.median_s))
            over = f"{(took.median_s - one.idle.median_s) * 1e3:.1f} ms"
            place = (*_place(one.record.point), f"cut {notes['cut']} {what}", "")
            yield (*place, *times, f"{ratio:.3f}", over)


def _series_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for line in pipelines(results):
        stages = ", ".join(f"{name} {format_time(took_s)}" for name, took_s in line.stages_s.items())
        together = f"the slowest of them {format_time(line.slowest_together_s)} in the series"
        alone = f"one by one {format_time(line.alone_s)} each; ratio by filling alone {line.filling:.3f}"
        slowest_s = max(line.stages_s.values())
        yield (
            *_place(line.point)[:2],
            f"{line.rate_bps / 1e6:.2f}",
            format_time(line.point.rtt_s),
            f"cut {line.cut}, {line.slices} images: {stages}; {together}; {alone}",
            "",
            *_times(line.series),
            format_time(slowest_s),
            f"{line.vs_slowest:.3f}",
            f"{(line.series_s - slowest_s) * 1e3:.1f} ms",
        )


def _times(took: Spread) -> tuple[str, str]:
    """The median, and of how many with which quartiles in ms."""
    return format_time(took.median_s), f"{took.count}: {1e3 * took.low_s:.4g}–{1e3 * took.high_s:.4g}"


def _place(point: Point) -> tuple[str, ...]:
    return point.network, point.scenario, f"{point.rate_bps / 1e6:g}", format_time(point.rtt_s)


def _summary(results: Results) -> str:
    made = figures(results)
    text = ""
    if "overhead_ratio_median" in made:
        text += (
            f"Warm, a result took {made['overhead_ratio_median']:.3f} times the physical bound at the median of "
            f"{made['overhead_cells']:.0f} payloads and links, {made['overhead_ratio_p95']:.3f} at the 95th percentile;"
            f" {made['overhead_cells_beyond']:.0f} were beyond {1 + OVER_SHARE:g} times it and {OVER_S * 1e3:g} ms, "
            f"{made['overhead_cells_10kb_beyond']:.0f} of the {made['overhead_cells_10kb']:.0f} with "
            f"{format_size(SIZES_BYTES[0])} or more. "
        )
    if "overhead_idle_ratio" in made:
        text += f"After {IDLE_S:g} s of silence: {made['overhead_idle_ratio']:.3f} times at worst. "
    if "overhead_lossy_ratio" in made:
        text += f"With {format_share(LOSS)} of packets lost: {made['overhead_lossy_ratio']:.2f} times at the median. "
    if "series_speedup" in made:
        text += (
            f"A series ran at {made['series_slice_vs_slowest_stage']:.3f} times its slowest stage, "
            f"{made['series_speedup']:.2f} times as fast as one by one. "
        )
    if "stat_vs_idle_ratio" in made:
        text += (
            f"An urgent image on a saturated uplink took {made['stat_vs_idle_ratio']:.2f} times what it takes on an "
            f"idle one, {made['stat_untuned_vs_idle_ratio']:.2f} times on untuned sockets; "
            f"{made['routine_failed']:.0f} routine images were lost."
        )
    return text


def _picture(shown: dict[str, list[Cell]]) -> str:
    series = [
        Series(label=part, x=[cell.bound_s * 1e3 for cell in found], y=[cell.measured_s * 1e3 for cell in found])
        for part, found in shown.items()
        if found
    ]
    return scatter(series, title="Time to result and bound", x_label="bound (ms)", y_label="measured (ms)", log=True)
