"""ResNet-50 (He et al. 2015, arXiv:1512.03385) for grey radiographs, MONAI's implementation and state-dict names."""

from __future__ import annotations

from monai.networks.nets.resnet import resnet50
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, RADIOGRAPH_LABELS, Normalised, image_spec


def build() -> tuple[nn.Module, NetworkSpec]:
    """The two-label classifier of 224² radiographs; its first convolution has stride 2, as in the paper."""
    backbone = resnet50(spatial_dims=2, n_input_channels=1, num_classes=len(RADIOGRAPH_LABELS), conv1_t_stride=2)
    spec = image_spec("resnet50", shape=(1, 224, 224), labels=RADIOGRAPH_LABELS)
    return Normalised(backbone, mean=GREY_MEAN, std=GREY_STD), spec
