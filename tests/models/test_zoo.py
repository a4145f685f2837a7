"""The contract that every network of the zoo keeps, and loading by name or by a user's own function."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import Normalised, imagenet_labels
from suture_models.zoo.registry import LoadedNetwork, load_network, network_names
from suture_models.zoo.settle import settle_batch_norm
from suture_protocol.errors import CapabilityMissing, UsageError

TRAINED = {"pneumonia_mobilenet_v2"}
#: Export takes long: loops over time, or many small layers; `suture verify` has them exported all the same.
LONG = {"lstm12", "densenet121"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def _loaded(name: str) -> LoadedNetwork:
    return load_network(name)


def _example(spec: NetworkSpec, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, *spec.input.shape[1:])
    if spec.input.dtype == "float32":
        return torch.randn(shape, generator=generator)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _run(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        out = module(x)
    assert isinstance(out, Tensor)
    return out


def test_the_zoo_holds_the_networks_of_the_contract():
    assert network_names() == (
        "mobilenet_v2",
        "efficientnet_b0",
        "efficientnet_lite0",
        "resnet50",
        "densenet121",
        "unet",
        "vit_s16",
        "resnet18_3d",
        "lstm12",
        "transformer12",
        "pneumonia_mobilenet_v2",
    )


@pytest.mark.parametrize("name", network_names())
def test_spec_says_what_the_module_takes_and_gives(name: str):
    loaded = _loaded(name)
    spec = loaded.spec
    assert spec.name == name
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert spec.input.shape[0] == 1
    if spec.kind == "signal":
        assert (*spec.preprocess.size, spec.preprocess.channels) == spec.input.shape[1:]
    else:
        assert (spec.preprocess.channels, *spec.preprocess.size) == spec.input.shape[1:]
        assert spec.input.dtype == "uint8"
    assert spec.weights == ("trained" if name in TRAINED else "random")
    assert len(set(spec.labels)) == len(spec.labels) > 0
    out = _run(loaded.module, _example(spec, 1))
    assert out.dtype == torch.float32
    if spec.output == "classes":
        assert out.shape == (1, len(spec.labels))
    else:
        assert out.shape == (1, len(spec.labels), *spec.preprocess.size)
        assert 0 <= out.min() <= out.max() <= 1


# Torch warns about its own insides: a class that export copies, and the weight list of nn.LSTM.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning", "ignore:.*_flat_weights.*:UserWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in network_names()]
)
def test_export_with_a_dynamic_batch_equals_eager(name: str):
    loaded = _loaded(name)
    x = _example(loaded.spec, 2)
    batch = {0: torch.export.Dim("N", min=1, max=64)}
    exported = torch.export.export(loaded.module, (x,), dynamic_shapes=(batch,), strict=False).run_decompositions({})
    inputs = [s.arg.name for s in exported.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    assert inputs == [loaded.spec.input.name]
    graph = exported.module()
    for part in (x[:1], x):
        torch.testing.assert_close(_run(graph, part), _run(loaded.module, part), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "lstm12"])
def test_same_seed_gives_the_same_random_weights_and_another_seed_others(name: str):
    first, again, other = (load_network(name, seed=seed).module.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_loading_leaves_the_callers_random_generator_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_network("lstm12", seed=5)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "densenet121", "unet", "resnet18_3d"])
def test_activations_of_random_weights_neither_vanish_nor_explode(name: str):
    loaded = _loaded(name)
    spreads: dict[str, float] = {}

    def keep(label: str):
        return lambda _module, _inputs, output: spreads.__setitem__(label, float(output.std()))

    norms = [(n, m) for n, m in loaded.module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    hooks = [module.register_forward_hook(keep(label)) for label, module in norms]
    _run(loaded.module, _smooth_image(loaded.spec))
    for hook in hooks:
        hook.remove()
    assert len(spreads) > 10
    assert all(0.05 < spread < 20 for spread in spreads.values()), spreads


def _smooth_image(spec: NetworkSpec) -> Tensor:
    """A ball brighter than its surroundings, with a grid over it: neither noise nor what settling used."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in spec.preprocess.size), indexing="ij")
    radius = torch.stack(axes).pow(2).sum(0).sqrt()
    grid = sum(torch.sin(9 * axis) for axis in axes)
    pixels = (160 - 90 * radius.clamp(0, 1) + 25 * grid).clamp(0, 255).to(torch.uint8)
    return pixels.expand(1, spec.preprocess.channels, *pixels.shape).contiguous()


def test_settling_changes_statistics_only_and_leaves_eval_mode():
    module = Normalised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)), mean=127.5, std=127.5)
    module.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    settle_batch_norm(module, _loaded("mobilenet_v2").spec, seed=0)
    after = module.state_dict()
    changed = {key.rpartition(".")[2] for key in after if not torch.equal(after[key], before[key])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}
    assert not any(m.training for m in module.modules() if m is not module)


def test_normalised_scales_each_channel_and_repeats_grey():
    colour = Normalised(nn.Identity(), mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 5.0))
    out = colour(torch.full((2, 3, 1, 1), 40, dtype=torch.uint8))
    np.testing.assert_allclose(out[1].flatten().numpy(), [30.0, 10.0, 2.0], rtol=1e-6)
    grey = Normalised(nn.Identity(), mean=127.5, std=127.5, expand=3)
    assert grey(torch.zeros((1, 1, 4, 4), dtype=torch.uint16)).shape == (1, 3, 4, 4)


def test_imagenet_labels_are_distinct():
    labels = imagenet_labels(background=True)
    assert len(set(labels)) == 1001
    assert labels[0] == "background"
    assert imagenet_labels(background=False) == labels[1:]


OWN_NETWORKS = """
from torch import nn
import dataclasses
from suture_models.zoo.base import image_spec

def bare():
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

def described():
    spec = image_spec("mine", shape=(1, 32, 32), labels=("a", "b", "c"))
    return nn.Sequential(Floats(), nn.Flatten(), nn.Linear(1024, 3)), dataclasses.replace(spec, weights="trained")

class Floats(nn.Module):
    def forward(self, pixels):
        return pixels.float()

def fitting(weights):
    classes = 7 if weights is None else len(weights.tensors["3.bias"])
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

def number():
    return 3

def mask():
    return nn.Conv2d(3, 1, 1)

def broken():
    return nn.Linear(5, 5)

value = 1
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_networks.py").write_text(OWN_NETWORKS)
    (tmp_path / "needs_more.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_networks"
    for name in ("own_networks", "needs_more"):
        sys.modules.pop(name, None)


def test_a_bare_module_is_described_by_running_it(own_module: str):
    loaded = load_network(f"{own_module}:bare")
    assert loaded.spec.name == "bare"
    assert loaded.spec.input.shape == (1, 1, 224, 224)
    assert loaded.spec.labels == ("class 0", "class 1", "class 2")
    assert loaded.spec.weights == "random"
    assert _run(loaded.module, _example(loaded.spec, 2)).shape == (2, 3)


def test_a_module_with_its_spec_is_taken_at_its_word_but_for_the_inputs_name(own_module: str):
    loaded = load_network(f"{own_module}:described")
    assert loaded.spec.weights == "trained"
    assert loaded.spec.input.name == "input"
    assert loaded.spec.labels == ("a", "b", "c")


def test_own_weights_go_into_an_own_module_that_is_built_to_fit_them(own_module: str, tmp_path: Path):
    source = load_network(f"{own_module}:fitting").module
    assert isinstance(source, Normalised)
    state = {key: value[:5] if key.startswith("3.") else value for key, value in source.backbone.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    loaded = load_network(f"{own_module}:fitting", weights=tmp_path / "w.pt")
    assert loaded.spec.weights == "trained"
    assert len(loaded.spec.labels) == 5
    assert isinstance(loaded.module, Normalised)
    assert torch.equal(loaded.module.backbone.state_dict()["3.weight"], state["3.weight"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("resnet51", "there are mobilenet_v2, .*package.module:function"),
        ("no_such_module:f", "no module 'no_such_module'"),
        ("own_networks:absent", "has no function 'absent'"),
        ("own_networks:value", "has no function 'value'"),
        ("own_networks:number", "returned int"),
        ("own_networks:mask", "instead of logits .*NetworkSpec"),
        ("own_networks:broken", "failed .*NetworkSpec"),
    ],
)
def test_what_is_no_network_is_refused_with_the_remedy(own_module: str, target: str, message: str):
    with pytest.raises(UsageError, match=message):
        load_network(target)


def test_a_library_that_the_module_needs_is_named(own_module: str):
    with pytest.raises(CapabilityMissing, match="a_library_that_nobody_has"):
        load_network("needs_more:build")
