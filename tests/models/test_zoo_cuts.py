"""Head and tail in torch make the whole network at the cuts of the zoo's networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from suture_models.bundle import Bundle
from suture_models.cuts import enumerate_cuts
from suture_models.export import export_network
from suture_models.manifest import Cut, TensorSpec
from suture_models.program import Program, load_program, subgraph
from suture_models.zoo.registry import load_network, network_names

EVERY_CUT = ("mobilenet_v2", "densenet121", "unet")
#: Exported by a fixture already (pneumonia), or exported so slowly (LSTM, half a minute) that it waits for `slow`.
ELSEWHERE = ("pneumonia_mobilenet_v2", "lstm12")
SAMPLED = tuple(name for name in network_names() if name not in (*EVERY_CUT, *ELSEWHERE))
SAMPLE = 5
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def program_and_cuts(name: str) -> tuple[Program, tuple[Cut, ...], TensorSpec]:
    network = load_network(name)
    spec = network.spec.input
    exported = export_network(network.module, spec)
    return exported.program, enumerate_cuts(exported.graph, spec, exported.outputs, exported.crossable), spec


def sampled(cuts: Sequence[Cut]) -> list[Cut]:
    """A few spread over the depth, and of those with several tensors the one with most."""
    step = max(len(cuts) // SAMPLE, 1)
    return list({cut.id: cut for cut in (*cuts[1::step], max(cuts, key=lambda c: len(c.boundary)))}.values())


def example(spec: TensorSpec) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    if spec.dtype == "float32":
        return torch.randn(spec.shape, generator=generator)
    return torch.randint(0, 256, spec.shape, generator=generator, dtype=torch.uint8)


def relative_error(found: Sequence[Any], expected: Sequence[Any]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


def check(program: Program, cuts: Sequence[Cut], spec: TensorSpec) -> None:
    image = example(spec)
    with torch.inference_mode():
        whole = subgraph(program, (program.input,), program.outputs)(image)
        wrong = {}
        for cut in cuts:
            names = tuple(t.name for t in cut.boundary)
            boundary = subgraph(program, (program.input,), names)(image)
            assert [tuple(t.shape) for t in boundary] == [t.shape for t in cut.boundary], cut.id
            error = relative_error(subgraph(program, names, program.outputs)(*boundary), whole)
            if not error <= TOLERANCE:
                wrong[cut.id] = error
    assert not wrong


@pytest.mark.parametrize("name", EVERY_CUT)
def test_head_and_tail_are_the_whole_at_every_listed_cut(name):
    check(*program_and_cuts(name))


@pytest.mark.parametrize("name", SAMPLED)
def test_head_and_tail_are_the_whole_at_a_sample_of_cuts(name):
    program, cuts, spec = program_and_cuts(name)
    check(program, sampled(cuts), spec)


def test_head_and_tail_of_the_trained_network_are_the_whole_at_a_sample_of_cuts(pneumonia_bundle: Bundle):
    manifest = pneumonia_bundle.manifest
    program = load_program(pneumonia_bundle.file(manifest.program), pneumonia_bundle.file(manifest.weights))
    check(program, sampled(manifest.cuts), manifest.network.input)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in network_names() if name not in EVERY_CUT])
def test_head_and_tail_are_the_whole_at_every_cut_of_the_other_networks(name):
    check(*program_and_cuts(name))


@pytest.mark.parametrize("name", ["densenet121", "unet", "vit_s16"])
def test_networks_with_skips_can_be_cut_where_several_tensors_cross(name):
    _, cuts, _ = program_and_cuts(name)
    assert [cut for cut in cuts if len(cut.boundary) > 1]
