"""What every network of the zoo is made of: loaded weights, the normalising wrapper, specs and label lists.

Axes: N batch, C channels, D depth, H height, W width, T time, L leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from suture_models.manifest import InputKind, NetworkSpec, OutputKind, Preprocess, TensorSpec

#: Mean and standard deviation of ImageNet's training images on the 0 … 255 scale, as torchvision and MONAI use them.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
#: Grey images to -1 … 1.
GREY_MEAN = 127.5
GREY_STD = 127.5

RADIOGRAPH_LABELS = ("normal", "pneumonia")
#: The diagnostic superclasses of PTB-XL (Wagner et al. 2020, doi:10.1038/s41597-020-0495-6).
ECG_LABELS = ("normal", "myocardial infarction", "ST/T change", "conduction disturbance", "hypertrophy")
ECG_LEADS = 12
ECG_SAMPLES = 500

_LABELS_FILE = Path(__file__).with_name("imagenet_labels.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A state dict read from `path`; `metadata` is what `save_weights` put beside it, if that wrote the file."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


class Normalised(nn.Module):
    """A backbone behind its normalisation: (image - mean) / std in float32, with the image as it was read.

    Args:
        backbone: Takes float32 (N, C, *spatial).
        mean: One number, or one per channel, on the scale of the image as read.
        std: Likewise.
        spatial_dims: 2 for images, 3 for volumes.
        expand: Number of channels a grey image is repeated to, for backbones that know colour only; 0 for none.
        sigmoid: Whether a sigmoid ends the network (masks), so that its output is a probability.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        spatial_dims: int = 2,
        expand: int = 0,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        shape = (1, -1) + (1,) * spatial_dims
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(shape))
        self.register_buffer("scale", 1.0 / torch.tensor(std, dtype=torch.float32).reshape(shape))
        self._expand = expand
        self._sigmoid = sigmoid

    def forward(self, image: Tensor) -> Tensor:
        """Output of the backbone for uint8 or uint16 `image` (N, C, *spatial)."""
        x = (image.to(torch.float32) - self.mean) * self.scale
        if self._expand:
            x = x.expand(-1, self._expand, *x.shape[2:])
        out: Tensor = self.backbone(x)
        return torch.sigmoid(out) if self._sigmoid else out


def image_spec(
    name: str,
    *,
    shape: tuple[int, ...],
    labels: tuple[str, ...],
    kind: InputKind = "image",
    output: OutputKind = "classes",
    resize: Literal["stretch", "crop"] = "stretch",
    window: tuple[float, float] | None = None,
    attribution: str = "",
) -> NetworkSpec:
    """Spec of a network that reads uint8 pixels of `shape` (C, H, W) or (C, D, H, W); marked random until loaded.

    A network with output `classes` returns logits (N, K); softmax over K gives the labels' probabilities in order.
    One with output `mask` returns probabilities (N, K, H, W), one channel per label.
    """
    return NetworkSpec(
        name=name,
        kind=kind,
        input=TensorSpec(name="image", shape=(1, *shape), dtype="uint8"),
        preprocess=Preprocess(size=shape[1:], channels=shape[0], window=window, resize=resize),
        output=output,
        labels=labels,
        weights="random",
        attribution=attribution,
    )


def signal_spec(name: str, *, samples: int, leads: int, labels: tuple[str, ...]) -> NetworkSpec:
    """Spec of a classifier of float32 signals (T, L), one column per lead; returns logits like `image_spec`'s."""
    return NetworkSpec(
        name=name,
        kind="signal",
        input=TensorSpec(name="signal", shape=(1, samples, leads), dtype="float32"),
        preprocess=Preprocess(size=(samples,), channels=leads),
        output="classes",
        labels=labels,
        weights="random",
    )


def imagenet_labels(*, background: bool) -> tuple[str, ...]:
    """The 1000 ImageNet labels in order, with `background` before them where a network has 1001 classes.

    The first synonym of each; where two classes share it (crane, maillot), all synonyms and the class's number.
    """
    lines = _LABELS_FILE.read_text(encoding="utf-8").splitlines()
    short = [line.split(",")[0].strip() for line in lines]
    unique = [
        name if short.count(name) == 1 else f"{line.strip()} ({index - 1})"
        for index, (name, line) in enumerate(zip(short, lines, strict=True))
    ]
    return tuple(unique if background else unique[1:])
