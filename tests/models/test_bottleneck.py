"""Learned bottlenecks: training on a small network, the file and its refusals, the network that holds one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from suture_models.export import export_network
from suture_models.train.bottleneck import BottleneckSettings
from suture_models.train.bottleneck_card import TrainedBottleneck
from suture_models.train.bottleneck_recipe import train_bottleneck
from suture_models.train.progress import Progress
from suture_models.train.rate import Rate
from suture_models.zoo.bottleneck import with_bottleneck
from suture_models.zoo.bottleneck_file import Bottleneck, packaged, read_bottleneck, save_bottleneck, state_sha256
from suture_models.zoo.registry import LoadedNetwork, load_network
from suture_models.zoo.weights import read_weights, save_weights
from suture_protocol.errors import InputRefused, UsageError
from tests.nets import image_folder, images

BASE = "tests.nets:make"
#: The first sum's activation: 8 x 16 x 16, and nothing else crosses there.
CUT = "relu_2"
TINY = BottleneckSettings(channels=3, levels=8, rate_weight=0.5, warm_epochs=2, epochs=2, seed=3)


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    return load_network(BASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images"), 60, seed=4)


@pytest.fixture(scope="module")
def trained(network: LoadedNetwork, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedBottleneck:
    out = tmp_path_factory.mktemp("trained") / "tiny.safetensors"
    return train_bottleneck(network, BASE, CUT, folder, out, TINY)


def _changed(trained: TrainedBottleneck, to: Path, **fields: object) -> Path:
    save_bottleneck(to, dataclasses.replace(trained.bottleneck, **fields))  # type: ignore[arg-type]
    return to


def test_training_restores_the_cut_first_and_then_the_answers_for_fewer_bytes(trained: TrainedBottleneck):
    first, second, third, fourth = trained.epochs
    assert second.cut < first.cut
    assert (first.results, second.results) == (0.0, 0.0)
    assert 0 < fourth.results < third.results
    assert fourth.deep < third.deep
    assert fourth.kilobytes < first.kilobytes
    uniform = 3 * 16 * 16 * 3 / 8000
    assert trained.held_out.kilobytes < uniform
    assert (trained.images, trained.images_held_out) == (54, 6)


def test_the_same_seed_repeats_to_the_byte_and_another_does_not(
    network: LoadedNetwork, folder: Path, trained: TrainedBottleneck, tmp_path: Path
):
    told: list[Progress] = []
    again = train_bottleneck(network, BASE, CUT, folder, tmp_path / "a.safetensors", TINY, on_progress=told.append)
    assert again.weights.read_bytes() == trained.weights.read_bytes()
    assert again.epochs == trained.epochs
    stages = list(dict.fromkeys(p.stage for p in told))
    assert stages == ["exporting", "reading images", "the network, once", "restoring the cut", "distilling"]
    other = dataclasses.replace(TINY, seed=4, warm_epochs=0, epochs=0)
    train_bottleneck(network, BASE, CUT, folder, tmp_path / "b.safetensors", other)
    start = dataclasses.replace(other, seed=3)
    train_bottleneck(network, BASE, CUT, folder, tmp_path / "c.safetensors", start)
    assert (tmp_path / "b.safetensors").read_bytes() != (tmp_path / "c.safetensors").read_bytes()


def test_training_leaves_the_network_and_the_seed_of_others_alone(network: LoadedNetwork, trained: TrainedBottleneck):
    assert state_sha256(network.module.state_dict()) == state_sha256(load_network(BASE).module.state_dict())
    assert trained.bottleneck.base_sha256 == state_sha256(network.module.state_dict())


def test_a_higher_rate_weight_gives_fewer_bytes(network: LoadedNetwork, folder: Path, tmp_path: Path):
    sizes = []
    for weight in (0.0, 20.0):
        settings = dataclasses.replace(TINY, rate_weight=weight, epochs=3)
        made = train_bottleneck(network, BASE, CUT, folder, tmp_path / f"{weight}.safetensors", settings)
        sizes.append(made.held_out.kilobytes)
    assert sizes[1] < 0.9 * sizes[0]


def test_a_network_of_masks_is_taught_by_its_logits_and_its_probabilities(folder: Path, tmp_path: Path):
    network = load_network("tests.nets:make_outlined")
    settings = dataclasses.replace(TINY, channels=4, rate_weight=0.1, warm_epochs=4, epochs=3)
    made = train_bottleneck(network, "tests.nets:make_outlined", "relu", folder, tmp_path / "m.safetensors", settings)
    first, last = made.epochs[4], made.epochs[-1]
    assert 0 < last.deep < first.deep
    assert 0 < last.results < first.results
    batch = torch.cat([torch.from_numpy(image) for image in images(8, seed=9)])
    answers, plain = with_bottleneck(network, made.weights).module(batch), network.module(batch)
    assert answers.shape == (8, 1, 32, 32)
    assert float((answers - plain).square().mean() / plain.var()) < 0.3
    outlines = float(((answers > plain.mean()) == (plain > plain.mean())).float().mean())
    assert outlines > 0.8


def test_the_card_names_digest_cut_base_and_the_command(trained: TrainedBottleneck):
    card = trained.card.read_text(encoding="utf-8")
    assert trained.sha256 in card
    assert f"suture train bottleneck --network {BASE} --cut {CUT}" in card
    assert "--warm-epochs 2 --epochs 2 --seed 3" in card
    assert "not for diagnosis" in card
    assert f"{trained.held_out.kilobytes:.4f}" in card


def test_the_network_with_a_bottleneck_has_whole_codes_of_few_levels_at_one_cut(
    network: LoadedNetwork, trained: TrainedBottleneck
):
    made = with_bottleneck(network, trained.weights)
    assert made.spec.name == "tiny_bottleneck"
    assert made.made_from == {"bottleneck_sha256": trained.sha256, "bottleneck_cut": CUT}
    exported = export_network(made.module, made.spec.input)
    rounded = [n for n in exported.graph if n.op == "aten.round.default"]
    assert [n.shape for n in rounded] == [(1, 3, 16, 16)]
    batch = torch.cat([torch.from_numpy(image) for image in images(8, seed=9)])
    (maps,) = made.module.get_submodule("prefix")(batch)
    codes = made.module.get_submodule("encoder")(maps)
    assert torch.equal(codes, codes.round())
    assert 0 <= codes.min() < codes.max() <= TINY.levels - 1
    answers, plain = made.module(batch), network.module(batch)
    assert float((answers - plain).square().mean() / plain.var()) < 0.2


def test_the_length_of_whole_codes_is_that_of_their_tables():
    rate = Rate(2, 4)
    with torch.no_grad():
        rate.scores_CL.copy_(torch.tensor([[8.0, 4.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]]).log())
    codes = torch.tensor([[[[0.0, 1.0, 2.0]], [[3.0, 0.0, 1.0]]]])
    assert rate.bits(codes).item() == pytest.approx(1 + 2 + 3 + 3 * 2)
    between = torch.tensor([[[[0.5]], [[0.0]]]], requires_grad=True)
    bits = rate.bits(between)
    assert bits.item() == pytest.approx(1.5 + 2)
    bits.sum().backward()
    assert between.grad is not None
    assert between.grad[0, 0, 0, 0].item() == pytest.approx(1.0)


def test_a_cut_that_cannot_hold_one_is_refused_by_name(network: LoadedNetwork, folder: Path, tmp_path: Path):
    out = tmp_path / "b.safetensors"
    for cut, why in {
        "relu_7": "no tensor of that name",
        "0": "no tensor of that name",
        "relu_1": "more than this tensor crosses",
        "mean": r"maps \(1, C, H, W\), and this is float32 \(1, 8\)",
    }.items():
        with pytest.raises(UsageError, match=rf"--cut {cut}: .*{why}"):
            train_bottleneck(network, BASE, cut, folder, out, TINY)
    with pytest.raises(UsageError, match=r"\.safetensors"):
        train_bottleneck(network, BASE, CUT, folder, tmp_path / "b.pt", TINY)
    assert not list(tmp_path.iterdir())


def test_too_few_images_are_refused_and_what_is_no_image_is_told(network: LoadedNetwork, folder: Path, tmp_path: Path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(folder.iterdir())[:19]:
        shutil.copy(path, few)
    (few / "notes.png").write_bytes(b"none")
    told: list[InputRefused] = []
    with pytest.raises(UsageError, match=r"19 usable images"):
        train_bottleneck(network, BASE, CUT, few, tmp_path / "b.safetensors", TINY, refused=told.append)
    assert ["notes.png" in str(error) for error in told] == [True]


def test_other_weights_than_those_it_was_trained_for_are_refused(trained: TrainedBottleneck):
    with pytest.raises(UsageError, match=r"trained for tests\.nets:make with weights [0-9a-f]{12}; these of tiny are"):
        with_bottleneck(load_network(BASE, seed=1), trained.weights)


def test_a_cut_that_the_network_lacks_or_has_otherwise_is_refused(
    network: LoadedNetwork, trained: TrainedBottleneck, tmp_path: Path
):
    path = tmp_path / "b.safetensors"
    for cut, why in {"relu_9": "is not there in tiny", "relu_3": r"is \(1, 16, 8, 8\) in tiny"}.items():
        with pytest.raises(UsageError, match=why):
            with_bottleneck(network, _changed(trained, path, cut=cut))


def test_a_damaged_file_is_refused_with_what_to_do(network: LoadedNetwork, trained: TrainedBottleneck, tmp_path: Path):
    whole = trained.weights.read_bytes()
    path = tmp_path / "b.safetensors"
    flipped = bytearray(whole)
    flipped[-5] ^= 0x40
    for content, why in (
        (whole[:-100], "not a safetensors file"),
        (whole[:40], "not a safetensors file"),
        (b"", "not a safetensors file"),
        (bytes(flipped), "changed or damaged; copy or train it again"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=why):
            with_bottleneck(network, path)
    with pytest.raises(UsageError, match="no such file"):
        with_bottleneck(network, tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match=r"holds no bottleneck; `suture train bottleneck`"):
        with_bottleneck(network, packaged(Path("pneumonia_mobilenet_v2")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"levels": 1}, "levels is 1, not a whole number from 2 to 256"),
        ({"channels": True}, "channels is True"),
        ({"halvings": 40}, "halvings is 40"),
        ({"blocks": "2"}, "blocks is '2'"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_description_out_of_bounds_is_refused(
    trained: TrainedBottleneck, tmp_path: Path, change: dict[str, object], why: str
):
    weights = read_weights(trained.weights)
    shape = {**json.loads(weights.metadata["shape"]), **change}
    path = tmp_path / "b.safetensors"
    save_weights(path, weights.tensors, {**weights.metadata, "shape": json.dumps(shape)})
    with pytest.raises(UsageError, match=f"description is damaged .*{why}"):
        read_bottleneck(path)


def test_weights_that_do_not_fit_the_description_are_refused(
    network: LoadedNetwork, trained: TrainedBottleneck, tmp_path: Path
):
    shape = dataclasses.replace(trained.bottleneck.shape, channels=4)
    with pytest.raises(UsageError, match="of another shape"):
        with_bottleneck(network, _changed(trained, tmp_path / "b.safetensors", shape=shape))


def test_a_file_comes_back_as_it_was_written(trained: TrainedBottleneck):
    read: Bottleneck = read_bottleneck(trained.weights)
    assert dataclasses.replace(read, tensors={}) == dataclasses.replace(trained.bottleneck, tensors={})
    assert state_sha256(read.tensors) == state_sha256(trained.bottleneck.tensors)
