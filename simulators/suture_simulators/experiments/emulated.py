"""An emulated unit as experiments name it: a factor or a board, slowed by dilation. Plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from suture_protocol.errors import UsageError
from suture_simulators.device import parse_device


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """An emulated unit, as it was asked for; what that comes to here is in the results' facts.

    Attributes:
        name: Part of every point's key.
        spec: A factor or a board, as `suture_simulators.device.parse_device` reads it.
    """

    name: str
    spec: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)


def device_of(text: str) -> Device:
    """The device of a factor (`12`) or a board (`pi-4`).

    Raises:
        UsageError: no such board, a factor below 1, or a device that is slowed by the kernel: that one cannot be
            calibrated between points.
    """
    spec = parse_device(text)
    if spec.means != "dilation":
        raise UsageError(f"--device-factor {text}: experiments slow by dilation; give the factor or the board alone")
    if spec.preset is not None:
        return Device(name=spec.preset.name, spec=spec.preset.name)
    return Device(name=f"x{spec.factor:g}", spec=f"{spec.factor:g}")
