"""Every network of the zoo, built for real: each cut computes what the whole network does, on each engine.

Three networks are checked at all their candidate cuts, and in torch at all the others that they list; the rest at a
sample. `make verify-zoo` checks all of all, LiteRT's artefacts included, and those that take minutes to build.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from suture.verify.checks import verify
from suture_models import calibration
from suture_models.build import BuildSettings, build_bundle
from suture_models.bundle import Bundle
from suture_models.manifest import Cut, NetworkSpec
from suture_models.zoo.registry import load_network, network_names
from suture_partitioner.device import processor_class
from tests.processes import Command, running_cloud

ALL_CUTS = ("mobilenet_v2", "efficientnet_lite0", "unet")
PACKAGED = "pneumonia_mobilenet_v2"
#: A minute or two each, and built of what the others are built of.
LARGE = ("resnet50", "efficientnet_b0")
#: Wire-worthy multi-tensor cuts must be among the sample of these.
MULTI_TENSOR = ("densenet121", "vit_s16")
SAMPLE = 3
CALIBRATION = 3


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Builds a network's bundle for OpenVINO and ONNX Runtime on this processor, once."""
    folder = tmp_path_factory.mktemp("zoo")

    @cache
    def build(name: str) -> Bundle:
        network = load_network(name)
        settings = BuildSettings(engines=("openvino", "onnxruntime"), processors=(processor_class(),), tables=False)
        return build_bundle(network, inputs(network.spec), folder / name, settings)

    return build


@pytest.mark.parametrize("name", [n for n in network_names() if n not in (PACKAGED, *LARGE)])
def test_every_cut_computes_what_the_whole_network_does(name: str, built: Callable[[str], Bundle]) -> None:
    check(built(name), chosen_cuts(name, built(name)))


def test_the_trained_networks_cuts_compute_what_the_whole_does(pneumonia_bundle: Bundle) -> None:
    check(pneumonia_bundle, chosen_cuts(PACKAGED, pneumonia_bundle))


@pytest.mark.parametrize("name", ALL_CUTS)
def test_cuts_that_no_plan_would_choose_are_sound_in_torch(name: str, built: Callable[[str], Bundle]) -> None:
    bundle = built(name)
    torch_only = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, variants=()))
    check(torch_only, [cut for cut in bundle.manifest.cuts if not cut.candidate])


def check(bundle: Bundle, cuts: list[Cut]) -> None:
    findings = list(verify(bundle, inputs(bundle.manifest.network)[:1], cuts))

    wrong = [f for f in findings if not f.ok]
    assert len(findings) >= len(cuts) > 0
    assert not wrong, "\n".join(f"{f.cut_id} {f.arm} {f.what}: {f.figure} {f.note}" for f in wrong)


@pytest.mark.parametrize("name", ["densenet121", "vit_s16", "unet"])
def test_several_tensors_cross_the_wire(
    name: str, built: Callable[[str], Bundle], command: Command, tmp_path: Path
) -> None:
    bundle = built(name)
    several = [c for c in bundle.manifest.cuts if len(c.boundary) > 1]
    image = next(Path(calibration.__file__).parent.glob("normal_*.jpeg"))

    with running_cloud(command, tmp_path, bundle) as cloud:
        whole, split = (
            command.rows("infer", image, "--bundle", bundle.path, "--cloud", cloud.address, "--insecure", "--cut", cut)[
                0
            ]
            for cut in ("0", several[len(several) // 2].id)
        )

    assert split["where"] == "cloud"
    assert split["cut"] == several[len(several) // 2].id
    assert split["outputs"].keys() == whole["outputs"].keys()
    for label, value in whole["outputs"].items():
        assert split["outputs"][label] == pytest.approx(value, abs=0.05)


def inputs(spec: NetworkSpec) -> list[NDArray[Any]]:
    """A few of the package's own inputs."""
    return list(calibration.calibration_inputs(spec, None).inputs[:CALIBRATION])


def chosen_cuts(name: str, bundle: Bundle) -> list[Cut]:
    """All candidates, or a few spread over the depth, with one of several tensors where those were asked for."""
    candidates = [c for c in bundle.manifest.cuts if c.candidate]
    if name in ALL_CUTS:
        return candidates
    chosen = [candidates[round(i * (len(candidates) - 1) / (SAMPLE - 1))] for i in range(SAMPLE)]
    if name in MULTI_TENSOR:
        several = [c for c in bundle.manifest.cuts if len(c.boundary) > 1]
        assert several, f"{name} has no cut with several tensors"
        chosen.append(several[len(several) // 2])
    return chosen
