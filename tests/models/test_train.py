"""Training recipes on small generated images, their parts, and the committed weights on real radiographs."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from suture_models.train.augment import augment
from suture_models.train.evaluate import evaluate, positive_scores
from suture_models.train.images import read_split
from suture_models.train.metrics import balanced_threshold, evaluate_scores
from suture_models.train.pneumonia import grey_backbone, train_pneumonia
from suture_models.train.progress import Progress
from suture_models.train.recipes import train
from suture_models.train.transfer import Settings
from suture_models.zoo.mobilenet_v2 import MobileNetV2
from suture_models.zoo.pneumonia_mobilenet_v2 import build
from suture_models.zoo.registry import load_network
from suture_models.zoo.weights import read_weights
from suture_protocol.errors import InputRefused, UsageError

TINY = Settings(epochs=2, copies=1, seed=5)
PER_LABEL = {"train": 12, "val": 8, "test": 6}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _radiograph(random: np.random.Generator, ill: bool) -> Image.Image:
    """Two dark lungs on a lighter body; the ill ones hold bright patches."""
    rows, columns = np.mgrid[0:224, 0:224] / 112.0 - 1
    pixels = 150 + random.normal(0, 6, (224, 224))
    for side in (-0.45, 0.45):
        lung = np.exp(-(((columns - side) / 0.3) ** 4) - ((rows / 0.7) ** 4))
        pixels -= 100 * lung
        for _ in range(4 if ill else 0):
            row, column = random.uniform(-0.5, 0.5), side + random.uniform(-0.15, 0.15)
            pixels += 70 * np.exp(-(((columns - column) / 0.12) ** 2) - (((rows - row) / 0.12) ** 2))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radiographs")
    random = np.random.default_rng(0)
    for split, count in PER_LABEL.items():
        for label in ("NORMAL", "PNEUMONIA"):
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                name = f"person{index // 2}_virus_{index}.png" if label == "PNEUMONIA" else f"IM-{index:04}-0001.png"
                _radiograph(random, label == "PNEUMONIA").save(folder / split / label / name)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the form of ImageNet's; their filters are enough to tell patches from none."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pt"
    module = load_network("mobilenet_v2", seed=1).module.get_submodule("backbone")
    state = {**module.state_dict(), "classifier.1.weight": torch.zeros(1001, 1280)}
    state["classifier.1.bias"] = torch.zeros(1001)
    torch.save(state, path)
    return path


def test_training_lowers_the_loss_and_repeats_to_the_byte(radiographs: Path, source: Path, tmp_path: Path):
    told: list[Progress] = []
    first = train_pneumonia(radiographs, source, tmp_path / "a.safetensors", TINY, told.append)
    again = train_pneumonia(radiographs, source, tmp_path / "b.safetensors", TINY)
    assert first == again
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert first.train_losses[0] < math.log(2)
    assert first.train_losses[2] < first.train_losses[1]
    assert min(first.val_losses) == first.val_losses[first.best_epoch]
    stages = list(dict.fromkeys(p.stage for p in told))
    assert stages == ["reading images", "frozen blocks, train", "frozen blocks, val", "head", "fine-tuning"]
    for stage in stages:
        done = [p.done for p in told if p.stage == stage]
        assert done == sorted(done)
        assert all(p.done == p.total for p in [p for p in told if p.stage == stage][-1:])


def test_another_seed_gives_other_weights(radiographs: Path, source: Path, tmp_path: Path):
    settings = Settings(epochs=0, copies=1, seed=5)
    train_pneumonia(radiographs, source, tmp_path / "a.safetensors", settings)
    train_pneumonia(radiographs, source, tmp_path / "b.safetensors", dataclasses.replace(settings, seed=6))
    a, b = (read_weights(tmp_path / f"{name}.safetensors").tensors["classifier.1.weight"] for name in "ab")
    assert not torch.equal(a, b)


def test_a_recipe_writes_weights_with_their_threshold_and_a_card_with_measured_figures(
    radiographs: Path, source: Path, tmp_path: Path
):
    out = tmp_path / "made" / "pneumonia.safetensors"
    outcome = train("pneumonia", data=radiographs, out=out, source=source, settings=Settings(epochs=0, copies=0))
    spec = load_network("pneumonia_mobilenet_v2", weights=out).spec
    assert (spec.weights, spec.threshold) == ("trained", outcome.trained.threshold)
    assert out.stat().st_size < 8e6
    assert outcome.test == evaluate("pneumonia_mobilenet_v2", radiographs, weights=out)
    assert outcome.test.images == 12
    card = outcome.card.read_text(encoding="utf-8")
    assert str(outcome.test.auc) in card
    assert "Not for diagnosis" in card
    assert "CC BY 4.0" in card
    assert "suture train pneumonia" in card


def test_what_the_recipe_lacks_is_named(radiographs: Path, source: Path, tmp_path: Path):
    out = tmp_path / "w.safetensors"
    with pytest.raises(UsageError, match=r"there are: pneumonia"):
        train("diabetes", data=radiographs, out=out, source=source)
    with pytest.raises(UsageError, match=r"--weights FILE"):
        train("pneumonia", data=radiographs, out=out)
    with pytest.raises(UsageError, match=r"\.safetensors"):
        train("pneumonia", data=radiographs, out=tmp_path / "w.pt", source=source)
    with pytest.raises(UsageError, match=r"no images in .*train/NORMAL"):
        train("pneumonia", data=tmp_path, out=out, source=source)
    assert not out.exists()


def test_only_tensorflows_mobilenet_is_taken_as_a_source(tmp_path: Path):
    torch.save(MobileNetV2(classes=1000).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UsageError, match="1001 classes"):
        grey_backbone(read_weights(tmp_path / "w.pt"))


def test_the_grey_backbone_sees_what_the_colour_one_sees_in_a_grey_image(source: Path):
    weights = read_weights(source)
    colour = MobileNetV2(classes=1001, same_padding=True)
    colour.load_state_dict(dict(weights.tensors))
    grey = grey_backbone(weights)
    x = torch.randn(1, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = colour.eval().features(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.features(x), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_is_no_image_is_refused_by_name(radiographs: Path, tmp_path: Path):
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "val" / label).mkdir(parents=True)
        (tmp_path / "val" / label / "notes.txt").write_text("not an image")
    with pytest.raises(InputRefused, match=r"notes\.txt"):
        read_split(tmp_path, "val", build()[1])


def test_a_split_is_read_in_a_fixed_order_with_labels_and_patients(radiographs: Path):
    split = read_split(radiographs, "val", build()[1])
    assert split.images_NCHW.shape == (16, 1, 224, 224)
    assert split.images_NCHW.dtype == torch.uint8
    assert split.labels_N.tolist() == [0] * 8 + [1] * 8
    assert split.patients[0] == "IM-0000"
    assert split.patients[8:11] == ("person0_virus", "person0_virus", "person1_virus")


def test_augmentation_varies_the_image_but_never_its_sides():
    images = torch.full((16, 1, 64, 64), 40, dtype=torch.uint8)
    images[..., 8:24] = 220
    augmented = augment(images, torch.Generator().manual_seed(0))
    assert augmented.shape == images.shape
    assert augmented.dtype == torch.uint8
    assert torch.equal(augmented, augment(images, torch.Generator().manual_seed(0)))
    assert len({bytes(image.numpy()) for image in augmented}) == 16
    left, right = augmented[..., :32].float().mean((1, 2, 3)), augmented[..., 32:].float().mean((1, 2, 3))
    assert bool((left > right).all())


def test_figures_of_known_scores():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9])
    patients = tuple("abcdefgh")
    measured = evaluate_scores(labels, scores, patients, split="val", threshold=0.5)
    assert measured.auc.value == pytest.approx(14 / 16)
    assert measured.accuracy.value == pytest.approx(6 / 8)
    assert measured.sensitivity.value == pytest.approx(3 / 4)
    assert measured.specificity.value == pytest.approx(3 / 4)
    assert 0 <= measured.auc.low < measured.auc.value < measured.auc.high <= 1


def test_intervals_widen_when_images_share_patients():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], 40)
    scores = labels * 0.5 + np.repeat(random.normal(0, 0.4, 8), 10)
    alone = evaluate_scores(labels, scores, tuple(map(str, range(80))), split="val", threshold=0.25)
    shared = evaluate_scores(labels, scores, tuple(str(i // 10) for i in range(80)), split="val", threshold=0.25)
    assert shared.auc.high - shared.auc.low > alone.auc.high - alone.auc.low


def test_the_balanced_threshold_separates_midway():
    labels = np.array([0, 0, 0, 1, 1])
    assert balanced_threshold(labels, np.array([0.1, 0.2, 0.3, 0.7, 0.9])) == pytest.approx(0.5)


def test_committed_weights_tell_real_radiographs_apart():
    folder = os.environ.get("SUTURE_DATA")
    if folder is None:
        pytest.skip("SUTURE_DATA names no folder with cxr_pneumonia_224")
    loaded = load_network("pneumonia_mobilenet_v2")
    split = read_split(Path(folder) / "cxr_pneumonia_224", "test", loaded.spec)
    chosen = torch.cat([torch.nonzero(split.labels_N == label)[:30, 0] for label in (0, 1)])
    few = dataclasses.replace(
        split,
        images_NCHW=split.images_NCHW[chosen],
        labels_N=split.labels_N[chosen],
        patients=tuple(split.patients[i] for i in chosen.tolist()),
    )
    scores = positive_scores(loaded, few)
    threshold = loaded.spec.threshold
    measured = evaluate_scores(few.labels_N.numpy(), scores, few.patients, split="test", threshold=threshold)
    assert measured.auc.value > 0.9
    assert measured.sensitivity.value > 0.8
