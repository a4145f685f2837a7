"""Batch-norm statistics for random weights, so that an untrained network's activations look like a trained one's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec, TensorSpec
from suture_models.zoo.threads import torch_threads

_IMAGES = 8
_VOLUMES = 2
#: Amplitude of what each channel has of its own against what all share.
_COLOUR = 0.3


def settle_batch_norm(module: nn.Module, spec: NetworkSpec, *, seed: int) -> None:
    """Sets each batch norm's running mean and variance to what seeded synthetic inputs give; nothing else changes.

    With PyTorch's initial statistics (0 and 1) a deep random network's activations shrink layer by layer until
    quantising them is meaningless. The inputs have the spectrum of natural images over the full range of pixel
    values: after smooth ones alone, the fine detail of real images would make activations explode. One thread, so
    that sums have one order and the same seed gives the same bits.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    inputs = _synthetic(spec.input, _VOLUMES if spec.kind == "volume" else _IMAGES, seed)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # A plain average over the batches instead of a decaying one.
        norm.train()
    with torch.no_grad(), torch_threads(1):
        module(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _synthetic(spec: TensorSpec, count: int, seed: int) -> Tensor:
    """Random images (N, C, *spatial), uint8, whose brightness and contrast differ and whose channels go together.

    Each octave of spatial frequency has the same energy, as in natural images (Field 1987).
    """
    generator = torch.Generator().manual_seed(seed)
    channels, *size = spec.shape[1:]
    shared = _octaves(count, 1, size, generator)
    field = shared + _COLOUR * _octaves(count, channels, size, generator) if channels > 1 else shared
    field = field / field.flatten(1).std(1).view(-1, *(1,) * (field.dim() - 1))
    per_image = (count,) + (1,) * (field.dim() - 1)
    brightness = 90.0 + 75.0 * torch.rand(per_image, generator=generator)
    contrast = 50.0 + 60.0 * torch.rand(per_image, generator=generator)
    return (brightness + contrast * field).clamp(0, 255).round().to(torch.uint8)


def _octaves(count: int, channels: int, size: list[int], generator: torch.Generator) -> Tensor:
    mode = "trilinear" if len(size) == 3 else "bilinear"
    field = torch.zeros(count, channels, *size)
    cells = 2
    while cells < max(size):
        coarse = torch.randn(count, channels, *(min(cells, side) for side in size), generator=generator)
        field += F.interpolate(coarse, size=tuple(size), mode=mode, align_corners=True)
        cells *= 2
    return field
