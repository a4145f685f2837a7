"""A network with a learned bottleneck at one cut: float prefix, encoder, decoder, float suffix.

The encoder ends in whole numbers from 0 to `levels - 1`, so what crosses the cut behind it are few levels of the uint8
codes that every cut has: a bundle of such a network is like any other. Axes: N batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suture_models.bundle import sha256_file
from suture_models.export import export_network
from suture_models.program import Program, subgraph
from suture_models.zoo.bottleneck_file import Shape, load_tensors, packaged, read_bottleneck, state_sha256
from suture_models.zoo.registry import LoadedNetwork
from suture_protocol.errors import UsageError

_MAP_AXES = 4
#: Codes of so many levels have the spread that a convolution's usual initial weights expect.
_LEVELS_READ = 4


class Encoder(nn.Module):
    """Maps (N, inputs, H, W) to codes (N, channels, H / 2^halvings, W / 2^halvings), whole numbers held as float32."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        width = shape.inputs
        for _ in range(shape.halvings):
            stem += [nn.Conv2d(width, shape.hidden, 3, 2, 1), nn.ReLU6()]
            width = shape.hidden
        if not stem:
            stem = [nn.Conv2d(width, shape.hidden, 1), nn.ReLU6()]
        self.stem = nn.Sequential(*stem)
        self.squeeze = nn.Conv2d(shape.hidden, shape.channels, 3, 1, 1)
        self._top = float(shape.levels - 1)

    @torch.no_grad()
    def start_at(self, mean_C: Tensor, spread_C: Tensor) -> None:
        """Sets fresh weights to see maps of this mean and variance as standardised, and to give codes of all levels."""
        first = self.stem.get_submodule("0")
        weight, bias = first.get_parameter("weight"), first.get_parameter("bias")
        weight.div_(spread_C.sqrt().view(1, -1, 1, 1))
        bias.sub_((weight * mean_C.view(1, -1, 1, 1)).sum((1, 2, 3)))
        self.squeeze.get_parameter("bias").fill_(self._top / 2)

    def latent(self, x: Tensor) -> Tensor:
        """The codes before rounding: what training differentiates."""
        return F.hardtanh(self.squeeze(self.stem(x)), 0.0, self._top)

    def forward(self, x: Tensor) -> Tensor:
        """Codes of x."""
        return self.latent(x).round()


class Decoder(nn.Module):
    """Maps codes back to (N, inputs, H, W). It runs in the cloud, so it may be larger than the encoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(shape.channels, shape.width, 3, 1, 1), nn.ReLU6())
        self.blocks = nn.ModuleList(_residual(shape.width) for _ in range(shape.blocks))
        grow: list[nn.Module] = []
        for _ in range(shape.halvings):
            grow += [nn.ConvTranspose2d(shape.width, shape.width, 2, 2), nn.ReLU6()]
        self.grow = nn.Sequential(*grow)
        self.restore = nn.Conv2d(shape.width, shape.inputs, 3, 1, 1)
        self._levels = shape.levels

    @torch.no_grad()
    def start_at(self, mean_C: Tensor, spread_C: Tensor) -> None:
        """Sets fresh weights to read codes of all levels and to give maps of about this mean and variance."""
        self.widen.get_submodule("0").get_parameter("weight").mul_(_LEVELS_READ / self._levels)
        self.restore.weight.mul_(spread_C.sqrt().view(-1, 1, 1, 1))
        self.restore.get_parameter("bias").copy_(mean_C)

    def forward(self, codes: Tensor) -> Tensor:
        """The tensor at the cut, as nearly as the codes tell it."""
        x: Tensor = self.widen(codes)
        for block in self.blocks:
            x = x + block(x)
        restored: Tensor = self.restore(self.grow(x))
        return restored


class Bottlenecked(nn.Module):
    """`program` with encoder and decoder between the nodes up to `tensor` and the rest."""

    def __init__(self, program: Program, tensor: str, shape: Shape) -> None:
        super().__init__()
        self.prefix = subgraph(program, (program.input,), (tensor,))
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.suffix = subgraph(program, (tensor,), program.outputs)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the network gives for `image`."""
        (x,) = self.prefix(image)
        results: tuple[Tensor, ...] = self.suffix(self.decoder(self.encoder(x)))
        return results[0] if len(results) == 1 else results


def _residual(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU6(), nn.Conv2d(width, width, 1))


def with_bottleneck(network: LoadedNetwork, path: Path) -> LoadedNetwork:
    """`network` with the bottleneck of `path` inserted at its cut, ready to export like any other.

    Raises:
        UsageError: the file is none, is damaged, or was trained for another network, other weights or another cut.
        BundleError: the network cannot be exported.
    """
    path = packaged(path)
    bottleneck = read_bottleneck(path)
    name = network.spec.name
    own_sha256 = state_sha256(network.module.state_dict())
    if own_sha256 != bottleneck.base_sha256:
        raise UsageError(
            f"bottleneck {path} was trained for {bottleneck.base} with weights {bottleneck.base_sha256[:12]}; "
            f"these of {name} are {own_sha256[:12]}. Name the network and --weights that it was trained for"
        )
    exported = export_network(network.module, network.spec.input)
    node = next((n for n in exported.graph if n.name == bottleneck.cut), None)
    if node is None or len(node.shape) != _MAP_AXES or node.shape[1] != bottleneck.shape.inputs:
        found = "is not there" if node is None else f"is {node.shape}"
        wanted = f"{bottleneck.shape.inputs} channels at {bottleneck.cut}"
        raise UsageError(f"bottleneck {path} takes {wanted}, which {found} in {name}; train one anew for this version")
    module = Bottlenecked(exported.program, bottleneck.cut, bottleneck.shape)
    load_tensors(module.encoder, module.decoder, path, bottleneck)
    spec = replace(network.spec, name=f"{name}_bottleneck", input=replace(network.spec.input, name="image"))
    made_from = {**network.made_from, "bottleneck_sha256": sha256_file(path), "bottleneck_cut": bottleneck.cut}
    return LoadedNetwork(module=module.eval().requires_grad_(False), spec=spec, made_from=made_from)
