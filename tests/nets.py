"""Small networks with skip connections for the tests; `tests.nets:make` is loaded as a user's own network is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import GREY_MEAN, GREY_STD, Normalised, image_spec

SIDE = 32
LABELS = ("normal", "abnormal", "unclear")


def make() -> tuple[nn.Module, NetworkSpec]:
    """A grey 32×32 classifier with a residual sum, a dense concatenation and a skip across the bottom."""
    return Normalised(Tiny(), mean=GREY_MEAN, std=GREY_STD), image_spec("tiny", shape=(1, SIDE, SIDE), labels=LABELS)


def make_forked() -> tuple[nn.Module, NetworkSpec]:
    """A grey 32×32 classifier of two branches, exported one after the other, that narrow first and then work hard."""
    return Normalised(Forked(), mean=GREY_MEAN, std=GREY_STD), image_spec(
        "forked", shape=(1, SIDE, SIDE), labels=LABELS
    )


def image_folder(folder: Path, count: int, *, seed: int) -> Path:
    """`folder`, filled with such inputs as files."""
    for place, image in enumerate(images(count, seed=seed)):
        Image.fromarray(image[0, 0]).save(folder / f"{place:03}.png")
    return folder


def make_outlined() -> tuple[nn.Module, NetworkSpec]:
    """A grey 32×32 network of masks, whose skip begins behind the first cut: the probability of one label."""
    spec = image_spec("outlined", shape=(1, SIDE, SIDE), labels=("disc",), output="mask")
    return Normalised(Outlined(), mean=GREY_MEAN, std=GREY_STD, sigmoid=True), spec


def make_pooled() -> tuple[nn.Module, NetworkSpec]:
    """A grey 32×32 classifier that can be cut behind its pooling, where a vector crosses."""
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 64),
        nn.ReLU(),
        nn.Linear(64, len(LABELS)),
    )
    spec = image_spec("pooled", shape=(1, SIDE, SIDE), labels=LABELS)
    return Normalised(body, mean=GREY_MEAN, std=GREY_STD), spec


def images(count: int, *, seed: int = 0) -> list[NDArray[Any]]:
    """Inputs for it: a slope, a disc and some noise, so that neighbouring pixels are alike as in radiographs."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    drawn = []
    for _ in range(count):
        angle, row, column = generator.uniform(0, 2 * np.pi), *generator.uniform(8, SIDE - 8, 2)
        slope = 2.5 * (np.cos(angle) * (rows - SIDE / 2) + np.sin(angle) * (columns - SIDE / 2))
        disc = 60 * ((rows - row) ** 2 + (columns - column) ** 2 < 36)
        values = 110 + slope + disc + generator.normal(scale=8, size=rows.shape)
        drawn.append(np.clip(values, 0, 255).astype(np.uint8)[None, None])
    return drawn


class Tiny(nn.Module):
    """Every kind of boundary: one tensor, two across a residual, three across a residual within a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.inner_a = nn.Conv2d(8, 8, 3, padding=1)
        self.inner_b = nn.Conv2d(8, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.low_a = nn.Conv2d(16, 12, 3, padding=1)
        self.low_b = nn.Conv2d(12, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(32, 8, 2, stride=2)
        self.merge = nn.Conv2d(16, 8, 3, padding=1)
        self.classify = nn.Linear(8, len(LABELS))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu_(self.stem(image))
        x = torch.relu(x + self.inner_b(torch.relu(self.inner_a(x))))
        low = torch.relu(self.down(x))
        low = torch.cat([low, torch.relu(low + self.low_b(torch.relu(self.low_a(low))))], dim=1)
        x = torch.relu(self.merge(torch.cat([x, self.up(low)], dim=1)))
        out: Tensor = self.classify(x.mean(dim=(2, 3)))
        return out


class Forked(nn.Module):
    """What crosses least for little work lies across both branches, and is no prefix of the exported graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.first = _branch(4)
        self.second = _branch(6)
        self.classify = nn.Linear(10, len(LABELS))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        joined = torch.cat([self.first(x), self.second(x)], dim=1)
        out: Tensor = self.classify(joined.mean(dim=(2, 3)))
        return out


def _branch(channels: int) -> nn.Module:
    narrow = nn.Conv2d(16, channels, 3, stride=2, padding=1)
    wide, back = nn.Conv2d(channels, 16 * channels, 3, padding=1), nn.Conv2d(16 * channels, channels, 3, padding=1)
    return nn.Sequential(narrow, nn.ReLU(), wide, nn.ReLU(), back, nn.ReLU())


class Outlined(nn.Module):
    """One tensor, then two across the skip, then one again: logits for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = nn.Conv2d(16, 8, 3, padding=1)
        self.finish = nn.ConvTranspose2d(8, 1, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        low = torch.relu(self.down(x))
        out: Tensor = self.finish(torch.relu(self.merge(torch.cat([x, self.up(low)], dim=1))))
        return out
