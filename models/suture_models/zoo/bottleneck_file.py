"""The file of a trained bottleneck: encoder and decoder, and which weights of which network they were trained for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from suture_models.zoo.base import Weights
from suture_models.zoo.weights import load_weights, read_weights, save_weights
from suture_protocol.errors import UsageError

_KIND = "bottleneck"
_FOLDER = Path(__file__).parents[1] / "weights"
#: A code is a byte; more channels than this squeeze nothing.
_BOUNDS = {
    "inputs": (1, 4096),
    "hidden": (1, 1024),
    "channels": (1, 256),
    "levels": (2, 256),
    "halvings": (0, 5),
    "width": (1, 1024),
    "blocks": (0, 16),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Encoder: `inputs` channels through `hidden` ones to codes of `channels` channels, 0 … `levels` - 1.

    Height and width are halved `halvings` times. Decoder: `blocks` residual blocks of `width` channels.
    """

    inputs: int
    hidden: int
    channels: int
    levels: int
    halvings: int
    width: int
    blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bottleneck:
    """What such a file holds. `tensors` is the state dict of encoder and decoder; `card` says how it was trained."""

    base: str
    base_sha256: str
    cut: str
    shape: Shape
    tensors: Mapping[str, Tensor]
    card: Mapping[str, str] = field(default_factory=dict)


def state_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of a state dict, whatever file it came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_bottleneck(path: Path, bottleneck: Bottleneck) -> None:
    """Writes it as safetensors, whole or not at all; equal bottlenecks give equal bytes."""
    metadata = {
        **bottleneck.card,
        "kind": _KIND,
        "base": bottleneck.base,
        "base_sha256": bottleneck.base_sha256,
        "cut": bottleneck.cut,
        "shape": json.dumps(asdict(bottleneck.shape), sort_keys=True),
        "tensors_sha256": state_sha256(bottleneck.tensors),
    }
    save_weights(path, bottleneck.tensors, metadata)


def read_bottleneck(path: Path) -> Bottleneck:
    """Reads what `save_bottleneck` wrote.

    Raises:
        UsageError: no such file, not a bottleneck, or damaged.
    """
    weights = read_weights(path)
    own = dict(weights.metadata)
    if own.pop("kind", "") != _KIND:
        raise UsageError(f"{path} holds no bottleneck; `suture train bottleneck` makes one")
    try:
        base, base_sha256, cut = own.pop("base"), own.pop("base_sha256"), own.pop("cut")
        shape = _shape(json.loads(own.pop("shape")))
        expected = own.pop("tensors_sha256")
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(f"bottleneck {path}: its description is damaged ({error}); copy or train it again") from error
    if state_sha256(weights.tensors) != expected:
        raise UsageError(f"bottleneck {path}: its weights were changed or damaged; copy or train it again")
    return Bottleneck(base=base, base_sha256=base_sha256, cut=cut, shape=shape, tensors=dict(weights.tensors), card=own)


def packaged(path: Path) -> Path:
    """`path`, or where that is no file but the name of a bottleneck that the package carries, its file."""
    carried = _FOLDER / f"{path.name}.safetensors"
    return carried if path.parent == Path() and not path.exists() and carried.is_file() else path


def load_tensors(encoder: nn.Module, decoder: nn.Module, path: Path, bottleneck: Bottleneck) -> None:
    """Puts the weights of `bottleneck`, read from `path`, into its encoder and decoder.

    Raises:
        UsageError: they do not fit; the file's description and its weights disagree.
    """
    both = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    load_weights(both, Weights(path=path, tensors=bottleneck.tensors))


def _shape(raw: Any) -> Shape:
    shape = Shape(**raw)
    for name, (least, most) in _BOUNDS.items():
        value = getattr(shape, name)
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{name} is {value!r}, not a whole number from {least} to {most}")
    return shape
