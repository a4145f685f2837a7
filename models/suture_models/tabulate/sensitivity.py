"""How much a network's outputs move with each channel of its tensors, by its gradients. For building only.

Axes: C channels, P points, N inputs.

The outputs' derivative times a random vector has, on average over such vectors, the squared norm of the derivative
(Hutchinson's estimator), so a few backward passes over the whole network tell it for all tensors and channels at once.
A tensor that another of the same cut is computed from counts that way too: for a cut of several tensors the numbers are
somewhat too large, which errs on the side of finer steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from suture_models.program import Program, subgraph
from suture_protocol.codecs.maps import points_of

#: Random vectors for each input.
_VECTORS: Final = 4
#: Inputs are spread evenly over those there are; more change the allotment little.
_INPUTS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """What quantising a tensor does to the first output.

    Attributes:
        channels: By tensor (C,): mean squared movement of the output, summed over its elements, for a mean squared
            error of 1 in the values of a channel.
        spread: Mean squared distance of the output from its mean over the inputs, summed over its elements.
    """

    channels: dict[str, NDArray[np.float64]]
    spread: float


def output_sensitivity(program: Program, names: Sequence[str], inputs: Sequence[NDArray[Any]]) -> Sensitivity:
    """The sensitivity of the first output of `program` to its tensors `names`.

    A shift of all logits alike changes no answer and is left out where the output is a vector.

    Args:
        program: The float program.
        names: Tensors that the output depends on; one that it does not gets zeros.
        inputs: Inputs of the program's input shape and dtype.
    """
    watching = _Watching(subgraph(program, (program.input,), program.outputs[:1]).eval(), frozenset(names))
    generator = torch.Generator().manual_seed(0)
    sums: dict[str, NDArray[np.float64]] = {}
    outputs = []
    places = np.unique(np.linspace(0, len(inputs) - 1, min(_INPUTS, len(inputs))).astype(int))
    for place in places:
        (output,) = watching.run(torch.from_numpy(inputs[place]))
        centred = output - output.mean(dim=-1, keepdim=True) if output.dim() == 2 else output
        outputs.append(centred.detach().numpy().astype(np.float64))
        held = [watching.held[name] for name in names]
        for turn in range(_VECTORS):
            vector = torch.randn(centred.shape, generator=generator)
            keep = turn + 1 < _VECTORS
            found = torch.autograd.grad(
                (centred * vector).sum(), held, retain_graph=keep, allow_unused=True, materialize_grads=True
            )
            for name, gradient in zip(names, found, strict=True):
                squared = (points_of(gradient.numpy()).astype(np.float64) ** 2).sum(axis=0)
                sums[name] = sums.get(name, 0.0) + squared / (_VECTORS * len(places))
    every = np.stack(outputs)
    return Sensitivity(sums, float(((every - every.mean(axis=0)) ** 2).sum() / len(every)))


class _Watching(fx.Interpreter):
    """Runs a module and keeps the tensors `hold`, from which on gradients are followed."""

    def __init__(self, module: fx.GraphModule, hold: frozenset[str]) -> None:
        super().__init__(module)
        self._hold = hold
        self.held: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        name = n.meta.get("node")
        if name in self._hold and isinstance(result, torch.Tensor):
            if not result.requires_grad:
                result.requires_grad_()
            self.held[name] = result
        return result
