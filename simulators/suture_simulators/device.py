"""An emulated slow device: a factor or a board, by dilation or by the kernel's quota, with its own calibration.

Any figure taken with it is of an emulated device and has to say so. It knows nothing of the edge: it wraps callables,
and whoever runs operations takes such a wrapper as an argument.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any, Final, Literal, ParamSpec, TypeVar

from suture_protocol.errors import UsageError
from suture_simulators.devices.calibration import Calibration as Calibration
from suture_simulators.devices.calibration import calibrate as calibrate
from suture_simulators.devices.dilation import Dilated as Dilated
from suture_simulators.devices.dilation import dilate as dilate
from suture_simulators.devices.isa import limit_isa as limit_isa
from suture_simulators.devices.presets import PRESETS as PRESETS
from suture_simulators.devices.presets import DevicePreset as DevicePreset
from suture_simulators.devices.presets import device_preset as device_preset
from suture_simulators.devices.quota import FACTOR_MAX, ProcessorQuota
from suture_simulators.devices.reference import PUBLISHED, reference_s

_P = ParamSpec("_P")
_R = TypeVar("_R")
Means = Literal["dilation", "cgroup"]

_QUOTA_PREFIX: Final = "cgroup:"
_FACTOR_BELOW: Final = 1e4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSpec:
    """What a person asked for: a board, or else a factor (1 with a board), and by which means."""

    preset: DevicePreset | None
    factor: float
    means: Means

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a process that plays this device."""
        return {} if self.preset is None else self.preset.environment()


def parse_device(text: str) -> DeviceSpec:
    """Reads `12`, `pi-4`, `cgroup:12` or `cgroup:pi-4`.

    Raises:
        UsageError: none of these; the message says what there is.
    """
    means: Means = "cgroup" if text.startswith(_QUOTA_PREFIX) else "dilation"
    word = text.removeprefix(_QUOTA_PREFIX)
    try:
        factor = float(word)
    except ValueError:
        return DeviceSpec(preset=device_preset(word), factor=1.0, means=means)
    most = FACTOR_MAX if means == "cgroup" else _FACTOR_BELOW
    if not 1 <= factor <= most:
        raise UsageError(f"device factor {word}: a device can only be emulated as slower, so 1 to {most:g}")
    return DeviceSpec(preset=None, factor=factor, means=means)


class EmulatedDevice:
    """A slow device in force in this process: wrap each operation with it, close it at the end.

    By dilation a wrapped operation is slowed; under the kernel's quota the whole process is, from `start` to `close`,
    and wrapping changes nothing.

    Attributes:
        name: The board's name, or the factor.
        board: Board, core and clock; empty for a factor.
        factor: How many times slower than here, two digits for a board.
        isa: The processor class it is limited to (ONEDNN_MAX_CPU_ISA); empty for none.
        means: `dilation` or `cgroup`.
        basis: What the factor was computed from; empty for one that was given.
        source: Where the board's published time is from, or that the factor was given.
    """

    def __init__(
        self, *, name: str, board: str, factor: float, isa: str, means: Means, basis: str, source: str
    ) -> None:
        """Prepares; see `emulate`, which makes one."""
        self.name, self.board, self.factor = name, board, factor
        self.isa, self.means, self.basis, self.source = isa, means, basis, source
        self.calibration: Calibration | None = None
        self._dilated = Dilated(factor if means == "dilation" else 1.0)
        self._quota = ProcessorQuota(factor) if means == "cgroup" else None
        self._running = ExitStack()

    def __call__(self, operation: Callable[_P, _R], /, *, work: Hashable = None) -> Callable[_P, _R]:
        """The operation as this device does it; it must be repeatable, see `Dilated`."""
        return self._dilated(operation, work=work)

    def start(self) -> None:
        """Slows the process where that is the means; by dilation nothing happens. Calibrate before."""
        if self._quota is not None:
            self._running.enter_context(self._quota)

    def close(self) -> None:
        """The process runs at full speed again."""
        self._running.close()

    def calibrate(
        self, operation: Callable[[], object] | None = None, *, name: str = "", budget_s: float = 1.5
    ) -> Calibration:
        """Measures what the factor comes to, and keeps it in `calibration`; see `calibrate`.

        Args:
            operation: One not wrapped yet; by default a millisecond of hashing.
            name: What it is, for people.
            budget_s: Time to spend.
        """
        slowing = self._dilated if self._quota is None else self._quota
        self.calibration = calibrate(slowing, operation, name=name, budget_s=budget_s)
        return self.calibration

    def __str__(self) -> str:
        what = f"{self.board}, " if self.board else ""
        limit = f", {self.isa} instructions" if self.isa else ""
        return f"emulated device: {what}{self.factor:g} times slower than this machine by {self.means}{limit}"

    def to_json(self) -> dict[str, Any]:
        """The device as plain data, with its calibration where there is one."""
        names = ("name", "board", "factor", "isa", "means", "basis", "source")
        said = None if self.calibration is None else self.calibration.to_json()
        return {"emulated": True, **{name: getattr(self, name) for name in names}, "calibration": said}


def emulate(device: str | float, *, measured_s: float | None = None) -> EmulatedDevice:
    """The slow device of that name or factor, for this process.

    For a board, this process is put under its processor class first (so: before OpenVINO is loaded, or in a process
    started with `parse_device(…).environment()`), and its factor is the published one-thread time of MobileNetV2 in
    float ÷ the time measured here under that class.

    Args:
        device: As `parse_device` reads it, or a number.
        measured_s: Time of MobileNetV2 in float here, under the class; measured (once, then kept) where not given.

    Raises:
        UsageError: no such board, a factor out of range, or OpenVINO is loaded under another class.
        CapabilityMissing: the kernel's quota cannot be had, or OpenVINO is missing to measure with.
    """
    spec = parse_device(device if isinstance(device, str) else repr(float(device)))
    preset = spec.preset
    if preset is None:
        return EmulatedDevice(
            name=f"{spec.factor:g}",
            board="",
            factor=spec.factor,
            isa="",
            means=spec.means,
            basis="",
            source="given with --device-factor",
        )
    limit_isa(preset.isa)
    here_s = reference_s() if measured_s is None else measured_s
    there_s = preset.published_ms[PUBLISHED] / 1e3
    basis = (
        f"MobileNetV2 in float, one thread: {there_s * 1e3:.0f} ms published for the {preset.board}, "
        f"{here_s * 1e3:.1f} ms measured here with {preset.isa} instructions"
    )
    factor = float(f"{preset.factor(*PUBLISHED, here_s):.2g}")
    return EmulatedDevice(
        name=preset.name,
        board=preset.board,
        factor=factor,
        isa=preset.isa,
        means=spec.means,
        basis=basis,
        source=preset.source,
    )
