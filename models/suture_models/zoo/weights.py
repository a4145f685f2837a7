"""Reading weight files (PyTorch state dicts, safetensors) and putting them into a network, with clear refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from suture_models.zoo.base import Weights
from suture_protocol.errors import UsageError

#: The safetensors metadata entry that holds ours, a JSON object of strings.
METADATA_KEY = "suture"

_SHOWN = 3
#: Under these names training scripts commonly keep the state dict among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_weights(path: Path) -> Weights:
    """Reads a state dict from `.safetensors`, `.pt` or `.pth`; nothing in the file is executed.

    A state dict wrapped as `{"state_dict": …}`, and the prefix `module.` of data-parallel training, are unwrapped.

    Raises:
        UsageError: no such file, another kind of file, or no state dict in it.
    """
    if not path.is_file():
        raise UsageError(f"weights {path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in (".pt", ".pth"):
        raise UsageError(f"weights {path}: expected .safetensors, .pt or .pth; save the state dict as one of these")
    try:
        raw: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated kinds on a foreign file
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = f"weights {path}: not a PyTorch state dict ({first_line}); save `module.state_dict()`, not the module"
        raise UsageError(message) from error
    return Weights(path=path, tensors=_state_dict(path, raw))


def load_weights(module: nn.Module, weights: Weights) -> None:
    """Copies `weights` into `module` (cast to its dtypes); every key has to match, batch counters excepted.

    Raises:
        UsageError: keys are missing, unexpected or of another shape; the first few are named.
    """
    own = module.state_dict()
    given = weights.tensors
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    reshaped = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in given and given[key].shape != tensor.shape
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if keys
    ]
    if problems:
        hint = "weights of another architecture or for other labels need their own `package.module:function`"
        raise UsageError(f"weights {weights.path} do not fit this network ({'; '.join(problems)}); {hint}")
    module.load_state_dict(dict(given), strict=False)


def _read_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = _own_metadata(path, stream.metadata() or {})
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise UsageError(f"weights {path}: not a safetensors file ({error})") from error
    return Weights(path=path, tensors=tensors, metadata=metadata)


def save_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file, whole or not at all; the same tensors and metadata always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {key: tensor.contiguous() for key, tensor in tensors.items()}
    # All under one key, because safetensors writes several in an order that changes from run to run.
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(save(contents, metadata={METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}))
    part.replace(path)


def _own_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    try:
        own = json.loads(metadata.get(METADATA_KEY, "{}"))
    except ValueError as error:
        raise UsageError(f"weights {path}: the metadata under {METADATA_KEY!r} is not JSON ({error})") from error
    return {str(key): str(value) for key, value in own.items()} if isinstance(own, dict) else {}


def _state_dict(path: Path, raw: Any) -> Mapping[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(raw, dict) and isinstance(raw.get(wrapper), dict):
            raw = raw[wrapper]
    if not isinstance(raw, dict) or not raw or not all(isinstance(value, Tensor) for value in raw.values()):
        raise UsageError(f"weights {path}: holds no state dict (a mapping of names to tensors)")
    if all(key.startswith("module.") for key in raw):
        return {key.removeprefix("module."): value for key, value in raw.items()}
    return dict(raw)
