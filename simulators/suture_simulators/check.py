"""Sets a link and measures it: `check(profile)` says what was set and what came out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Callable
from typing import Any, Literal

from suture_protocol.errors import LinkError, UsageError
from suture_simulators.helpers import module_command, module_environment
from suture_simulators.link import Backend, EmulatedLink, End
from suture_simulators.link_profile import TCP_PAYLOAD_SHARE, UDP_PAYLOAD_SHARE, Direction, LinkProfile
from suture_simulators.namespaces import FAR_ADDRESS, NEAR_ADDRESS, Device
from suture_simulators.quantities import Followed, Quantity, fates, followed, goodput, round_trip
from suture_simulators.report import LinkReport

Progress = Callable[[str], None]
Way = Literal["up", "down"]
_SENDERS: dict[Way, End] = {"up": "near", "down": "far"}
_RECEIVERS: dict[Way, End] = {"up": "far", "down": "near"}
_ADDRESSES: dict[End, str] = {"near": NEAR_ADDRESS, "far": FAR_ADDRESS}
_FLOOD_PORT = 5202
# Measured in place of "unlimited", where a sender has to choose a pace.
_UNLIMITED_BPS = 100e6
# Every kernel has it, and with its window limited to what fills the line and half of the queue it keeps the line full
# without a loss. Left alone, TCP overruns the queue and measures its own recovery (5 % at 100 Mbit/s and 100 ms), and
# BBR stays below the line on its own account (13 % there): nothing that is wrong with the link.
_FILLS_THE_LINE = "reno"
_WINDOW_MIN_BYTES = 16_384
_SLOW_START_S, _SLOW_START_TRIPS = 1.0, 10
# Probes on a way where some may be lost or reordered, and where none may.
_PROBES_MANY, _PROBES_FEW = 2000, 200
_PROBE_S = 5.0
_TRACE_S, _AFTER_OUTAGE_S = 30.0, 3.0
_LOSS_MAX = 0.9
# Time for both ends' processes to start before a window on a trace begins.
_READY_S = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinkCheck:
    """A link's check: the quantities, the samples behind them, and the relay's own reports."""

    quantities: tuple[Quantity, ...]
    samples: dict[str, Any]
    report: LinkReport
    goodput_method: str
    follow_report: LinkReport | None = None

    @property
    def passed(self) -> bool:
        """Whether all quantities are within their intervals and the relay calls its runs valid."""
        valid = self.report.valid and (self.follow_report is None or self.follow_report.valid)
        return valid and all(quantity.within for quantity in self.quantities)

    def figures(self) -> dict[str, float]:
        """`goodput_error_max` (share of what was set) and `rtt_error_s_max`."""
        errors = [abs(q.measured / q.set_value - 1) for q in self.quantities if q.unit == "bit/s" and q.set_value]
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
            "follow_report": None if self.follow_report is None else self.follow_report.to_json(),
        }


def check(
    profile: LinkProfile,
    *,
    seconds: float = 5.0,
    goodputs: bool = True,
    congestion_control: str | None = None,
    device: Device = "auto",
    backend: Backend = "auto",
    progress: Progress = lambda _stage: None,
) -> LinkCheck:
    """Measures round trip, loss, order and goodput over a link of this profile.

    The round trip is the median of 40 UDP echoes on the idle link. Loss, its runs and reordering are counted each way
    on spaced probes. Goodput is that of one TCP connection whose window just fills the line; on a link that loses or
    reorders, where TCP's own rate says little about the line, that of UDP datagrams sent somewhat faster than the line.
    A way with a trace or outages is measured twice: all this at its mean rate, then on a second link how it follows,
    second by second.

    Args:
        profile: The link.
        seconds: How long each goodput is measured, after warming up; a trace for 30 s at least (or once), and outages
            until the last one is over.
        goodputs: Whether goodput is measured at all; without, a check of losses is quicker.
        congestion_control: As in `EmulatedLink`; the goodput is measured with Reno where it is None.
        device, backend: As in `EmulatedLink`.
        progress: Told each stage as it begins.

    Raises:
        CapabilityMissing: as `EmulatedLink`.
        LinkError: nothing could be measured.
        UsageError: too little would arrive to measure by.
    """
    steady = _steady_both(profile)
    ways = {"up": profile.up, "down": profile.down}
    measured = [way for way, direction in ways.items() if direction.steady and goodputs]
    order = _order(steady, seconds, measured, congestion_control or _FILLS_THE_LINE)
    settings: dict[str, Any] = {"congestion_control": congestion_control, "device": device, "backend": backend}
    with EmulatedLink(steady, **settings) as link:
        samples = _measure(link, order, progress)
        report = link.report()
    share = UDP_PAYLOAD_SHARE if order["udp"] else TCP_PAYLOAD_SHARE
    found = [round_trip(steady, samples["rtt_s"])]
    found += [goodput(f"goodput {way}", ways[way], samples[way]["bps"], share, seconds) for way in measured]
    follow_report = None
    if measured != list(ways) and goodputs:
        watched_s = follow_seconds(profile, seconds)
        results, follow_report = follow(profile, seconds=watched_s, progress=progress, **settings)
        samples["follow"] = [dataclasses.asdict(result) for result in results]
        found += [quantity for result in results for quantity in result.quantities()]
    for way, direction in ways.items():
        found += fates(way, direction, samples["probes"][way])
    method = "udp, 1.15 times the rate" if order["udp"] else f"one tcp connection, {order['congestion_control']}"
    return LinkCheck(
        quantities=tuple(found), samples=samples, report=report, goodput_method=method, follow_report=follow_report
    )


def _steady_both(profile: LinkProfile) -> LinkProfile:
    if max(profile.up.mean_loss, profile.down.mean_loss) > _LOSS_MAX:
        raise UsageError(
            f"a link that loses more than {_LOSS_MAX:.0%} of its packets cannot be checked: too few arrive"
        )
    return dataclasses.replace(profile, up=_steady(profile.up), down=_steady(profile.down))


def follow_seconds(profile: LinkProfile, seconds: float) -> float:
    """How long a line that changes is watched: 30 s of its trace (or all of it), and until its outages are over."""
    for direction in (profile.up, profile.down):
        if direction.trace is not None:
            seconds = max(seconds, min(_TRACE_S, direction.trace.period_s))
        for begin_s, length_s in direction.outages:
            seconds = max(seconds, math.ceil(begin_s + length_s + _AFTER_OUTAGE_S))
    return seconds


def follow(
    profile: LinkProfile,
    *,
    seconds: float,
    congestion_control: str | None = None,
    device: Device = "auto",
    backend: Backend = "auto",
    progress: Progress = lambda _stage: None,
) -> tuple[list[Followed], LinkReport]:
    """Keeps each way that has a trace or outages full, both at once, and compares what arrives in each second.

    Raises:
        CapabilityMissing, LinkError: as `check`.
    """
    ways: dict[Way, Direction] = {"up": profile.up, "down": profile.down}
    with EmulatedLink(profile, congestion_control=congestion_control, device=device, backend=backend) as link:
        epoch_s = link.epoch_monotonic_s
        begin_s = math.ceil(time.monotonic() - epoch_s + _READY_S)
        orders: dict[End, dict[str, Any]] = {"near": {}, "far": {}}
        for way, direction in ways.items():
            if direction.steady or direction.nominal_bps() is None:
                continue
            source, sink = _SENDERS[way], _RECEIVERS[way]
            start_s = epoch_s + begin_s + direction.delay_s
            window = {"start_s": start_s, "end_s": start_s + seconds + 0.1}
            pace = [(epoch_s + at_s, rate) for at_s, rate in _pace(direction, begin_s + seconds)]
            orders[source]["send"] = {"target": (_ADDRESSES[sink], _FLOOD_PORT), "pace": pace} | window
            orders[sink]["receive"] = {"address": (_ADDRESSES[sink], _FLOOD_PORT), "udp": True} | window
        progress(f"how it follows its trace, for {seconds:g} s")
        windows = _flood(link, orders)
        report = link.report()
    return [followed(way, ways[way], window, begin_s) for way in ways if (window := windows[_RECEIVERS[way]])], report


def _flood(link: EmulatedLink, orders: dict[End, dict[str, Any]]) -> dict[End, dict[str, Any]]:
    """Both ends at once; what arrived at each, empty where nothing was to."""
    with contextlib.ExitStack() as stack:
        ends: dict[End, subprocess.Popen[bytes]] = {}
        for end, order in orders.items():
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            ends[end] = stack.enter_context(
                link.popen(module_command("bulk"), at=end, env=module_environment(), **pipes)
            )
            stdin = ends[end].stdin
            if stdin is not None:
                stdin.write(json.dumps(order).encode())
                stdin.close()
        windows: dict[End, dict[str, Any]] = {}
        for end, process in ends.items():
            line = b"" if process.stdout is None else process.stdout.readline()
            if not line:
                raise LinkError(f"the link's check did not finish at the {end} end; its message is above")
            windows[end] = json.loads(line)
    return windows


def _pace(direction: Direction, until_s: float) -> list[tuple[float, float]]:
    """The line's rate in steps, for a sender; outages are left to its queue."""
    if direction.trace is None:
        return [(0.0, direction.rate_bps or _UNLIMITED_BPS)]
    steps, lap_s = [], 0.0
    while lap_s < until_s:
        steps += [(lap_s + at_s, rate) for at_s, rate in direction.trace.steps if lap_s + at_s < until_s]
        lap_s += direction.trace.period_s
    return steps


def _steady(direction: Direction) -> Direction:
    """The same way at its mean rate, without outages; its queue stays."""
    queue_bytes = direction.queue_limit_bytes()
    return dataclasses.replace(
        direction, rate_bps=direction.nominal_bps(), trace=None, outages=(), queue_bytes=queue_bytes
    )


def _queue_s(direction: Direction) -> float:
    """How long a full queue takes to leave, a second at most."""
    return min((direction.queue_limit_bytes() * 8) / (direction.nominal_bps() or math.inf), 1.0)


def _window_bytes(direction: Direction, rtt_s: float) -> int | None:
    rate_bps = direction.nominal_bps()
    if rate_bps is None:
        return None
    return max(_WINDOW_MIN_BYTES, int(rate_bps / 8 * rtt_s + direction.queue_limit_bytes() / 2))


def _order(profile: LinkProfile, seconds: float, ways: list[str], congestion_control: str) -> dict[str, Any]:
    up, down = profile.up, profile.down
    uneven = any(d.mean_loss > 0 or d.reorder > 0 for d in (up, down))
    return {
        "goodput": ways,
        "rtt_s": profile.rtt_s,
        "seconds": seconds,
        "warm_s": _SLOW_START_S + _SLOW_START_TRIPS * (profile.rtt_s + max(_queue_s(up), _queue_s(down))),
        "udp": uneven,
        "congestion_control": congestion_control,
        "probes": _PROBES_MANY if uneven else _PROBES_FEW,
        "probe_s": max(seconds, _PROBE_S),
        "up_bps": up.nominal_bps() or _UNLIMITED_BPS,
        "down_bps": down.nominal_bps() or _UNLIMITED_BPS,
        "up_window_bytes": _window_bytes(up, profile.rtt_s),
        "down_window_bytes": _window_bytes(down, profile.rtt_s),
        "up_delay_s": up.delay_s,
        "down_delay_s": down.delay_s,
    }


def _measure(link: EmulatedLink, order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    environment = module_environment()
    with link.popen(module_command("probe", "far"), at="far", env=environment, stdout=subprocess.PIPE) as far:
        if far.stdout is None or far.stdout.readline() != b"ready\n":
            raise LinkError("the link's check could not start at the far end; its message is above")
        command = module_command("probe", "near")
        with link.popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as near:
            if near.stdin is None or near.stdout is None:
                raise LinkError("the link's check has no pipes to its near end")
            near.stdin.write(json.dumps(order).encode())
            near.stdin.close()
            result: dict[str, Any] = {}
            for line in near.stdout:
                result = json.loads(line)
                if "stage" in result:
                    progress(result["stage"])
        far.terminate()
    if near.returncode != 0 or "stage" in result or not result:
        raise LinkError("the link's check did not finish at the near end; its message is above")
    return result
