"""Residual U-Net for lung segmentation (Ronneberger et al. 2015, arXiv:1505.04597), MONAI's implementation."""

from __future__ import annotations

from monai.networks.nets.unet import UNet
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, Normalised, image_spec


def build() -> tuple[nn.Module, NetworkSpec]:
    """Probability of lung at each pixel of a 256² radiograph.

    Batch norm and ReLU stand for MONAI's defaults (instance norm, PReLU) because they fold into INT8 convolutions.
    """
    backbone = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm="BATCH",
        act="RELU",
    )
    spec = image_spec("unet", shape=(1, 256, 256), labels=("lung",), output="mask")
    return Normalised(backbone, mean=GREY_MEAN, std=GREY_STD, sigmoid=True), spec
