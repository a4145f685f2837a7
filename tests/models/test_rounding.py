"""Output shifts are what rounding weights does to a layer's output means, and are found again after folding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from suture_models.export import export_network
from suture_models.manifest import TensorSpec
from suture_models.program import Program
from suture_models.quantisers.rounding import Grid, matching, output_shifts

SPEC = TensorSpec(name="x", shape=(1, 2, 8, 8), dtype="float32")


class Net(nn.Module):
    """A convolution, one on each channel alone, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1, stride=2)
        self.each = nn.Conv2d(6, 6, 3, groups=6)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.each(torch.relu(self.first(x))).mean((2, 3)))
        return out


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def program(net: Net) -> Program:
    return export_network(net, SPEC).program


@pytest.fixture(scope="module")
def inputs() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(0, 3, SPEC.shape).astype(np.float32) for _ in range(5)]


def rounded(weight: Tensor, grid: Grid) -> Tensor:
    rows = weight.flatten(1).double()
    if grid == "int8":
        return torch.fake_quantize_per_channel_affine(
            weight, (rows.abs().amax(1) / 127).float(), torch.zeros(len(rows), dtype=torch.int32), 0, -127, 127
        )
    low, high = rows.amin(1).clamp_max(0), rows.amax(1).clamp_min(0)
    scale = (high - low) / 255
    return torch.fake_quantize_per_channel_affine(
        weight, scale.float(), torch.round(-low / scale).to(torch.int32), 0, 0, 255
    )


@pytest.mark.parametrize("grid", ["int8", "uint8"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_shift_is_the_mean_change_of_a_layers_output(net: Net, program: Program, inputs, grid: Grid, place: int):
    layers = (net.first, net.each, net.last)
    seen: list[Tensor] = []
    hook = layers[place].register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.inference_mode():
        for array in inputs:
            net(torch.from_numpy(array))
        hook.remove()
        layer = layers[place]
        before = torch.cat([layer(x) for x in seen])
        kept = layer.weight.data
        layer.weight.data = rounded(kept, grid)
        change = torch.cat([layer(x) for x in seen]) - before
        layer.weight.data = kept
    shifts = output_shifts(program, inputs, grid)
    expected = change.mean(dim=[d for d in range(change.dim()) if d != 1]).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(shifts[place].means, expected, atol=2e-5)


def test_weights_are_known_again_when_a_batch_norm_is_folded_into_them(program: Program, inputs):
    shifts = output_shifts(program, inputs, "int8")
    factors = np.linspace(-2, 3, 6, dtype=np.float32)[:, np.newaxis]
    found = matching(shifts, shifts[1].rows * factors)
    assert found is not None
    np.testing.assert_allclose(found, shifts[1].means * factors[:, 0], rtol=1e-4, atol=1e-7)


def test_other_weights_have_no_shift(program: Program, inputs):
    shifts = output_shifts(program, inputs, "int8")
    assert matching(shifts, shifts[0].rows[::-1].copy()) is None
    assert matching(shifts, np.ones((3, 5), np.float32)) is None
