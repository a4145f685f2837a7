"""MobileNetV2 trained for pneumonia on paediatric chest radiographs; its weights are part of the package.

See `weights/pneumonia_mobilenet_v2.md` for data, recipe and measured accuracy. Not for diagnosis.
"""

from __future__ import annotations

from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, RADIOGRAPH_LABELS, Normalised, image_spec
from suture_models.zoo.mobilenet_v2 import MobileNetV2

ATTRIBUTION = (
    "ImageNet weights: google-coral/test_data (Apache-2.0). "
    "Radiographs: Kermany, Zhang, Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj (CC BY 4.0)."
)


def build() -> tuple[nn.Module, NetworkSpec]:
    """The two-label classifier of 224² radiographs.

    The first convolution takes one channel: three equal channels under ImageNet's kernels are one under their sum.
    """
    backbone = MobileNetV2(classes=len(RADIOGRAPH_LABELS), channels=1, same_padding=True)
    spec = image_spec("pneumonia_mobilenet_v2", shape=(1, 224, 224), labels=RADIOGRAPH_LABELS, attribution=ATTRIBUTION)
    return Normalised(backbone, mean=GREY_MEAN, std=GREY_STD), spec
