"""What `codec` says of its results: figures, the table, the report's sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from suture_protocol.units import format_share, format_size
from suture_simulators.experiments.codec_drawn import answers_figure, crossing_figure, sizes_figure, times_figure
from suture_simulators.experiments.codec_favourites import DEEP
from suture_simulators.experiments.codec_rows import CutRow, cut_rows
from suture_simulators.experiments.codec_scores import figures as figures
from suture_simulators.experiments.codec_tables import (
    answer_table,
    bounds_text,
    crossing_table,
    short_table,
    size_table,
)
from suture_simulators.experiments.codec_ways import (
    BOTTLENECK_BYTES,
    NARROW_RATIO,
    Way,
    all_ways,
    bottleneck_point,
    bottlenecks,
    narrow_points,
    pictures,
)
from suture_simulators.experiments.page import Block, Section, Table, Text
from suture_simulators.experiments.types import Results

#: Units that crossing rates are told for, as many times slower than the machine that measured.
FACTORS: Final = (1.0, 4.0, 16.0)


def table(results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A row for each cut; the report has one for each codec too."""
    return short_table(cut_rows(results))


def sections(results: Results) -> Sequence[Section]:
    """Results first, then every row."""
    rows, ways = cut_rows(results), all_ways(results)
    if not rows:
        return [Section(title="Nothing to show", blocks=[Text(text="No cut was measured to its end.")])]
    found: list[Section] = []
    for network in dict.fromkeys(row.base or row.network for row in rows):
        of_it = [row for row in rows if network in (row.network, row.base)]
        found += _of_network(network, of_it, [way for way in ways if way.network == network])
    found.append(Section(title="What was measured", blocks=[Text(text=text) for text in _DEFINITIONS]))
    return found


def _of_network(network: str, rows: list[CutRow], ways: list[Way]) -> Iterator[Section]:
    inner = [row for row in rows if row.all_codes]
    if ways:
        blocks: list[Block] = [Text(text=text, lead=not place) for place, text in enumerate(_answers_said(ways))]
        blocks += [answers_figure(ways), _kept_ways(ways), answer_table(ways, folded="Every way that was answered")]
        yield Section(title=f"{network}: answers", blocks=blocks)
    head, cells = short_table(rows)
    short = Table(head=head[1:], rows=[row[1:] for row in cells])
    blocks = [sizes_figure(rows), short, size_table(rows, folded="Every codec at every cut")]
    yield Section(title=f"{network}: sizes", blocks=blocks)
    if inner:
        yield Section(title=f"{network}: times", blocks=[times_figure(inner)])
        drawn = crossing_figure(inner, FACTORS)
        more = [drawn] if drawn is not None else []
        yield Section(title=f"{network}: the earlier result", blocks=[*more, crossing_table(inner, FACTORS)])


def _kept_ways(ways: list[Way]) -> Table:
    """Bottlenecks, and of each favourite cut the smallest lossless codec and all lossy ones."""
    kept = list(bottlenecks(ways).values())
    for cut in dict.fromkeys(way.cut for way in ways if way.favourite):
        there = [way for way in ways if way.favourite and way.cut == cut]
        lossless = [way for way in there if way.lossless]
        kept += [min(lossless, key=lambda way: way.bytes_median)] if lossless else []
        kept += [way for way in there if not way.lossless]
    return answer_table(kept, caption="Bottlenecks, and the cuts that plans prefer: the smallest lossless, every lossy")


def _answers_said(ways: list[Way]) -> Iterator[str]:
    """The answers in words: what each point costs, and whether a picture does as well with as few bytes."""
    point = bottleneck_point(ways)
    told = ([point] if point is not None else []) + narrow_points(ways)
    if not told:
        lossy = [way for way in ways if way.favourite and not way.lossless]
        told = [min(lossy, key=lambda way: (round(way.cost, 3), way.bytes_median))] if lossy else []
    if not told:
        yield "No lossy codec was measured at a cut."
    for way in told:
        what = f"Learned bottleneck ({way.bottleneck}), {way.spec}" if way.bottleneck else f"{way.spec} at {way.cut}"
        yield f"{what}, {format_size(way.bytes_median)} an image: {_cost_text(way)}. {_rivals_said(way, ways)}"


def _rivals_said(way: Way, ways: list[Way]) -> str:
    """Whether JPEG or WebP with no more bytes holds the answers as well."""
    rivals = pictures(ways)
    smaller = [rival for rival in rivals if rival.bytes_median <= way.bytes_median]
    if not smaller:
        least = min(rivals, key=lambda rival: rival.bytes_median, default=None)
        if least is None:
            return ""
        return f"No picture is so small; the smallest, {least.spec}, has {format_size(least.bytes_median)}."
    best = min(smaller, key=lambda rival: rival.cost)
    told = f"the best is {best.spec}, {format_size(best.bytes_median)}: {_cost_text(best)}"
    if best.cost <= way.cost:
        return f"Of pictures with no more bytes {told}. So it dominates nothing here."
    against = best.loss_against(way)
    more = "" if against is None else f", {bounds_text(against)} points below on the same images"
    sure = "" if against is None or against.excludes(0) else "; that is within what chance gives"
    return f"Of pictures with no more bytes {told}{more}{sure}."


def _cost_text(way: Way) -> str:
    if way.loss is None:
        low, high = (format_share(share or 0.0) for share in (way.changed.low, way.changed.high))
        return f"{format_share(way.changed.value)} of answers are not the float network's [{low}, {high}]"
    return f"{bounds_text(way.loss)} points of AUC lost against the float network"


_DEFINITIONS = (
    "Order-0 entropy: of each image's tensor by its own histogram of bytes, which no coder that has to learn or send "
    "that histogram can count on. References are coded for real: zstd at level 19, JPEG-LS of all channels as tiles of "
    "one picture (the smaller of two arrangements), a range coder with one table a channel, trained on the images that "
    "bundles are calibrated with where their user gives no others. The figures are over the networks' own cuts; a "
    "bottleneck's is in the tables. Ratios are medians over the images of each image's ratio, to the reference that is "
    "smallest for that image.",
    "Times are medians of turns in which all codecs code and decode the same image one after the other, in one thread, "
    "as the lesser of the time that passed and the processor's time.",
    f"Cuts that plans prefer: those with at least {format_share(DEEP)} of the network's work before them, by how often "
    "one gives the earliest result over the rates and devices of the run, with the earliest of its lossless codecs; "
    "arithmetic over the measured times of head, codec and tail and the measured bytes. The image itself is left out, "
    "as where it may not leave the unit.",
    "AUC is over all images of the run, whose folders are named after the network's labels; its loss is against the "
    "float network on the same images, its interval the 2.5th to 97.5th percentile of 2000 resamples of whole patients "
    "(as far as file names tell them), the same for every way. Without such folders, or with other than two labels, "
    "the share of answers that are not the float network's own, its interval likewise, or Clopper and Pearson's where "
    "none or each of them is.",
    "Pictures are as small as the formats make them: JPEG with Huffman tables of its own, WebP at its slowest, each "
    "also at half the side and enlarged again. An image that came as a JPEG survives that quality unchanged.",
    "Losses of AUC, the figures' too, are in points: hundredths. Networks with random weights count in no narrow "
    "figure where others were measured.",
    f"Narrow points are chosen by size alone, never by their loss on these images: at each cut the widest codes "
    f"that are {NARROW_RATIO:g} times smaller than float32; of several bottlenecks likewise the one that sends most "
    f"within {format_size(BOTTLENECK_BYTES)}. The JPEG that is as good has the fewest bytes of all with no greater "
    "loss, luck included.",
    "The earlier result: encoding on the unit, bytes at the line's rate less what headers take, decoding in the cloud. "
    "A unit is slower by multiplying its encoding time.",
)
