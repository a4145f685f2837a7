"""Programs on disk and in two parts: what is read is what was written, and head and tail make the whole."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suture_models.cuts import enumerate_cuts
from suture_models.export import Exported, export_network
from suture_models.manifest import TensorSpec
from suture_models.program import Program, ProgramNode, load_program, resolve, subgraph
from suture_protocol.errors import BundleError

SPEC = TensorSpec(name="x", shape=(1, 4, 6), dtype="float32")


class Lattice(nn.Module):
    """Skips that overlap, sizes read off the batch, tensors made on the way, and two results."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(18, 5)
        self.register_buffer("a_weight", torch.full((1, 4, 6), 0.5))  # a key that differs from `a.weight` by a dot

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.tanh(self.a(x)) + self.a_weight
        second = torch.tanh(self.b(first)) * 2
        ones = torch.ones(x.shape[0], 4, 6, device=x.device)
        joined = torch.cat([first, second, first * second + ones], dim=2)
        flat = joined.reshape(x.shape[0] * 4, 18)
        return self.c(flat).reshape(x.shape[0], 4, 5), second.mean(dim=1)


@cache
def exported() -> Exported:
    torch.manual_seed(0)
    return export_network(Lattice().eval(), SPEC)


def saved(program: Program, folder: Path) -> tuple[Path, Path]:
    paths = folder / "program.json", folder / "weights.safetensors"
    program.save(*paths)
    return paths


def test_a_program_survives_the_disk_and_equal_programs_give_equal_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    first = saved(exported().program, one)
    read = load_program(*first)
    second = saved(read, two)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    x = torch.randn(3, 4, 6)
    whole = subgraph(exported().program, ("x",), exported().program.outputs)(x)
    for a, b in zip(subgraph(read, ("x",), read.outputs)(x), whole, strict=True):
        assert torch.equal(a, b)


def test_two_exports_of_one_network_give_equal_bytes(tmp_path):
    contents = []
    for name in ("one", "two"):
        torch.manual_seed(0)
        folder = tmp_path / name
        folder.mkdir()
        paths = saved(export_network(Lattice().eval(), SPEC).program, folder)
        contents.append([p.read_bytes() for p in paths])
    assert contents[0] == contents[1]


def test_a_program_computes_what_the_module_does():
    torch.manual_seed(0)
    module, x = Lattice().eval(), torch.randn(5, 4, 6)
    found = subgraph(exported().program, ("x",), exported().program.outputs)(x)
    with torch.no_grad():
        for a, b in zip(found, module(x), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_head_and_tail_make_the_whole_at_every_cut(batch):
    network = exported()
    program = network.program
    cuts = enumerate_cuts(network.graph, SPEC, network.outputs, network.crossable)
    assert any(len(cut.boundary) > 1 for cut in cuts)
    x = torch.randn(batch, 4, 6)
    whole = subgraph(program, ("x",), program.outputs)(x)
    for cut in cuts:
        names = tuple(t.name for t in cut.boundary)
        boundary = subgraph(program, ("x",), names)(x)
        assert [tuple(t.shape) for t in boundary] == [(batch, *t.shape[1:]) for t in cut.boundary]
        for a, b in zip(subgraph(program, names, program.outputs)(*boundary), whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_tensors_that_the_graph_makes_are_made_on_the_device_asked_for():
    program = exported().program
    weights = {key: value.to("meta") for key, value in program.weights.items()}
    moved = Program(input=program.input, nodes=program.nodes, outputs=program.outputs, weights=weights)
    device = torch.device("meta")
    outputs = subgraph(moved, ("x",), moved.outputs, device)(torch.empty(2, 4, 6, device=device))
    assert [o.device.type for o in outputs] == ["meta", "meta"]


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "operator.attrgetter",
        "operator.methodcaller",
        "aten.no_such_operator.default",
        "aten.__class__.mro",
        "aten.from_file.default",
        "quantized.add.default",
        "",
    ],
)
def test_a_program_cannot_name_anything_but_operators(target):
    with pytest.raises(BundleError, match="no aten operator"):
        resolve(target)


def edited(tmp_path: Path, **node: Any) -> tuple[Path, Path]:
    """A saved one-node program with parts of its node replaced."""
    full = {"name": "relu", "target": "aten.relu.default", "args": [{"n": "x"}], "kwargs": {}} | node
    json_path, weights_path = saved(exported().program, tmp_path)
    json_path.write_text(json.dumps({"input": "x", "nodes": [full], "outputs": ["relu"]}))
    return json_path, weights_path


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"target": "os.system", "args": ["true"]}, "no aten operator"),
        ({"args": [{"n": "later"}]}, "comes later or never"),
        ({"args": [{"n": "relu"}]}, "comes later or never"),
        ({"args": [{"w": "no.such.weight"}]}, "comes later or never"),
        ({"kwargs": {"dtype": {"torch": "hub"}}}, "constant 'hub'"),
        ({"kwargs": {"dtype": {"torch": "nn.Module"}}}, "constant 'nn.Module'"),
        ({"name": "other"}, "does not compute its outputs"),
        ({"args": None}, "not a readable program"),
    ],
)
def test_a_program_with_a_foreign_part_is_refused_when_it_is_read(tmp_path, node, reason):
    assert load_program(*edited(tmp_path)).outputs == ("relu",)
    with pytest.raises(BundleError, match=reason):
        load_program(*edited(tmp_path, **node))


def test_weights_that_are_cut_short_are_refused(tmp_path):
    json_path, weights_path = saved(exported().program, tmp_path)
    weights_path.write_bytes(weights_path.read_bytes()[:-8])
    with pytest.raises(BundleError, match="not a readable program"):
        load_program(json_path, weights_path)


def test_outputs_that_need_more_than_the_inputs_are_refused():
    program = exported().program
    first = next(n.name for n in program.nodes if n.target == "aten.linear.default")
    with pytest.raises(BundleError, match="x is missing"):
        subgraph(program, (program.nodes[-1].name,), (first,))


def test_references_are_named_once_in_order():
    node = ProgramNode(name="n", target="aten.cat.default", args=([{"n": "b"}, {"n": "a"}, {"n": "b"}], 1), kwargs={})
    assert node.references() == ("b", "a")
