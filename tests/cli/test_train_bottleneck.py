"""`suture train bottleneck`, `suture build --bottleneck`, and the committed bottleneck through head, codes and tail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suture.app import main
from suture_models.bundle import Bundle, open_bundle, sha256_file
from suture_models.calibration import calibration_inputs
from suture_models.manifest import Cut
from suture_partitioner.device import processor_class
from suture_protocol.codecs.registry import codec_of
from suture_protocol.payload import pack, unpack

torch = pytest.importorskip("torch", reason="needs torch: pip install 'suture[build]'")

NETWORK, CUT = "tests.nets:make", "relu_2"
COMMITTED = "pneumonia_bottleneck_m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.nets import image_folder

    return image_folder(tmp_path_factory.mktemp("images"), 40, seed=4)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "tiny.safetensors"
    arguments = ["--network", NETWORK, "--cut", CUT, "--images", str(folder), "--out", str(out)]
    assert main(["train", "bottleneck", *arguments, "--channels", "2", "--levels", "8", "--epochs", "1"]) == 0
    return out


def code_cut(bundle: Bundle) -> Cut:
    rounded = [n.name for n in bundle.manifest.graph if n.op == "aten.round.default"]
    assert len(rounded) == 1
    return bundle.cut(rounded[0])


def test_its_help_has_an_example_and_imports_no_torch() -> None:
    code = (
        "import sys; from suture.app import main; status = main(['train', 'bottleneck', '--help']);"
        "sys.exit(status or ('imported torch' if 'torch' in sys.modules else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "Examples" in shown
    assert "suture train bottleneck --network" in shown
    assert "suture build pneumonia_mobilenet_v2 --bottleneck" in shown


def test_the_other_recipes_are_reached_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "diabetes", "--data", str(tmp_path), "--out", str(tmp_path / "w.safetensors")]) == 2
    assert "there are: pneumonia" in capsys.readouterr().err


def test_it_says_what_it_wrote_and_measured(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    for path in folder.iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "images" / "notes.png").write_bytes(b"none")
    out = tmp_path / "made" / "b.safetensors"
    arguments = ["--network", NETWORK, "--cut", CUT, "--images", str(tmp_path / "images"), "--out", str(out)]
    assert main(["train", "bottleneck", *arguments, "--warm-epochs", "3", "--epochs", "0", "--json"]) == 0
    shown = capsys.readouterr()
    said = json.loads(shown.out)
    assert said["written"] == [str(out), str(out.with_suffix(".md"))]
    assert (said["sha256"], said["images"]) == (sha256_file(out), 36)  # every tenth of the 40 is held out
    assert said["held_out"]["kilobytes"] > 0
    assert "The first 3 epochs learn to restore the cut" in out.with_suffix(".md").read_text(encoding="utf-8")
    assert "left out: " in shown.err
    assert "notes.png" in shown.err


def test_what_is_built_with_it_is_a_bundle_with_one_cut_of_few_levels(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from suture_cloud.executor import TailRequest
    from suture_cloud.tail import Tails
    from suture_edge.engines.registry import choose_variant, get_engine, load_head
    from suture_models.zoo.bottleneck import with_bottleneck
    from suture_models.zoo.registry import load_network
    from tests.nets import images

    out = tmp_path / "bundle"
    options = [
        "--bottleneck",
        str(trained),
        "--engine",
        "openvino",
        "--no-annotate",
        "--no-tables",
        "--out",
        str(out),
        "--json",
    ]
    assert main(["build", NETWORK, *options]) == 0
    assert json.loads(capsys.readouterr().out)["network"] == "tiny_bottleneck"
    bundle = open_bundle(out)
    assert bundle.manifest.built_with["bottleneck_sha256"] == sha256_file(trained)
    assert bundle.manifest.built_with["bottleneck_cut"] == CUT
    cut = code_cut(bundle)
    assert cut.candidate
    assert [t.shape for t in cut.boundary] == [(1, 2, 16, 16)]

    variant = choose_variant(bundle, "openvino", processor_class())
    head, tails = load_head(get_engine("openvino"), bundle, variant, cut), Tails(bundle, torch.device("cpu"))
    module, levels, errors = with_bottleneck(load_network(NETWORK), trained).module, set[int](), []
    for image in images(16, seed=8):
        codes = head.run(image)
        levels |= set(np.unique(codes[0]).tolist())
        request = TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant.id, tensors=codes)
        expected = module(torch.from_numpy(image)).numpy()
        errors.append(float(np.abs(next(iter(tails.run(request).values())) - expected).max() / np.ptp(expected)))
    head.close()
    assert 1 < len(levels) <= 8
    assert np.median(errors) < 0.1


@pytest.mark.parametrize(
    ("network", "seed", "damage", "why"),
    [
        (NETWORK, "1", 0, "was trained for tests.nets:make"),
        ("tests.nets:make_forked", "0", 0, "these of forked are"),
        (NETWORK, "0", 5, "changed or damaged"),
        (NETWORK, "0", -1, "not a safetensors file"),
    ],
    ids=["other weights", "another network", "a flipped bit", "cut short"],
)
def test_a_file_that_does_not_fit_is_one_line_and_wrong_usage(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    seed: str,
    damage: int,
    why: str,
) -> None:
    content = bytearray(trained.read_bytes())
    path = tmp_path / "b.safetensors"
    if damage > 0:
        content[-damage] ^= 1
    path.write_bytes(content[:-100] if damage < 0 else content)
    status = main(["build", network, "--seed", seed, "--bottleneck", str(path), "--out", str(tmp_path / "out")])
    assert status == 2
    shown = capsys.readouterr().err
    assert why in shown
    assert str(path) in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_cut_that_is_none_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.safetensors"
    arguments = ["--network", NETWORK, "--cut", "nowhere", "--images", str(folder), "--out", str(out)]
    assert main(["train", "bottleneck", *arguments]) == 2
    assert "--cut nowhere: the network has no tensor of that name" in capsys.readouterr().err
    assert not out.exists()


def test_the_committed_bottleneck_answers_as_its_network_for_a_kilobyte_and_a_half_at_most(tmp_path: Path) -> None:
    """Through the INT8 head, a codec and the float tail, on the package's radiographs; AUC is a benchmark's matter."""
    from suture_cloud.executor import TailRequest
    from suture_cloud.tail import Tails
    from suture_edge.engines.registry import choose_variant, get_engine, load_head
    from suture_models.build import BuildSettings, build_bundle
    from suture_models.zoo.bottleneck import with_bottleneck
    from suture_models.zoo.bottleneck_file import packaged
    from suture_models.zoo.registry import load_network

    path = packaged(Path(COMMITTED))
    assert path.stat().st_size <= 2_000_000
    assert sha256_file(path) in path.with_suffix(".md").read_text(encoding="utf-8")
    plain = load_network("pneumonia_mobilenet_v2")
    inputs = calibration_inputs(plain.spec, None).inputs
    settings = BuildSettings(engines=("openvino",), processors=(processor_class(),), tables=False)
    bundle = build_bundle(with_bottleneck(plain, Path(COMMITTED)), inputs[::6], tmp_path / "bundle", settings)
    cut, codec = code_cut(bundle), codec_of("zstd")
    variant = choose_variant(bundle, "openvino", processor_class())
    head, tails = load_head(get_engine("openvino"), bundle, variant, cut), Tails(bundle, torch.device("cpu"))
    sizes, margins = [], []
    for image in inputs:
        headers, payload = pack(head.run(image), codec)
        sizes.append(len(payload))
        codes = unpack(headers, payload, codec)
        request = TailRequest(bundle_digest=bundle.digest, cut_id=cut.id, variant_id=variant.id, tensors=codes)
        found, expected = next(iter(tails.run(request).values())), plain.module(torch.from_numpy(image)).numpy()
        margins.append((found[0, 1] - found[0, 0], expected[0, 1] - expected[0, 0]))
    head.close()
    assert max(sizes) <= 1500
    assert np.corrcoef(np.array(margins).T)[0, 1] > 0.9
