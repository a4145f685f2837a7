"""Every network of the zoo, built for real: each cut computes what the whole network does, on each engine.

Three networks are checked at all their candidate cuts, the others at a sample; `make verify-zoo` checks all of all,
LiteRT's artefacts included.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from suture.verify.checks import verify
from suture_models.build import BuildSettings, build_bundle
from suture_models.bundle import Bundle
from suture_models.calibration import calibration_inputs
from suture_models.manifest import Cut
from suture_models.zoo.registry import load_network, network_names
from suture_partitioner.device import processor_class

ALL_CUTS = ("mobilenet_v2", "efficientnet_lite0", "unet")
#: Wire-worthy multi-tensor cuts must be among the sample of these.
MULTI_TENSOR = ("densenet121", "vit_s16")
SAMPLE = 3
CALIBRATION = 3


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", [n for n in network_names() if n != "pneumonia_mobilenet_v2"])
def test_every_cut_computes_what_the_whole_network_does(name: str, tmp_path: Path) -> None:
    network = load_network(name)
    inputs = list(calibration_inputs(network.spec, None).inputs[:CALIBRATION])
    settings = BuildSettings(engines=("openvino", "onnxruntime"), processors=(processor_class(),))
    bundle = build_bundle(network, inputs, tmp_path / name, settings)

    findings = list(verify(bundle, inputs[:1], chosen_cuts(name, bundle)))

    wrong = [f for f in findings if not f.ok]
    assert findings
    assert not wrong, "\n".join(f"{f.cut_id} {f.arm} {f.what}: {f.figure} {f.note}" for f in wrong)


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
