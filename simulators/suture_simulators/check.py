"""Sets a link and measures it: `check(profile)` says what was set and what came out."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import subprocess
from collections.abc import Callable
from typing import Any

from suture_protocol.errors import LinkError
from suture_simulators.helpers import module_command, module_environment
from suture_simulators.link import EmulatedLink
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE, UDP_PAYLOAD_SHARE, Direction, LinkProfile
from suture_simulators.namespaces import Device
from suture_simulators.probe import PROBE_LINE_BYTES
from suture_simulators.report import LinkReport

# What a link has to keep to pass for what it was set to.
RTT_TOLERANCE_S = 1.5e-3
GOODPUT_TOLERANCE = 0.03
# A binomial interval this wide is left by chance in one check of 500.
_SIGMAS = 3.1
# Measured in place of "unlimited", where a sender has to choose a pace.
_UNLIMITED_BPS = 100e6
_SLOW_START_S = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One thing set and measured, in `unit`; `low` and `high` bound what is accepted (None: nothing to judge by)."""

    name: str
    unit: str
    set_value: float | None
    measured: float
    low: float | None
    high: float | None

    @property
    def within(self) -> bool:
        """Whether the measured value lies in the accepted interval."""
        return self.low is None or self.high is None or self.low <= self.measured <= self.high


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinkCheck:
    """A link's check: the quantities, the samples behind them, and the relay's own report."""

    quantities: tuple[Quantity, ...]
    samples: dict[str, Any]
    report: LinkReport
    goodput_method: str

    @property
    def passed(self) -> bool:
        """Whether all quantities are within their intervals and the relay calls its run valid."""
        return self.report.valid and all(quantity.within for quantity in self.quantities)

    def figures(self) -> dict[str, float]:
        """`goodput_error_max` (share of what was set) and `rtt_error_s_max`."""
        errors = [
            abs(q.measured / q.set_value - 1) for q in self.quantities if q.unit == "bit/s" and q.set_value is not None
        ]
        trips = [abs(q.measured - q.set_value) for q in self.quantities if q.unit == "s" and q.set_value is not None]
        return {"goodput_error_max": max(errors, default=0.0), "rtt_error_s_max": max(trips, default=0.0)}

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "quantities": [dataclasses.asdict(q) | {"within": q.within} for q in self.quantities],
            "goodput_method": self.goodput_method,
            "passed": self.passed,
            "figures": self.figures(),
            "samples": self.samples,
            "report": self.report.to_json(),
        }


def check(
    profile: LinkProfile,
    *,
    seconds: float = 5.0,
    congestion_control: str | None = None,
    device: Device = "auto",
    progress: Callable[[str], None] = lambda _stage: None,
) -> LinkCheck:
    """Measures round trip, loss and goodput over a link of this profile.

    The round trip is the median of 40 UDP echoes on the idle link. Loss is counted each way on spaced probes. Goodput
    is that of one TCP connection after its slow start; on a lossy link, where TCP's own rate says little about the
    line, that of UDP datagrams sent somewhat faster than the line.

    Args:
        profile: The link.
        seconds: How long each goodput is measured, after warming up.
        congestion_control, device: As in `EmulatedLink`.
        progress: Told each stage as it begins.

    Raises:
        CapabilityMissing: as `EmulatedLink`.
        LinkError: nothing could be measured.
    """
    udp = profile.up.loss > 0 or profile.down.loss > 0
    order = {
        "rtt_s": profile.rtt_s,
        "seconds": seconds,
        "warm_s": _SLOW_START_S + 10 * profile.rtt_s,
        "udp": udp,
        "up_bps": profile.up.nominal_bps() or _UNLIMITED_BPS,
        "down_bps": profile.down.nominal_bps() or _UNLIMITED_BPS,
    }
    with EmulatedLink(profile, congestion_control=congestion_control, device=device) as link:
        samples = _measure(link, order, progress)
        report = link.report()
        epoch_s = link.epoch_monotonic_s
    share = UDP_PAYLOAD_SHARE if udp else TCP_PAYLOAD_SHARE
    loss = samples["loss"]
    quantities = (
        _round_trip(profile, samples["rtt_s"]),
        _goodput("goodput up", profile.up, samples["up"], share, epoch_s),
        _goodput("goodput down", profile.down, samples["down"], share, epoch_s),
        _loss("loss up", profile.up.loss, loss["sent"], loss["heard"]),
        _loss("loss down", profile.down.loss, loss["heard"], loss["came_back"]),
    )
    method = "udp, 1.15 times the rate" if udp else f"one tcp connection, {report.congestion_control}"
    return LinkCheck(quantities=quantities, samples=samples, report=report, goodput_method=method)


def _measure(link: EmulatedLink, order: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    environment = module_environment()
    with link.popen(module_command("probe", "far"), at="far", env=environment, stdout=subprocess.PIPE) as far:
        if far.stdout is None or far.stdout.readline() != b"ready\n":
            raise LinkError("the link's check could not start at the far end; its message is above")
        near = link.popen(module_command("probe", "near", json.dumps(order)), env=environment, stdout=subprocess.PIPE)
        with near:
            result: dict[str, Any] = {}
            for line in near.stdout or ():
                result = json.loads(line)
                if "stage" in result:
                    progress(result["stage"])
        far.terminate()
    if near.returncode != 0 or "rtt_s" not in result:
        raise LinkError("the link's check did not finish at the near end; its message is above")
    return result


def _round_trip(profile: LinkProfile, trips_s: list[float]) -> Quantity:
    line_s = sum(PROBE_LINE_BYTES * 8 / rate for d in (profile.up, profile.down) if (rate := d.nominal_bps()))
    set_s = profile.rtt_s + line_s
    jitter_s = profile.up.jitter_s + profile.down.jitter_s
    return Quantity(
        name="round trip",
        unit="s",
        set_value=set_s,
        measured=statistics.median(trips_s) if trips_s else math.inf,
        low=set_s - RTT_TOLERANCE_S - jitter_s,
        high=set_s + RTT_TOLERANCE_S + jitter_s,
    )


def _goodput(name: str, direction: Direction, window: dict[str, float], share: float, epoch_s: float) -> Quantity:
    rate_bps = direction.rate_bps
    if direction.trace is not None:
        rate_bps = direction.trace.mean_between(window["from_s"] - epoch_s, window["to_s"] - epoch_s)
    set_bps = None if rate_bps is None else rate_bps * share * (1 - direction.loss)
    return Quantity(
        name=name,
        unit="bit/s",
        set_value=set_bps,
        measured=window["bps"],
        low=None if set_bps is None else set_bps * (1 - GOODPUT_TOLERANCE),
        high=None if set_bps is None else set_bps * (1 + GOODPUT_TOLERANCE),
    )


def _loss(name: str, probability: float, sent: int, arrived: int) -> Quantity:
    measured = 1 - arrived / sent if sent else 1.0
    # Half a packet more: the interval of a count, not of a real number.
    half = (_SIGMAS * math.sqrt(sent * probability * (1 - probability)) + 0.5) / max(sent, 1)
    return Quantity(
        name=name, unit="", set_value=probability, measured=measured, low=probability - half, high=probability + half
    )
