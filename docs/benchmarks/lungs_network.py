"""Lung masks of radiographs: MobileNetV2 below a light decoder. The benchmark's own, loaded as a user's network is.

    PYTHONPATH=docs/benchmarks suture build lungs_network:make --weights out/lungs/lungs.safetensors …

`train_lungs.py` makes the weights. Axes: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, Normalised, image_spec
from suture_models.zoo.mobilenet_v2 import MobileNetV2

SIDE = 256
#: `features[:CUT]` ends at 32 × 32 × 32, the first place at an eighth of the side: one tensor crosses there, since the
#: first skip begins behind it.
CUT = 5
#: Ends of the encoder's blocks at 1/8, 1/16 and 1/32 of the side, and their channels.
_ENDS = (7, 14, 18)
_WIDTHS = (32, 96, 320)
#: Channels of the decoder at 1/16, 1/8, 1/4 and 1/2 of the side.
_DECODER = (96, 48, 24, 16)


def make() -> tuple[nn.Module, NetworkSpec]:
    """Probability of lung at each pixel of a 256² grey radiograph."""
    spec = image_spec("lungs", shape=(1, SIDE, SIDE), labels=("lung",), output="mask")
    return Normalised(Lungs(), mean=GREY_MEAN, std=GREY_STD, sigmoid=True), spec


class Lungs(nn.Module):
    """Takes normalised (N, 1, 256, 256), returns logits (N, 1, 256, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = MobileNetV2(classes=1, channels=1, same_padding=True).features[: _ENDS[-1]]
        sixteenth, eighth, quarter, half = _DECODER
        self.rise_16 = _twice(_WIDTHS[2], sixteenth)
        self.merge_16 = _mixed(sixteenth + _WIDTHS[1], sixteenth)
        self.rise_8 = _twice(sixteenth, eighth)
        self.merge_8 = _mixed(eighth + _WIDTHS[0], eighth)
        self.finish = nn.Sequential(
            _twice(eighth, quarter),
            _mixed(quarter, quarter),
            _twice(quarter, half),
            _mixed(half, half),
            nn.ConvTranspose2d(half, 1, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of x."""
        return self.behind(self.before(x))

    def before(self, x: Tensor) -> Tensor:
        """The tensor at the cut (N, 32, 32, 32) of x."""
        maps: Tensor = self.features[:CUT](x)
        return maps

    def behind(self, maps: Tensor) -> Tensor:
        """Logits from the tensor at the cut."""
        eighth = self.features[CUT : _ENDS[0]](maps)
        sixteenth = self.features[_ENDS[0] : _ENDS[1]](eighth)
        x = self.rise_16(self.features[_ENDS[1] :](sixteenth))
        x = self.rise_8(self.merge_16(torch.cat([x, sixteenth], 1)))
        logits: Tensor = self.finish(self.merge_8(torch.cat([x, eighth], 1)))
        return logits


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the side; kernels that overlap, so that no checkerboard shows."""
    up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU())


def _mixed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
