"""ViT-S/16 (Dosovitskiy et al. 2020, arXiv:2010.11929), MONAI's implementation and state-dict names."""

from __future__ import annotations

from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import Normalised, image_spec, imagenet_labels


class LogitsViT(ViT):  # type: ignore[misc]
    """MONAI's ViT without the hidden states that it returns beside the logits."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of x (N, 3, 224, 224)."""
        logits: Tensor = super().forward(x)[0]
        return logits


def build() -> tuple[nn.Module, NetworkSpec]:
    """The ImageNet classifier of 224² colour images; normalised to -1 … 1, as ViT's authors do."""
    labels = imagenet_labels(background=False)
    backbone = LogitsViT(
        in_channels=3,
        img_size=(224, 224),
        patch_size=(16, 16),
        hidden_size=384,
        mlp_dim=1536,
        num_layers=12,
        num_heads=6,
        classification=True,
        num_classes=len(labels),
        spatial_dims=2,
        post_activation="none",
        qkv_bias=True,
    )
    spec = image_spec("vit_s16", shape=(3, 224, 224), labels=labels, resize="crop")
    return Normalised(backbone, mean=127.5, std=127.5), spec
