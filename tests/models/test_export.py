"""Exports: names that both exports share, a free batch, and clear refusals of what cannot be cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suture_models.export import export_network
from suture_models.manifest import TensorSpec
from suture_models.program import subgraph
from suture_models.zoo.registry import load_network
from suture_protocol.errors import BundleError

SPEC = TensorSpec(name="x", shape=(1, 4, 8), dtype="float32")


class Calls(nn.Module):
    """A module whose forward is the given function of itself and one tensor."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.linear = nn.Linear(8, 3)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def add_one_(module: Any, x: Tensor) -> Tensor:
    module.count += 1
    return x + module.count


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class OneNeeded(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x * 2 if y is None else x + y


def test_names_of_the_graph_are_those_of_the_batch_1_export():
    network = load_network("tests.nets:make")
    exported = export_network(network.module, network.spec.input)
    static = {n.name for n in exported.static.graph.nodes}
    assert {node.name for node in exported.graph} <= static
    assert {node.name for node in exported.graph} <= {node.name for node in exported.program.nodes}
    assert len({node.name for node in exported.program.nodes}) == len(exported.program.nodes)


def test_the_graph_holds_shapes_at_batch_1_and_the_arithmetic_of_each_node():
    network = load_network("tests.nets:make")
    graph = {node.op: node for node in export_network(network.module, network.spec.input).graph}
    assert graph["aten.conv_transpose2d.input"].shape == (1, 8, 16, 16)
    assert graph["aten.conv_transpose2d.input"].macs == 32 * 8 * 8 * (8 * 2 * 2)
    assert graph["aten.linear.default"].macs == 8 * 3
    assert graph["aten.relu.default"].macs == 0


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_any_batch_may_be_run(batch):
    network = load_network("tests.nets:make")
    program = export_network(network.module, network.spec.input).program
    images = torch.randint(0, 256, (batch, *network.spec.input.shape[1:]), dtype=torch.uint8)
    (found,) = subgraph(program, (program.input,), program.outputs)(images)
    with torch.no_grad():
        torch.testing.assert_close(found, network.module(images))


def test_weights_are_copies_that_the_module_does_not_share():
    network = load_network("tests.nets:make")
    program = export_network(network.module, network.spec.input).program
    before = {key: value.clone() for key, value in program.weights.items()}
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.zero_()
    assert all(torch.equal(program.weights[key], value) for key, value in before.items())


def test_tensors_whose_leading_axis_is_not_the_batch_may_not_cross():
    module = Calls(lambda m, x: m.linear(torch.relu(x).transpose(0, 1)).transpose(0, 1))
    exported = export_network(module.eval(), SPEC)
    shapes = {node.name: node.shape for node in exported.graph}
    assert shapes["linear"] == (4, 1, 3)
    assert "linear" not in exported.crossable
    assert {"x", "relu"} <= exported.crossable


def test_an_input_with_a_default_may_be_left_out():
    assert export_network(OneNeeded().eval(), SPEC).outputs[0].shape == (1, 4, 8)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (TwoInputs(), "takes x, y; Suture cuts networks of one input"),
        (Calls(lambda m, x: x.nonzero().sum() + x), "shape of nonzero depends on the data"),
        (Calls(lambda m, x: x[x > 0].sum() + x), "depends on the data"),
        (Calls(lambda m, x: x * 2 if x.sum() > 0 else x), "cannot trace the network"),
        (Calls(add_one_), "changes count as it runs"),
        (Calls(lambda m, x: x.add_(1) * 2), "changes x as it runs"),
        (Calls(lambda m, x: (x * 2, 3)), "result 2 of the network, 3,"),
        (Calls(lambda m, x: x.sum()), "result 1 of the network"),
        (Calls(lambda m, x: (x * 2, m.linear.weight)), "result 2 of the network"),
        (Calls(lambda m, x: x.reshape(2, -1)), "cannot trace the network"),
        (Calls(lambda m, x: m.linear(x) if x.shape[0] == 1 else m.linear(x) * 2), "differently at batch 1"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(module, reason):
    with pytest.raises(BundleError, match=reason):
        export_network(module.eval(), SPEC)
