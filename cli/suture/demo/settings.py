"""What the demonstration runs: links, networks, ways to the result, repeats; plain data that parent and unit share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Ways to a result that are compared, with what each does, for people.
ARMS: Final[Mapping[str, str]] = {
    "split": "head on the unit at the planned cut, codes to the cloud, tail there",
    "dicom_upload": "the DICOM file to the cloud as it is; the cloud does everything",
    "image_upload": "read and preprocessed on the unit, sent as a lossless image (JPEG-LS)",
    "jpeg_upload": "read and preprocessed on the unit, sent as JPEG quality 95 (lossy)",
    "edge_only": "everything on the unit, nothing sent",
}
#: Measured beside them: the best cut inside the network, whether or not the plan chose it.
MIDDLE: Final = "middle"
ARM_TITLES: Final[Mapping[str, str]] = {
    "split": "split as planned",
    "dicom_upload": "DICOM file",
    "image_upload": "lossless image",
    "jpeg_upload": "JPEG 95",
    "edge_only": "edge only",
    MIDDLE: "best middle cut",
}

TRAINED: Final = "pneumonia_mobilenet_v2"
HEAVY: Final = "resnet50"
RATES_BPS: Final = (2e6, 20e6, 100e6)
RTT_S: Final = 0.04
BOARD: Final = "pi-4"
JPEG_QUALITY: Final = 95
SEED: Final = 1
#: A network without trained weights says nothing of a patient, so it is spared the files that take long to send.
HEAVY_FILE_BYTES: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSettings:
    """One run. `device_factor` None derives it from the board's published time, no `studies` takes the bundled ones."""

    out: Path
    bundles: Path
    rates_bps: tuple[float, ...] = RATES_BPS
    rtt_s: float = RTT_S
    networks: tuple[str, ...] = (TRAINED, HEAVY)
    studies: tuple[Path, ...] = ()
    board: str = BOARD
    device_factor: float | None = None
    repeats: int = 4
    thorough: bool = False
    seed: int = SEED


def link_name(rate_bps: float) -> str:
    """`20mbit`, for keys."""
    return f"{rate_bps / 1e6:g}mbit"
