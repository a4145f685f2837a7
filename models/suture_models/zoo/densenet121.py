"""DenseNet-121 (Huang et al. 2016, arXiv:1608.06993) for grey radiographs, MONAI's implementation and names."""

from __future__ import annotations

from monai.networks.nets.densenet import DenseNet121
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, RADIOGRAPH_LABELS, Normalised, image_spec


def build() -> tuple[nn.Module, NetworkSpec]:
    """The two-label classifier of 224² radiographs; concatenations make most of its cuts cross with many tensors."""
    backbone = DenseNet121(spatial_dims=2, in_channels=1, out_channels=len(RADIOGRAPH_LABELS))
    spec = image_spec("densenet121", shape=(1, 224, 224), labels=RADIOGRAPH_LABELS)
    return Normalised(backbone, mean=GREY_MEAN, std=GREY_STD), spec
