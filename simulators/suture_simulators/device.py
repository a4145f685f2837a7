"""An emulated slow device: after each operation it sleeps, so that the operation takes `factor` times as long.

Any figure taken with it is of an emulated device and has to say so. It knows nothing of engines or of the edge:
it wraps callables, and whoever runs operations takes such a wrapper as an argument.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import statistics
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, ParamSpec, TypeVar

from suture_protocol.errors import UsageError

_P = ParamSpec("_P")
_R = TypeVar("_R")

# The end of a sleep is spun, not slept: timers are late by up to this, a third of the shortest operations.
_SPIN_S = 150e-6
_CALIBRATION_BLOCK = bytes(64 * 1024)
_CALIBRATION_BLOCKS = 24
_PAIRS_MIN = 5


class Dilated:
    """Wraps callables so that each call takes `factor` times the processor time it used, or longer if it did anyway.

    The rest of that time it is asleep, so the core is left to others. Time that the call lost to other processes is
    made up for rather than stretched, so that a busy host does not make the emulated device slower still.

    The processor time is the whole process's, because an engine may compute in a thread of its own (the caller's time
    alone would miss it), and at most the time that passed, because the emulated operation has one thread. So: one
    thread in the engine, and no other busy thread in this process while an operation runs, or its time counts too.

    Not given: the same wait on a machine so loaded that it wakes sleepers late. `calibrate` tells.

    Args:
        factor: 1 or more; 1 changes nothing.
    """

    def __init__(
        self,
        factor: float,
        *,
        wall: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 1 <= factor < 1e4:
            raise ValueError(f"device factor {factor:g}; a slower device has a factor of 1 or more")
        self.factor = factor
        self._wall, self._processor, self._sleep = wall, processor, sleep

    def __call__(self, operation: Callable[_P, _R]) -> Callable[_P, _R]:
        """The same operation, slowed; exceptions pass at once."""
        if self.factor == 1:
            return operation

        @functools.wraps(operation)
        def slowed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            began_s, processor_s = self._wall(), self._processor()
            result = operation(*args, **kwargs)
            used_s = min(self._processor() - processor_s, self._wall() - began_s)
            self._wait_until(began_s + self.factor * used_s)
            return result

        return slowed

    def _wait_until(self, end_s: float) -> None:
        while (left_s := end_s - self._wall()) > 0:
            if left_s > _SPIN_S:
                self._sleep(left_s - _SPIN_S)


def dilate(factor: float) -> Dilated:
    """A wrapper that makes operations `factor` times slower: `run = dilate(12.0)(head.run)`."""
    return Dilated(factor)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a factor was set to and what came out, on one operation; medians over `pairs` interleaved calls.

    Attributes:
        plain_s: Processor time of a plain call, which is the time it takes where nothing else runs.
        plain_wall_s: Time that a plain call took here; much more than `plain_s` on a machine that is busy otherwise.
        slowed_s: Time that a slowed call took.
    """

    set_factor: float
    measured_factor: float
    plain_s: float
    plain_wall_s: float
    slowed_s: float
    pairs: int

    def __str__(self) -> str:
        return (
            f"emulated device: set to {self.set_factor:.3g} times slower, measured {self.measured_factor:.3g} "
            f"({self.plain_s * 1e3:.2f} ms becomes {self.slowed_s * 1e3:.2f} ms, median of {self.pairs})"
        )

    def to_json(self) -> dict[str, Any]:
        """The calibration as plain data."""
        return dataclasses.asdict(self)


def calibrate(
    device: Dilated, operation: Callable[[], object] | None = None, *, budget_s: float = 1.5, pairs_max: int = 50
) -> Calibration:
    """Measures the slow-down that `device` really gives, plain and slowed calls taking turns.

    Args:
        device: The wrapper.
        operation: What to run, for instance one inference; by default about a millisecond of hashing.
        budget_s: Stops after this time, once it has five pairs.
        pairs_max: Stops after so many pairs.
    """
    plain = operation if operation is not None else _hash_something
    slowed = device(plain)
    plain()
    samples: list[tuple[float, float, float]] = []
    end_s = time.perf_counter() + budget_s
    while len(samples) < pairs_max and (len(samples) < _PAIRS_MIN or time.perf_counter() < end_s):
        plain()  # after the sleep of the last slowed call the caches are cold
        began_s, processor_s = time.perf_counter(), time.process_time()
        plain()
        used_s, middle_s = time.process_time() - processor_s, time.perf_counter()
        slowed()
        samples.append((used_s, middle_s - began_s, time.perf_counter() - middle_s))
    plain_s, plain_wall_s, slowed_s = (statistics.median(column) for column in zip(*samples, strict=True))
    return Calibration(
        set_factor=device.factor,
        measured_factor=slowed_s / plain_s,
        plain_s=plain_s,
        plain_wall_s=plain_wall_s,
        slowed_s=slowed_s,
        pairs=len(samples),
    )


def _hash_something() -> None:
    digest = hashlib.sha256()
    for _ in range(_CALIBRATION_BLOCKS):
        digest.update(_CALIBRATION_BLOCK)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DevicePreset:
    """A board that a mobile unit may carry, with published times of networks on one of its threads.

    Attributes:
        name: As on the command line.
        board: Board, processor core and clock.
        published_ms: (network, precision) → milliseconds for one 224×224 image, batch 1, one thread.
        source: Where they are published.
    """

    name: str
    board: str
    published_ms: Mapping[tuple[str, str], float]
    source: str

    def factor(self, network: str, precision: str, measured_s: float) -> float:
        """How much slower this board is than here: published time ÷ the time measured here, one thread each.

        At least 1. The libraries differ (ncnn there), so it holds for the network and precision compared; other
        networks are slowed by the same factor, which is an approximation.

        Raises:
            UsageError: nothing is published for that network and precision; names what is.
        """
        if (network, precision) not in self.published_ms:
            known = ", ".join(f"{name} {kind}" for name, kind in self.published_ms)
            raise UsageError(f"no published time of {network} {precision} on {self.name}; there are: {known}")
        if measured_s <= 0:
            raise ValueError(f"measured time {measured_s:g} s; a time is more than 0")
        return max(1.0, self.published_ms[network, precision] / 1e3 / measured_s)


_NCNN = (
    "ncnn's own benchmark table, benchncnn with num_threads = 1 on the processor, avg column: "
    "https://github.com/Tencent/ncnn/blob/master/benchmark/README.md"
)


def _preset(name: str, board: str, mobilenet_v2: float, resnet50: float, resnet50_int8: float) -> DevicePreset:
    published = {
        ("mobilenet_v2", "float"): mobilenet_v2,
        ("resnet50", "float"): resnet50,
        ("resnet50", "int8"): resnet50_int8,
    }
    return DevicePreset(name=name, board=board, published_ms=MappingProxyType(published), source=_NCNN)


#: From the slowest to the fastest. Adding a board is one row here, with its source.
PRESETS: Final[Mapping[str, DevicePreset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _preset("banana-pi-m2-zero", "Banana Pi M2 Zero, Cortex-A7 1.2 GHz, 32 bit", 683.34, 4847.80, 2797.30),
            _preset("pi-zero-2", "Raspberry Pi Zero 2 W, Cortex-A53 1.0 GHz", 274.23, 1802.79, 1313.15),
            _preset("pi-4", "Raspberry Pi 4 Model B, Cortex-A72 1.8 GHz", 93.48, 534.11, 423.96),
            _preset("khadas-vim3", "Khadas VIM3, Cortex-A73 2.2 GHz", 81.62, 531.87, 333.71),
            _preset("ryzen-v1605b", "AMD Ryzen Embedded V1605B 3.6 GHz, an embedded PC", 27.81, 201.37, 496.95),
            _preset(
                "rk3588", "RK3588, Cortex-A76 2.4 GHz (the core and clock of a Raspberry Pi 5)", 27.29, 187.15, 225.75
            ),
        )
    }
)


def device_preset(name: str) -> DevicePreset:
    """The preset of that name.

    Raises:
        UsageError: there is none; the message lists them.
    """
    if name not in PRESETS:
        raise UsageError(f"no device preset {name!r}; there are: {', '.join(PRESETS)} (or give --device-factor X)")
    return PRESETS[name]
