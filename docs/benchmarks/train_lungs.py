"""Trains the lung network of `lungs_network.py` behind its cut, and lays the training images out for what comes next.

    python docs/benchmarks/train_lungs.py --data "$SUTURE_DATA"

Writes `out/lungs/lungs.safetensors` and, for `suture train bottleneck --images` and `suture build --calibration`,
links to the training images in `out/lungs/train/`. The blocks before the cut stay ImageNet's: their activations are
computed once for the images and for moved, re-exposed copies of them. Of the epochs the one with the best mean Dice on
the validation split is kept. The test split is not read here.

Axes: N image, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from lungs_data import LungImages, dice, read_lungs
from lungs_network import CUT, Lungs, make
from torch import Generator, Tensor

from suture.console import stdout_console
from suture_models.manifest import MASK_THRESHOLD
from suture_models.train.grid import round_to_int8
from suture_models.train.pneumonia import grey_backbone
from suture_models.zoo.base import GREY_MEAN, GREY_STD
from suture_models.zoo.threads import torch_threads
from suture_models.zoo.weights import read_weights, save_weights

_BATCH = 8
_FORWARD_BATCH = 2
#: Learning rates of the decoder, which is fresh, and of ImageNet's blocks behind the cut.
_FRESH_PACE, _TUNE_PACE = 3e-3, 3e-4
_WEIGHT_DECAY = 1e-4
_RISE = 0.1
_SHIFT, _SCALE, _ROTATION_RAD = 0.08, 0.15, math.radians(10.0)
_BRIGHTNESS, _CONTRAST, _GAMMA_LOG = 0.12, 0.25, math.log(1.4)
_SOURCE = Path("weights/mobilenet_v2_qat_dequant_fp16.pt")


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds lungseg_256 and weights.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("out/lungs"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 14,
    copies: Annotated[int, typer.Option(min=0, help="Moved copies of each image.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
) -> None:
    """Trains and writes; the same options on the same processor and torch give the same bytes."""
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    network, spec = Lungs(), make()[1]
    source = grey_backbone(read_weights(data / _SOURCE)).features.state_dict()
    network.features.load_state_dict({k: v for k, v in source.items() if k in network.features.state_dict()})
    round_to_int8(network.features)
    with torch_threads(1):
        train, val = (read_lungs(data, split, spec) for split in ("train", "val"))
        best = _train(network, train, val, epochs, copies, generator)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_weights(out / "lungs.safetensors", halves, {"val_dice": f"{best:.4f}", "torch": torch.__version__})
    _link(train, out / "train")
    stdout_console().print(f"mean Dice on the validation split {best:.4f}; wrote {out}", markup=False, soft_wrap=True)


def _train(network: Lungs, train: LungImages, val: LungImages, epochs: int, copies: int, generator: Generator) -> float:
    """Trains in place what lies behind the cut; returns the best mean Dice on `val`, whose weights are kept."""
    pixels, masks = torch.from_numpy(np.concatenate(train.images)), torch.from_numpy(train.masks_NHW)[:, None]
    views = [(_maps(network, pixels), masks)]
    for _ in range(copies):
        moved, moved_masks = _moved(pixels, masks, generator)
        views.append((_maps(network, moved), moved_masks))
    val_maps = _maps(network, torch.from_numpy(np.concatenate(val.images)))
    optimiser, schedule = _optimiser(network, epochs * -(-len(pixels) // _BATCH))
    best, kept = -1.0, network.state_dict()
    for epoch in range(1, epochs + 1):
        loss = _epoch(network, views, optimiser, schedule, generator)
        found = _mean_dice(network, val_maps, val)
        if found > best:
            best, kept = found, copy.deepcopy(network.state_dict())
        text = f"epoch {epoch} of {epochs}: loss {loss:.4f}, Dice on the validation split {found:.4f}"
        stdout_console().print(text, markup=False)
    network.load_state_dict(kept)
    return best


def _optimiser(network: Lungs, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """For what lies behind the cut: the decoder and ImageNet's deeper blocks, each at its pace."""
    fresh = [p for name, p in network.named_parameters() if not name.startswith("features.")]
    groups = [{"params": fresh}, {"params": list(network.features[CUT:].parameters())}]
    optimiser = torch.optim.AdamW(groups, lr=_FRESH_PACE, weight_decay=_WEIGHT_DECAY)
    paces = [_FRESH_PACE, _TUNE_PACE]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, paces, total_steps=steps + 1, pct_start=_RISE)


def _epoch(
    network: Lungs,
    views: Sequence[tuple[Tensor, Tensor]],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: Generator,
) -> float:
    """One pass over the images, each in a view drawn at random; returns the mean loss."""
    # ImageNet's batch norms are folded to identity and stay so; the decoder's learn.
    network.train()
    network.features.eval()
    losses = []
    for index in torch.split(torch.randperm(len(views[0][0]), generator=generator), _BATCH):
        drawn = torch.randint(0, len(views), (len(index),), generator=generator).tolist()
        rows = list(zip(drawn, index.tolist(), strict=True))
        maps, wanted = (torch.stack([views[v][part][i] for v, i in rows]).float() for part in (0, 1))
        loss = _loss(network.behind(maps), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy per pixel and 1 - Dice of the probabilities per image, their means added."""
    found = torch.sigmoid(logits)
    overlap = 2 * (found * wanted).sum((1, 2, 3)) / (found + wanted).sum((1, 2, 3)).clamp_min(1.0)
    return F.binary_cross_entropy_with_logits(logits, wanted) + (1 - overlap).mean()


@torch.no_grad()
def _mean_dice(network: Lungs, maps: Tensor, lungs: LungImages) -> float:
    network.eval()
    logits = torch.cat([network.behind(part.float()) for part in torch.split(maps, _BATCH)])
    found = (torch.sigmoid(logits) >= MASK_THRESHOLD).numpy()[:, 0]
    return float(np.mean([dice(one, wanted) for one, wanted in zip(found, lungs.masks_NHW, strict=True)]))


@torch.no_grad()
def _maps(network: Lungs, pixels: Tensor) -> Tensor:
    """float16 activations at the cut of uint8 `pixels` (N, 1, H, W)."""
    network.eval()
    parts = [network.before((part.float() - GREY_MEAN) / GREY_STD) for part in torch.split(pixels, _FORWARD_BATCH)]
    return torch.cat(parts).half()


def _moved(pixels: Tensor, masks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """A turned, scaled, shifted and for one in two mirrored copy of each image and its mask, exposed otherwise."""
    count = len(pixels)

    def draw(amplitude: float) -> Tensor:
        return ((torch.rand(count, generator=generator) * 2 - 1) * amplitude).view(-1, 1, 1, 1)

    angle, zoom = draw(_ROTATION_RAD), 1 + draw(_SCALE)
    side = torch.where(draw(1.0) < 0, -1.0, 1.0)
    # Normalised coordinates run from -1 to 1, so a shift by a fraction of the side is twice that fraction.
    across = torch.cat((side * torch.cos(angle) * zoom, -torch.sin(angle) * zoom, draw(2 * _SHIFT)), 3)
    down = torch.cat((side * torch.sin(angle) * zoom, torch.cos(angle) * zoom, draw(2 * _SHIFT)), 3)
    both = torch.cat((pixels.float() / 255, masks.float()), 1)
    grid = F.affine_grid(torch.cat((across, down), 2)[:, 0], list(both.shape), align_corners=False)
    turned = F.grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    x = turned[:, :1].clamp(0, 1) ** torch.exp(draw(_GAMMA_LOG))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (1 + draw(_CONTRAST)) + mean + draw(_BRIGHTNESS)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8), turned[:, 1:] >= MASK_THRESHOLD


def _link(lungs: LungImages, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in lungs.paths:
        link = folder / path.name
        if not link.is_symlink():
            os.symlink(path.resolve(), link)


if __name__ == "__main__":
    typer.run(main)
