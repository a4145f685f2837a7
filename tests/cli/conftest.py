"""A small bundle on disk for the command's tests: a real manifest, without the files that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from suture_models.manifest import (
    ArtefactFile,
    Cut,
    GraphNode,
    Manifest,
    NetworkSpec,
    Preprocess,
    QuantParams,
    TensorSpec,
    Variant,
    WeightsOrigin,
)

IMAGE = TensorSpec(name="image", shape=(1, 1, 8, 8), dtype="uint8")
CONV = TensorSpec(name="conv2d", shape=(1, 4, 8, 8), dtype="float32")
POOL = TensorSpec(name="mean", shape=(1, 4), dtype="float32")
SCORES = TensorSpec(name="linear", shape=(1, 2), dtype="float32")


@pytest.fixture
def bundle_with(tmp_path: Path) -> Callable[[WeightsOrigin], Path]:
    """Writes a four-node classifier's manifest with two artefacts, its weights of the given origin."""

    def write(weights: WeightsOrigin) -> Path:
        path = tmp_path / "bundle"
        path.mkdir()
        (path / "manifest.json").write_text(manifest(weights).to_json(), encoding="utf-8")
        return path

    return write


def manifest(weights: WeightsOrigin) -> Manifest:
    return Manifest(
        network=NetworkSpec(
            name="tiny",
            kind="image",
            input=IMAGE,
            preprocess=Preprocess(size=(8, 8), channels=1),
            output="classes",
            labels=("normal", "pneumonia"),
            weights=weights,
        ),
        graph=(
            GraphNode(name="image", op="placeholder", inputs=(), shape=IMAGE.shape, dtype=IMAGE.dtype),
            GraphNode(name="conv2d", op="conv2d", inputs=("image",), shape=CONV.shape, dtype=CONV.dtype, macs=2304),
            GraphNode(name="mean", op="mean", inputs=("conv2d",), shape=POOL.shape, dtype=POOL.dtype),
            GraphNode(name="linear", op="linear", inputs=("mean",), shape=SCORES.shape, dtype=SCORES.dtype, macs=8),
        ),
        outputs=(SCORES,),
        cuts=(
            Cut(id="0", index=0, boundary=(IMAGE,), head_macs=0, tail_macs=2312),
            Cut(id="conv2d", index=2, boundary=(CONV,), head_macs=2304, tail_macs=8, candidate=False),
            Cut(id="mean", index=3, boundary=(POOL,), head_macs=2304, tail_macs=8),
            Cut(id="last", index=4, boundary=(SCORES,), head_macs=2312, tail_macs=0),
        ),
        variants=(
            Variant(
                id="openvino-int8-vnni",
                engine="openvino",
                precision="int8",
                processor="vnni",
                files={"model": _file("openvino/int8.xml", 900), "weights": _file("openvino/int8.bin", 100)},
                quant={"mean": QuantParams(scale=(0.02,), offset=(0.0,), origin="graph")},
            ),
            Variant(
                id="litert-int8",
                engine="litert",
                precision="int8",
                files={"cut:last": _file("litert/last.tflite", 400)},
            ),
        ),
        program=_file("program.json", 10),
        weights=_file("weights.safetensors", 20),
        built_with={"torch": "2.13.0"},
    )


def _file(path: str, size_bytes: int) -> ArtefactFile:
    return ArtefactFile(path=path, sha256="0" * 64, size_bytes=size_bytes)
