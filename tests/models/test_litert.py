"""LiteRT's artefacts: signals as they come, logits that are not clipped, and a converter that may crash."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from suture_models.build import BuildSettings, build_bundle
from suture_models.bundle import Bundle
from suture_models.export import export_network
from suture_models.manifest import LAST_CUT, NetworkSpec, Preprocess, TensorSpec, Variant
from suture_models.program import Program
from suture_models.quantisers import litertjob
from suture_models.quantisers.litertjob import Head, convert_heads
from suture_models.zoo.registry import LoadedNetwork

pytest.importorskip("litert_torch", reason="no builder for LiteRT artefacts: pip install 'suture[build-litert]'")
SIGNAL = TensorSpec(name="signal", shape=(1, 16, 4), dtype="float32")
#: Beyond the calibration inputs' amplitude, so that logits leave their range.
LOUD = 3.0


class Net(nn.Module):
    """A classifier of signals (N, T, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 8, 3)
        self.last = nn.Linear(8, 5)

    def forward(self, signal: Tensor) -> Tensor:
        """Logits (N, 5)."""
        x = torch.relu(self.first(signal.transpose(1, 2)))
        out: Tensor = self.last(x.mean(2))
        return out


def signals(count: int, amplitude: float = 1.0) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(size=SIGNAL.shape, scale=amplitude).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    torch.manual_seed(0)
    spec = NetworkSpec(
        name="beats",
        kind="signal",
        input=SIGNAL,
        preprocess=Preprocess(size=(16,), channels=4),
        output="classes",
        labels=tuple("abcde"),
        weights="random",
    )
    return LoadedNetwork(module=Net().eval(), spec=spec)


@pytest.fixture(scope="module")
def bundle(network: LoadedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    settings = BuildSettings(engines=("litert",), calibration="drawn", tables=False)
    return build_bundle(network, signals(8), tmp_path_factory.mktemp("litert") / "beats", settings)


@pytest.mark.parametrize("kind", ["litert-f32", "litert-int8"])
def test_a_head_takes_a_signal_as_it_was_read(bundle: Bundle, kind: str):
    variant = find(bundle, kind)
    for cut in bundle.manifest.cuts[1:]:
        if variant.has_cut(cut):
            found = run(bundle, variant, cut.id, signals(1)[0])
            assert [a.shape for a in found] == [t.shape for t in cut.boundary]


def test_int8_logits_are_not_clipped_to_those_of_the_calibration_inputs(bundle: Bundle, network: LoadedNetwork):
    loud = signals(6, LOUD)
    with torch.inference_mode():
        quiet = np.stack([network.module(torch.from_numpy(x)).numpy() for x in signals(8)])
        wanted = np.stack([network.module(torch.from_numpy(x)).numpy() for x in loud])
    found = np.stack([run(bundle, find(bundle, "litert-int8"), LAST_CUT, x)[0] for x in loud])
    assert (wanted.max() > quiet.max()) or (wanted.min() < quiet.min())
    assert found.max() > quiet.max() or found.min() < quiet.min()


def test_a_head_whose_job_dies_is_left_out_and_the_others_are_made(tmp_path: Path, network: LoadedNetwork):
    heads = [head(tmp_path / "missing", "one"), head(tmp_path, "two")]
    problems = list(convert_heads(program_of(network), signals(2), heads))
    assert problems[0].startswith("LiteRT's converter ")
    assert problems[1] == ""
    assert heads[1].int8_path.stat().st_size > 0


def test_a_head_that_takes_too_long_takes_the_later_ones_with_it(
    tmp_path: Path, network: LoadedNetwork, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(litertjob, "HEAD_LIMIT_S", 0)
    heads = [head(tmp_path, name) for name in ("one", "two")]
    problems = list(convert_heads(program_of(network), signals(2), heads))
    assert problems == ["LiteRT's converter takes more than 0 s of processor time"] * 2


def test_a_strided_convolution_and_a_pooling_of_volumes_are_converted(tmp_path: Path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv3d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool3d(3, 2, 1)).eval()
    volume = np.random.default_rng(5).normal(size=(1, 1, 8, 10, 12)).astype(np.float32)
    spec = TensorSpec(name="input", shape=volume.shape, dtype="float32")
    made = replace(head(tmp_path, "volumes"), outputs=("max_pool3d",))
    assert list(convert_heads(export_network(module, spec).program, [volume], [made])) == [""]
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(made.float_path)).get_signature_runner()
    (found,) = runner(args_0=volume).values()
    np.testing.assert_allclose(found, module(torch.from_numpy(volume)).detach().numpy(), atol=1e-5)


def head(folder: Path, name: str) -> Head:
    """The head up to the first activation; a job dies of an INT8 file that it cannot write."""
    return Head(cut_id=name, outputs=("relu",), float_path=folder.parent / f"{name}-f32", int8_path=folder / name)


def program_of(network: LoadedNetwork) -> Program:
    return export_network(network.module, network.spec.input).program


def find(bundle: Bundle, variant_id: str) -> Variant:
    return next(v for v in bundle.manifest.variants if v.id == variant_id)


def run(bundle: Bundle, variant: Variant, cut_id: str, array: Any) -> tuple[Any, ...]:
    from suture_edge.engines.registry import get_engine, load_head

    with closing(load_head(get_engine("litert"), bundle, variant, bundle.cut(cut_id))) as loaded:
        return loaded.run(array)
