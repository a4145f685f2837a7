"""EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946), MONAI's implementation and state-dict names."""

from __future__ import annotations

from monai.networks.nets.efficientnet import EfficientNetBN
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import IMAGENET_MEAN, IMAGENET_STD, Normalised, image_spec, imagenet_labels


def build() -> tuple[nn.Module, NetworkSpec]:
    """The ImageNet classifier of 224² colour images."""
    labels = imagenet_labels(background=False)
    backbone = EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=len(labels))
    spec = image_spec("efficientnet_b0", shape=(3, 224, 224), labels=labels, resize="crop")
    return Normalised(backbone, mean=IMAGENET_MEAN, std=IMAGENET_STD), spec
