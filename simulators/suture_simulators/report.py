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
        up, down: packets and bytes in and out, dropped by the queue, lost on the way.
    """

    profile: dict[str, Any]
    backend: str
    congestion_control: str
    scheduler: str
    kernel: str
    duration_s: float
    cpu_s: float
    up: dict[str, int]
    down: dict[str, int]
    lateness: dict[str, float]
    kernel_dropped: int
    valid: bool
    invalid_reason: str

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return dataclasses.asdict(self)
