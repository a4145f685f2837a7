"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), with torchvision's state-dict names."""

from __future__ import annotations

from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import IMAGENET_MEAN, IMAGENET_STD, Normalised, Weights, image_spec, imagenet_labels
from suture_models.zoo.layers import SamePadConv2d

#: Expansion, output channels, repeats, first stride: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_FEATURES = 1280


class MobileNetV2(nn.Module):
    """Width 1.0. Takes float32 (N, channels, H, W), returns logits (N, classes).

    Args:
        classes: Number of logits.
        channels: Channels of the input.
        same_padding: Pad strided convolutions as TensorFlow does; for weights that were trained there.
    """

    def __init__(self, *, classes: int = 1000, channels: int = 3, same_padding: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn_relu(channels, 32, 3, stride=2, same=same_padding)]
        width = 32
        for expansion, outputs, repeats, first_stride in _STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                layers.append(_InvertedResidual(width, outputs, stride, expansion, same=same_padding))
                width = outputs
        layers.append(_conv_bn_relu(width, _FEATURES, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_FEATURES, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of x (N, channels, H, W)."""
        out: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return out


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, *, same: bool) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv_bn_relu(inputs, hidden, 1)]
        layers += [
            _conv_bn_relu(hidden, hidden, 3, stride=stride, groups=hidden, same=same),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self._residual else out


def _conv_bn_relu(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, same: bool = False
) -> nn.Sequential:
    conv: nn.Conv2d
    if same:
        conv = SamePadConv2d(inputs, outputs, kernel, stride=stride, groups=groups)
    else:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


def build(weights: Weights | None) -> tuple[nn.Module, NetworkSpec]:
    """The ImageNet classifier of 224² colour images.

    Weights with 1001 classes are TensorFlow's (background first, x / 127.5 - 1, SAME padding), those with 1000
    torchvision's; each has its own normalisation and padding. Without weights: torchvision's conventions.
    """
    head = weights.tensors.get("classifier.1.weight") if weights else None
    tensorflow = head is not None and head.shape[0] == 1001
    labels = imagenet_labels(background=tensorflow)
    backbone = MobileNetV2(classes=len(labels), same_padding=tensorflow)
    spec = image_spec("mobilenet_v2", shape=(3, 224, 224), labels=labels, resize="crop")
    if tensorflow:
        return Normalised(backbone, mean=127.5, std=127.5), spec
    return Normalised(backbone, mean=IMAGENET_MEAN, std=IMAGENET_STD), spec
