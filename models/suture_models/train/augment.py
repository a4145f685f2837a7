"""Augmentation of radiographs: pose, exposure and sharpness vary, sides do not (a heart has one).

Strong on purpose: which device, cropping or compression an image went through betrays its label in many collections,
and a network learns that shortcut unless training varies it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_SHIFT = 0.08
_SCALE = 0.12
#: Sides are scaled apart too: stretching to a square leaves each device its own proportions.
_ASPECT = 0.12
_ROTATION_RAD = math.radians(8.0)
_BRIGHTNESS = 0.12
_CONTRAST = 0.25
_GAMMA_LOG = math.log(1.4)
#: Largest share of a 5 x 5 binomial blur, and of what that blur removed, that is added (sharpening).
_SHARPNESS = 1.0
_NOISE = 0.02


def augment(images_NCHW: Tensor, generator: Generator) -> Tensor:
    """A moved, re-exposed, blurred or sharpened copy of each grey uint8 image; all draws from `generator`."""
    count = len(images_NCHW)

    def draw(amplitude: float) -> Tensor:
        return ((torch.rand(count, generator=generator) * 2 - 1) * amplitude).view(-1, 1, 1, 1)

    angle, zoom, aspect = draw(_ROTATION_RAD), 1 + draw(_SCALE), draw(_ASPECT)
    # Normalised coordinates run from -1 to 1, so a shift by a fraction of the side is twice that fraction.
    across = torch.cat((torch.cos(angle) * (zoom + aspect), -torch.sin(angle) * zoom, draw(2 * _SHIFT)), 3)
    down = torch.cat((torch.sin(angle) * zoom, torch.cos(angle) * (zoom - aspect), draw(2 * _SHIFT)), 3)
    grid = F.affine_grid(torch.cat((across, down), 2)[:, 0], list(images_NCHW.shape), align_corners=False)
    pixels = images_NCHW.to(torch.float32) / 255.0
    x = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    x = x.clamp(0, 1) ** torch.exp(draw(_GAMMA_LOG))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (1 + draw(_CONTRAST)) + mean + draw(_BRIGHTNESS)
    x = x + (x - _blurred(x)) * draw(_SHARPNESS)
    x = x + torch.randn(x.shape, generator=generator) * draw(_NOISE)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _blurred(x: Tensor) -> Tensor:
    binomial = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    kernel = torch.outer(binomial, binomial).view(1, 1, 5, 5)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel)
