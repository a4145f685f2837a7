"""Networks by name, or by a user's own `package.module:function`; both load the same way.

Adding a network is one file with a `build` function and one row here.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.bare import describe_bare_module
from suture_models.zoo.base import Normalised, Weights
from suture_models.zoo.settle import settle_batch_norm
from suture_models.zoo.weights import load_weights, read_weights
from suture_protocol.errors import CapabilityMissing, UsageError

_ZOO = "suture_models.zoo"

_ROWS = {
    "mobilenet_v2": f"{_ZOO}.mobilenet_v2:build",
    "efficientnet_b0": f"{_ZOO}.efficientnet_b0:build",
    "efficientnet_lite0": f"{_ZOO}.efficientnet_lite0:build",
    "resnet50": f"{_ZOO}.resnet50:build",
    "densenet121": f"{_ZOO}.densenet121:build",
    "unet": f"{_ZOO}.unet:build",
    "vit_s16": f"{_ZOO}.vit_s16:build",
    "resnet18_3d": f"{_ZOO}.resnet18_3d:build",
    "lstm12": f"{_ZOO}.lstm12:build",
    "transformer12": f"{_ZOO}.transformer12:build",
    "pneumonia_mobilenet_v2": f"{_ZOO}.pneumonia_mobilenet_v2:build",
}

#: Networks whose trained weights are part of the package.
_PACKAGED_WEIGHTS = {
    "pneumonia_mobilenet_v2": Path(__file__).parents[1] / "weights" / "pneumonia_mobilenet_v2.safetensors",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedNetwork:
    """A network ready to export: `module` in eval mode on the CPU, taking a tensor of `spec.input` with any batch.

    `made_from` goes into a bundle's `built_with`: what else it was made from.
    """

    module: nn.Module
    spec: NetworkSpec
    made_from: Mapping[str, str] = field(default_factory=dict)


def network_names() -> tuple[str, ...]:
    """Names of the zoo, in the order of its table."""
    return tuple(_ROWS)


def load_network(name_or_function: str, *, weights: Path | None = None, seed: int = 0) -> LoadedNetwork:
    """Loads a network of the zoo by name, or calls a user's `package.module:function`.

    The function returns an `nn.Module`, or `(nn.Module, NetworkSpec)`; a bare module is described by
    `describe_bare_module`. It may take one argument, the `Weights` read from `weights` (None without), to build what
    fits them; they are loaded into the module it returns (a `Normalised` module's backbone) in any case.

    Without weights the initialisation is random but repeatable: `seed` seeds torch's generator while the function
    runs, and batch norms of the zoo's networks are settled (see `settle_batch_norm`). `spec.weights` then says
    `random`, unless the function's own spec says `trained`. A file that `save_weights` wrote may hold `threshold` and
    `attribution`, which then replace the spec's.

    Raises:
        UsageError: no such network or function, it does not return a network, or the weights do not fit.
        CapabilityMissing: a library that the network's file needs is not installed.
    """
    target = _ROWS.get(name_or_function, name_or_function)
    if weights is None:
        weights = _PACKAGED_WEIGHTS.get(name_or_function)
    loaded = read_weights(weights) if weights is not None else None
    function = _resolve(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, spec = _call(function, target, loaded)
    module.eval()
    if loaded is not None:
        load_weights(module.backbone if isinstance(module, Normalised) else module, loaded)
        spec = _trained(spec, loaded)
    elif name_or_function in _ROWS:
        settle_batch_norm(module, spec, seed=seed)
    return LoadedNetwork(module=module.requires_grad_(False), spec=_with_input_name(spec, module))


def _resolve(target: str) -> Callable[..., Any]:
    module_name, colon, function_name = target.partition(":")
    if not colon or not module_name or not function_name:
        known = ", ".join(_ROWS)
        raise UsageError(f"no network {target!r}; there are {known}, or give your own as package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == module_name or module_name.startswith(f"{missing}."):
            hint = "is its directory on PYTHONPATH?"
            raise UsageError(f"network {target!r}: there is no module {missing!r}; {hint}") from error
        hint = "pip install 'suture[build]' brings all that the zoo needs"
        raise CapabilityMissing(f"network {target!r} needs {missing!r}, which is not installed; {hint}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"network {target!r}: module {module_name!r} has no function {function_name!r}")
    return function  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], target: str, weights: Weights | None) -> tuple[nn.Module, NetworkSpec]:
    result = function(weights) if _takes_weights(function) else function()
    match result:
        case nn.Module() as module, NetworkSpec() as spec:
            return module, spec
        case nn.Module():
            return describe_bare_module(result, name=target.rpartition(":")[2])
    found = type(result).__name__
    raise UsageError(f"network {target!r} returned {found}; it has to return nn.Module or (nn.Module, NetworkSpec)")


def _takes_weights(function: Callable[..., Any]) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return any(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def _with_input_name(spec: NetworkSpec, module: nn.Module) -> NetworkSpec:
    """`spec` with its input named as `forward` names it, since that is what the exported graph will call it."""
    name = next(iter(inspect.signature(module.forward).parameters), spec.input.name)
    return dataclasses.replace(spec, input=dataclasses.replace(spec.input, name=name))


def _trained(spec: NetworkSpec, weights: Weights) -> NetworkSpec:
    try:
        threshold = float(weights.metadata.get("threshold", spec.threshold))
    except ValueError as error:
        raise UsageError(f"weights {weights.path}: threshold in the metadata is not a number") from error
    attribution = weights.metadata.get("attribution", spec.attribution)
    return dataclasses.replace(spec, weights="trained", threshold=threshold, attribution=attribution)
