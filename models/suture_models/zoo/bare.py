"""What is assumed of a user's module that comes without a spec, checked by running it once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import IMAGENET_MEAN, IMAGENET_STD, Normalised, image_spec
from suture_protocol.errors import UsageError

_SIDE = 224


def describe_bare_module(module: nn.Module, *, name: str) -> tuple[nn.Module, NetworkSpec]:
    """Wraps `module` in ImageNet's normalisation and describes it as a classifier of 224² images.

    Grey where its first convolution takes one channel, else colour; labels `class 0` … as many as it has logits.
    Marked random: only its author can say that it is trained, by returning a spec.

    Raises:
        UsageError: it does not turn such an image into logits (1, K).
    """
    grey = next((c.in_channels == 1 for c in module.modules() if isinstance(c, nn.Conv2d)), False)
    channels = 1 if grey else 3
    mean, std = (sum(IMAGENET_MEAN) / 3, sum(IMAGENET_STD) / 3) if grey else (IMAGENET_MEAN, IMAGENET_STD)
    wrapped = Normalised(module, mean=mean, std=std)
    wrapped.eval()
    shape = (channels, _SIDE, _SIDE)
    asked = f"network {name!r} came without a NetworkSpec, so it was run on one image {(1, *shape)}"
    remedy = "return (module, NetworkSpec) to say what it takes and gives"
    try:
        with torch.no_grad():
            out = wrapped(torch.zeros(1, *shape, dtype=torch.uint8))
    except Exception as error:
        raise UsageError(f"{asked} and failed ({error}); {remedy}") from error
    if not isinstance(out, Tensor) or out.dim() != 2 or out.shape[0] != 1:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UsageError(f"{asked} and gave {got} instead of logits (1, K); {remedy}")
    labels = tuple(f"class {index}" for index in range(out.shape[1]))
    return wrapped, image_spec(name, shape=shape, labels=labels, resize="crop")
