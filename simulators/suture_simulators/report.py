"""What an emulated link says about itself when asked."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinkReport:
    """What a link was set to and what it did, by its relay's own count.

    Attributes:
        valid: Whether the emulation kept its times; a result over an invalid run is not to be quoted.
        invalid_reason: Why not, for a person; empty when valid.
        backend: `tun` or `veth`, the devices that packets entered by.
        cpu_s: Processor time of the relay, its start included.
        lateness: Quantiles in seconds of how late packets left, against when they were due, and the limit.
        kernel_dropped: Packets lost outside the emulation; any makes the run invalid.
        profile: The profile in force last.
        profiles: Every profile that was in force, each with `from_s`, when it came into force since the link came up.
        up, down: packets and bytes in and out, dropped by the queue, lost on the way and in how many runs, reordered.
        up_bytes_per_s, down_bytes_per_s: What arrived at the far and the near end in each second since the link came up
            (the last one unfinished), in the line's bytes.
        since_change: `lateness`, `kernel_dropped`, `valid` and `invalid_reason` of the profile in force alone, so that
            one run does not bear the faults of those before it on the same link.
        router: Kernel and tc that shape the packets, with `netem` and `uml`; empty with our own relay. Those two do not
            tell when they send: `lateness` is that of probes, 50 a second, which the same router sends back after a set
            delay beside the link, with `change_max_s`, how late a rate or delay was set at worst; both make a run
            invalid. `kernel_dropped` is what entered and neither left, waits, nor was dropped or lost by a qdisc.
    """

    profile: dict[str, Any]
    profiles: list[dict[str, Any]]
    backend: str
    congestion_control: str
    scheduler: str
    kernel: str
    duration_s: float
    cpu_s: float
    up: dict[str, int]
    down: dict[str, int]
    up_bytes_per_s: list[int]
    down_bytes_per_s: list[int]
    lateness: dict[str, float]
    kernel_dropped: int
    valid: bool
    invalid_reason: str
    since_change: dict[str, Any] = dataclasses.field(default_factory=dict)
    router: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return dataclasses.asdict(self)
