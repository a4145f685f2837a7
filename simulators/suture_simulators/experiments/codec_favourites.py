"""Which cuts a plan would choose if the image may not leave the unit, and from which rate on which codec is earlier.

Arithmetic over measured sizes and times: head and encoding as many times slower as the unit is, the bytes at the line's
rate less what headers take, decoding and tail. The round trip is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from suture_partitioner.envelope import Envelope, Line
from suture_protocol.errors import UsageError
from suture_simulators.device import parse_device
from suture_simulators.experiments.codec_rows import Coded, CutRow, cut_rows
from suture_simulators.experiments.types import Results, Settings
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE

#: Deep is a cut before which at least this share of the network's work is done.
DEEP: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reign:
    """A codec at a cut, and the rates between which no other gives an earlier result; `to_bps` is None for no end."""

    spec: str
    from_bps: float
    to_bps: float | None


def total_s(row: CutRow, coded: Coded, rate_bps: float, factor: float) -> float:
    """Time to the result but for the round trip and queues, on a unit `factor` times slower than this machine."""
    wire_s = 8 * coded.median_bytes / (rate_bps * TCP_PAYLOAD_SHARE)
    return factor * (row.head_s + coded.encode_s) + wire_s + coded.decode_s + row.tail_s


def favourites(results: Results, network: str, settings: Settings) -> list[str]:
    """The deep cuts of a network by how often one gives the earliest result over the settings' rates and devices.

    With the earliest of the lossless codecs at each. Where that is even, the cut goes first that loses least against
    the earliest, in the mean of the ratios.

    Raises:
        UsageError: a device of the settings is a board: what it is here is not measured, a factor is arithmetic.
    """
    inner = [row for row in cut_rows(results, network) if not row.is_input]
    rows = [row for row in inner if row.depth >= DEEP] or inner
    wins = dict.fromkeys((row.cut for row in rows), 0)
    losses = dict.fromkeys(wins, 0.0)
    for factor in factors(settings) if rows else ():
        for rate_bps in settings.rates_bps:
            times = {r.cut: min(total_s(r, coded, rate_bps, factor) for coded in r.lossless) for r in rows}
            least_s = min(times.values())
            for cut, time_s in times.items():
                wins[cut] += time_s == least_s
                losses[cut] += time_s / least_s
    return sorted(wins, key=lambda cut: (-wins[cut], losses[cut]))


def factors(settings: Settings) -> list[float]:
    """How many times slower than this machine the settings' devices are."""
    found = []
    for device in settings.devices:
        spec = parse_device(device.spec)
        if spec.preset is not None:
            raise UsageError(f"--device-factor {device.name}: codec emulates no board; give a factor, 1 to 100")
        found.append(spec.factor)
    return found


def reigns(coded: Sequence[Coded], factor: float) -> list[Reign]:
    """Which of some codecs at one cut gives the earliest result, from slow links to fast ones."""
    lines = [
        Line(factor * one.encode_s + one.decode_s, 8 * one.median_bytes / TCP_PAYLOAD_SHARE, one.spec) for one in coded
    ]
    envelope = Envelope(lines)
    ends = [None, *(1 / meet for meet in envelope.meets), 0.0]
    found = [
        Reign(spec=line.item, from_bps=ends[place + 1] or 0.0, to_bps=ends[place])
        for place, line in enumerate(envelope.lines)
    ]
    return found[::-1]


def crossing_bps(small: Coded, fast: Coded, factor: float) -> float | None:
    """The rate below which `small` gives the earlier result than `fast`; None where one is earlier on every link."""
    more_s = factor * (small.encode_s - fast.encode_s) + small.decode_s - fast.decode_s
    fewer_bits = 8 * (fast.median_bytes - small.median_bytes) / TCP_PAYLOAD_SHARE
    return fewer_bits / more_s if more_s > 0 and fewer_bits > 0 else None
