"""A stream of images over time as one picture: the link, the estimate, the cut, the time to each result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from suture_models.manifest import LAST_CUT
from suture_protocol.units import format_time
from suture_simulators.experiments.clairvoyant import Option, find, title
from suture_simulators.experiments.plots import Panel, Track, timeline
from suture_simulators.experiments.scenarios import outages
from suture_simulators.experiments.trace_scores import Foreseen
from suture_simulators.experiments.types import Point, PointRecord, Sample
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

#: What the unit plans with are payload's rates; the line's are larger by what headers take.
CAPTION = (
    "Rate: the line's as set, and what arrived at the far end in each second; small images use little of a fast line. "
    f"The estimate is of what remains for payload, {100 * TCP_PAYLOAD_SHARE:.0f} % of the line. Grey: no link at all. "
    "Cut: what each image was done by, with the codec; alone: finished by the unit because the link failed. "
    "Time: from image to result, waiting included."
)
_ALONE = "alone"


def stream_picture(
    record: PointRecord, samples: Sequence[Sample], known: Sequence[Option], clairvoyant: Sequence[Foreseen]
) -> str:
    """The picture of one planned stream."""
    scenario, notes = record.notes["scenario"], record.notes
    length_s = scenario["length_s"]
    return timeline(
        [_rate(scenario, notes["delivered"], samples), _cuts(samples, known), _times(samples, clairvoyant, notes)],
        title=drive_title(record.point),
        x_label="time since the scenario began (s)",
        spans=outages(scenario["steps"], length_s),
    )


def drive_title(point: Point) -> str:
    """For people; the rate is what the picture shows."""
    return f"{point.network} on {point.device}, {format_time(point.rtt_s)}: {point.scenario}"


def _rate(scenario: Any, delivered: Sequence[Sequence[float]], samples: Sequence[Sample]) -> Panel:
    length_s = scenario["length_s"]
    steps = [step for step in scenario["steps"] if step[0] < length_s]
    at_s = [*(step[0] for step in steps), length_s]
    rates = [step[1] / 1e6 for step in steps]
    return Panel(
        y_label="rate (Mbit/s)",
        tracks=[
            Track(label="line, as set", x=at_s, y=[*rates, rates[-1]], kind="steps"),
            Track(label="delivered", x=[one[0] for one in delivered], y=[one[1] / 1e6 for one in delivered]),
            Track(
                label="estimate",
                x=[sample.extra["end_s"] for sample in samples],
                y=[sample.extra["bandwidth_bps"] / 1e6 for sample in samples],
                kind="dots",
            ),
        ],
    )


def _cuts(samples: Sequence[Sample], known: Sequence[Option]) -> Panel:
    used = [_ALONE if sample.extra["note"] else _title(sample, known) for sample in samples if sample.ok]
    order = list(dict.fromkeys(title(option) for option in known))
    names = [*(name for name in order if name in used), *({_ALONE} & set(used))]
    done = [sample for sample in samples if sample.ok]
    track = Track(
        label="cut",
        x=[sample.extra["start_s"] for sample in done],
        y=[float(names.index(name)) for name in used],
        kind="steps",
    )
    dots = Track(label="image", x=track.x, y=track.y, kind="dots")
    shown = {LAST_CUT: "last (all on the unit)", _ALONE: "alone (link failed)"}
    return Panel(y_label="cut", tracks=[track, dots], names=[shown.get(name, name) for name in names])


def _times(samples: Sequence[Sample], clairvoyant: Sequence[Foreseen], notes: Any) -> Panel:
    deadline_s = notes["pace"]["deadline_s"]

    def dots(label: str, chosen: Sequence[Sample]) -> Track:
        return Track(label=label, x=[s.at_s for s in chosen], y=[s.total_s for s in chosen], kind="dots")

    done = [sample for sample in samples if sample.ok]
    tracks = [
        dots("by the cloud", [s for s in done if s.where == "cloud"]),
        dots("on the unit, as planned", [s for s in done if s.where == "edge" and not s.extra["note"]]),
        dots("alone, link failed", [s for s in done if s.where == "edge" and s.extra["note"]]),
        Track(
            label="clairvoyant foreseen, no waiting",
            x=[seen.start_s for seen in clairvoyant],
            y=[seen.total_s for seen in clairvoyant],
        ),
    ]
    lost = [sample.at_s for sample in samples if not sample.ok]
    if lost:
        tracks.append(Track(label="lost", x=lost, kind="lost"))
    kept = [track for track in tracks if len(track.x)]
    return Panel(
        y_label="time to result (s)",
        tracks=kept,
        log_y=True,
        limits={f"late: {deadline_s:.2g} s": deadline_s},
    )


def _title(sample: Sample, known: Sequence[Option]) -> str:
    option = find(known, sample.cut, sample.codec)
    return sample.cut if option is None else title(option)
