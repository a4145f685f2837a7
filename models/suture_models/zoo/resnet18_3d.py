"""ResNet-18 in 3D for head CT volumes (Chen et al. 2019, Med3D, arXiv:1904.00625), MONAI's implementation."""

from __future__ import annotations

from monai.networks.nets.resnet import resnet18
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, Normalised, image_spec

#: Slices, rows, columns a series is resampled to.
_SHAPE_DHW = (32, 128, 128)
#: Centre and width in HU of the window in which blood stands out against brain.
_BRAIN_WINDOW_HU = (40.0, 80.0)
_LABELS = ("normal", "haemorrhage")


def build() -> tuple[nn.Module, NetworkSpec]:
    """The two-label classifier of head CT series, read through the brain window."""
    backbone = resnet18(spatial_dims=3, n_input_channels=1, num_classes=len(_LABELS), conv1_t_stride=2)
    spec = image_spec("resnet18_3d", shape=(1, *_SHAPE_DHW), labels=_LABELS, kind="volume", window=_BRAIN_WINDOW_HU)
    return Normalised(backbone, mean=GREY_MEAN, std=GREY_STD, spatial_dims=3), spec
