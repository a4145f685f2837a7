"""Boards that a mobile unit may carry: published one-thread times and the processor class. Adding one is one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from suture_protocol.errors import UsageError
from suture_simulators.devices import isa as processor


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DevicePreset:
    """A board with published times of networks on one of its threads.

    Attributes:
        name: As on the command line.
        board: Board, processor core and clock.
        published_ms: (network, precision) → milliseconds for one 224×224 image, batch 1, one thread.
        source: Where they are published.
        isa: The value of ONEDNN_MAX_CPU_ISA that comes nearest: AVX2_VNNI for cores with 8-bit dot products
            (Arm's SDOT), AVX2 for those without, whose INT8 goes through 16-bit steps. Vectors stay wider than
            Arm's 128 bits; the factor is measured under the class, so speed is right, the balance of layers is not.
    """

    name: str
    board: str
    published_ms: Mapping[tuple[str, str], float]
    source: str
    isa: str

    def factor(self, network: str, precision: str, measured_s: float) -> float:
        """How much slower this board is than here: published time ÷ the time measured here, one thread each.

        At least 1. The libraries differ (ncnn there), so it holds for the network and precision compared; other
        networks are slowed by the same factor, which is an approximation.

        Args:
            network: A published one.
            precision: `float` or `int8`.
            measured_s: Warm time of it here, under `environment()`.

        Raises:
            UsageError: nothing is published for that network and precision; names what is.
        """
        if (network, precision) not in self.published_ms:
            known = ", ".join(f"{name} {kind}" for name, kind in self.published_ms)
            raise UsageError(f"no published time of {network} {precision} on {self.name}; there are: {known}")
        if measured_s <= 0:
            raise ValueError(f"measured time {measured_s:g} s; a time is more than 0")
        return max(1.0, self.published_ms[network, precision] / 1e3 / measured_s)

    def environment(self) -> dict[str, str]:
        """What to add to the environment of a process that plays this board."""
        return processor.environment(self.isa)


_NCNN: Final = (
    "ncnn's own benchmark table, benchncnn with num_threads = 1 on the processor, avg column: "
    "https://github.com/Tencent/ncnn/blob/master/benchmark/README.md"
)
_DOT_PRODUCTS: Final = "AVX2_VNNI"
_NO_DOT_PRODUCTS: Final = "AVX2"


def _preset(
    name: str, board: str, isa: str, mobilenet_v2: float, resnet50: float, resnet50_int8: float
) -> DevicePreset:
    published = {
        ("mobilenet_v2", "float"): mobilenet_v2,
        ("resnet50", "float"): resnet50,
        ("resnet50", "int8"): resnet50_int8,
    }
    return DevicePreset(name=name, board=board, published_ms=MappingProxyType(published), source=_NCNN, isa=isa)


_RK3588: Final = "RK3588, Cortex-A76 2.4 GHz (the core and clock of a Raspberry Pi 5)"
_BANANA: Final = "Banana Pi M2 Zero, Cortex-A7 1.2 GHz, 32 bit"

#: From the slowest to the fastest.
PRESETS: Final[Mapping[str, DevicePreset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _preset("banana-pi-m2-zero", _BANANA, _NO_DOT_PRODUCTS, 683.34, 4847.80, 2797.30),
            _preset(
                "pi-zero-2", "Raspberry Pi Zero 2 W, Cortex-A53 1.0 GHz", _NO_DOT_PRODUCTS, 274.23, 1802.79, 1313.15
            ),
            _preset(
                "pi-3b-plus", "Raspberry Pi 3 Model B+, Cortex-A53 1.4 GHz", _NO_DOT_PRODUCTS, 158.80, 979.75, 893.83
            ),
            _preset("pi-4", "Raspberry Pi 4 Model B, Cortex-A72 1.8 GHz", _NO_DOT_PRODUCTS, 93.48, 534.11, 423.96),
            _preset("khadas-vim3", "Khadas VIM3, Cortex-A73 2.2 GHz", _NO_DOT_PRODUCTS, 81.62, 531.87, 333.71),
            _preset(
                "ryzen-v1605b",
                "AMD Ryzen Embedded V1605B 3.6 GHz, an embedded PC",
                _NO_DOT_PRODUCTS,
                27.81,
                201.37,
                496.95,
            ),
            _preset("rk3588", _RK3588, _DOT_PRODUCTS, 27.29, 187.15, 225.75),
        )
    }
)


def device_preset(name: str) -> DevicePreset:
    """The preset of that name.

    Raises:
        UsageError: there is none; the message lists them.
    """
    if name not in PRESETS:
        raise UsageError(f"no device preset {name!r}; there are: {', '.join(PRESETS)} (or give a factor, e.g. 12)")
    return PRESETS[name]
