"""What `suture build` adds to a bundle that libraries cannot: tables from what the engines' own heads give."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from suture.commands.build import run_head
from suture_models.bundle import open_bundle
from suture_models.calibration import varied_inputs
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_models.tables import BundleTables
from suture_partitioner.device import processor_class
from suture_protocol.codecs.tablesfile import tables_to_bytes

build = pytest.importorskip("suture_models.build", reason="needs torch: pip install 'suture[build]'")
pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'suture[edge]'")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    from suture_models.zoo.registry import load_network
    from tests.nets import images

    settings = build.BuildSettings(engines=("openvino",), run_head=run_head)
    folder = tmp_path_factory.mktemp("own") / "pooled"
    return build.build_bundle(load_network("tests.nets:make_pooled"), images(16), folder, settings)


def test_tables_of_a_vector_are_those_of_what_its_own_head_gives(bundle):
    from suture_models.program import load_program, subgraph
    from suture_models.quant import quantise
    from suture_models.tabulate.tensors import train_tensor
    from tests.nets import images

    torch = pytest.importorskip("torch", reason="needs torch: pip install 'suture[build]'")
    manifest = bundle.manifest
    variant = next(v for v in manifest.variants if v.precision == "int8" and v.processor == processor_class())
    inner = [c for c in manifest.cuts if c.candidate and c.id not in (INPUT_CUT, LAST_CUT)]
    cut = next(c for c in inner if [len(tensor.shape) for tensor in c.boundary] == [2])
    inputs = [*images(16), *varied_inputs(manifest.network)]
    codes = [boundary[0] for boundary in run_head(bundle, variant, cut, inputs)]
    (found,) = BundleTables(bundle, variant).of(cut)
    assert tables_to_bytes({"x": replace(found, points=())}) == tables_to_bytes({"x": train_tensor(codes)})

    program = load_program(bundle.file(manifest.program), bundle.file(manifest.weights))
    head = subgraph(program, (program.input,), (cut.boundary[0].name,))
    quant = variant.quantiser(cut, cut.boundary[0])
    with torch.inference_mode():
        floats = [quantise(head(torch.from_numpy(one))[0].numpy(), quant) for one in inputs]
    assert not all(np.array_equal(one, other) for one, other in zip(codes, floats, strict=True))


def test_a_head_for_another_processor_is_not_run(bundle):
    variant = next(v for v in bundle.manifest.variants if v.processor not in ("any", processor_class()))
    assert run_head(bundle, variant, bundle.manifest.cuts[1], []) is None


def test_a_head_that_cannot_be_compiled_leaves_the_float_codes_and_says_so(bundle, tmp_path, capsys):
    copy = shutil.copytree(bundle.path, tmp_path / "copy")
    damaged = open_bundle(copy)
    variant = next(v for v in damaged.manifest.variants if v.precision == "int8" and v.processor == processor_class())
    for artefact in copy.rglob("*.xml"):
        artefact.write_bytes(b"no model")
    assert run_head(damaged, variant, damaged.manifest.cuts[1], []) is None
    assert "float network's codes" in capsys.readouterr().err


def test_everybody_may_read_the_manifest_who_may_read_the_program(bundle):
    modes = {(bundle.path / name).stat().st_mode for name in ("manifest.json", "program.json", "weights.safetensors")}
    assert len(modes) == 1
