"""Networks with parallel branches for `bench_mincut`, beside the zoo's: one made for the purpose, two of MONAI's."""

from __future__ import annotations

import torch
from monai.networks.nets import UNETR, AttentionUnet
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, Normalised, image_spec

_SIDE = 224


class Forked(nn.Module):
    """Two branches off one stem that each narrow first and then work hard on little: as late fusion does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, stride=2, padding=1)
        self.first = _branch(8)
        self.second = _branch(12)
        self.classify = nn.Linear(20, 2)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        joined = torch.cat([self.first(x), self.second(x)], dim=1)
        out: Tensor = self.classify(joined.mean(dim=(2, 3)))
        return out


def forked() -> tuple[nn.Module, NetworkSpec]:
    """The constructed network."""
    return _grey(Forked(), "forked")


def attention_unet() -> tuple[nn.Module, NetworkSpec]:
    """MONAI's U-Net with gates of attention over its skips."""
    network = AttentionUnet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(16, 32, 64, 128), strides=(2, 2, 2)
    )
    return _grey(network, "attention_unet")


def unetr() -> tuple[nn.Module, NetworkSpec]:
    """MONAI's UNETR: a transformer whose inner states go through convolutions of their own to a decoder."""
    network = UNETR(
        in_channels=1, out_channels=1, img_size=(_SIDE, _SIDE), feature_size=16, hidden_size=384, mlp_dim=1536,
        num_heads=6, spatial_dims=2,
    )  # fmt: skip
    return _grey(network, "unetr")


def _branch(channels: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(32, channels, 5, stride=4, padding=2), nn.ReLU()]
    wide = 16 * channels
    layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def _grey(network: nn.Module, name: str) -> tuple[nn.Module, NetworkSpec]:
    spec = image_spec(name, shape=(1, _SIDE, _SIDE), labels=("no", "yes"))
    return Normalised(network.eval(), mean=GREY_MEAN, std=GREY_STD), spec
