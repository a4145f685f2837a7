"""Each engine's variants of a network and what they hold: one function per engine, one row to add another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from suture_models.bundle import sha256_file
from suture_models.manifest import ArtefactFile, Cut, Precision, ProcessorClass, QuantParams, TensorSpec, Variant
from suture_models.program import Program


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What every engine's artefacts are made from.

    `openvino` is the float network as OpenVINO reads it, None where nothing is made for OpenVINO. `calibrated` are our
    own quantisers for tensors that an engine's INT8 network does not quantise. `step` is called
    with a text before each longer piece of work. What an engine could not do goes to `skipped`, a sentence each.
    """

    root: Path
    onnx_path: Path
    openvino: Any
    program: Program
    cuts: tuple[Cut, ...]
    tensors: tuple[TensorSpec, ...]
    calibrated: Mapping[str, QuantParams]
    inputs: tuple[NDArray[Any], ...]
    processors: tuple[ProcessorClass, ...]
    transformer: bool
    step: Callable[[str], None]
    skipped: list[str] = field(default_factory=list)

    def artefact(self, path: Path) -> ArtefactFile:
        """The manifest's record of a file in the bundle."""
        relative = path.relative_to(self.root).as_posix()
        return ArtefactFile(path=relative, sha256=sha256_file(path), size_bytes=path.stat().st_size)

    def folder(self, name: str) -> Path:
        """A folder of the bundle, made if need be."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def openvino_variants(source: Source) -> list[Variant]:
    """`openvino-f32` and one `openvino-int8-<class>` per processor class."""
    from suture_models.quantisers import openvino

    folder = source.folder("openvino")

    def variant(kind: str, precision: Precision, processor: ProcessorClass, quant: dict[str, QuantParams]) -> Variant:
        stem = folder / kind
        files = {
            "model": source.artefact(stem.with_suffix(".xml")),
            "weights": source.artefact(stem.with_suffix(".bin")),
        }
        return Variant(
            id=f"openvino-{kind}",
            engine="openvino",
            precision=precision,
            processor=processor,
            files=files,
            quant=quant,
        )

    made = []
    for processor in source.processors:
        source.step(f"OpenVINO: quantising for processors of class {processor}")
        int8 = openvino.quantise(source.openvino, source.inputs, processor, transformer=source.transformer)
        openvino.save(int8, folder / f"int8-{processor}.xml")
        quant = {**source.calibrated, **openvino.graph_quantisers(int8, source.tensors)}
        made.append(variant(f"int8-{processor}", "int8", processor, quant))
    openvino.save(source.openvino, folder / "f32.xml")
    made.append(variant("f32", "f32", "any", {}))
    return made


def onnxruntime_variants(source: Source) -> list[Variant]:
    """`onnxruntime-f32` and one `onnxruntime-int8-<class>` per processor class."""
    from suture_models.quantisers import onnxruntime
    from suture_models.quantisers.rounding import output_shifts

    folder = source.folder("onnxruntime")
    float_path = folder / "f32.onnx"
    source.step("ONNX Runtime: preparing")
    onnxruntime.prepare(source.onnx_path, float_path)
    made = []
    for processor in source.processors:
        source.step(f"ONNX Runtime: quantising for processors of class {processor}")
        path = folder / f"int8-{processor}.onnx"
        shifts = output_shifts(source.program, source.inputs, onnxruntime.GRIDS[processor])
        onnxruntime.quantise(float_path, path, source.inputs, shifts, processor)
        quant = {**source.calibrated, **onnxruntime.graph_quantisers(path, source.tensors)}
        made.append(_onnx_variant(source, path, "int8", processor, quant))
    made.append(_onnx_variant(source, float_path, "f32", "any", {}))
    return made


def _onnx_variant(
    source: Source, path: Path, precision: Precision, processor: ProcessorClass, quant: dict[str, QuantParams]
) -> Variant:
    return Variant(
        id=f"onnxruntime-{path.stem}",
        engine="onnxruntime",
        precision=precision,
        processor=processor,
        files={"model": source.artefact(path)},
        quant=quant,
    )


def litert_variants(source: Source) -> list[Variant]:
    """`litert-int8` and `litert-f32`, with a head for the whole network and eight cuts, less what cannot be converted.

    One INT8 artefact serves every processor: LiteRT's kernels widen before they add.
    """
    from suture_models.quantisers import litert
    from suture_models.quantisers.litertjob import Head, convert_heads

    folder = source.folder("litert")
    files: dict[str, dict[str, ArtefactFile]] = {"f32": {}, "int8": {}}
    quant: dict[str, QuantParams] = {}
    chosen = litert.default_cuts(source.cuts)
    heads = [
        Head(
            cut_id=cut.id,
            outputs=tuple(t.name for t in cut.boundary),
            float_path=folder / f"f32-{cut.index}.tflite",
            int8_path=folder / f"int8-{cut.index}.tflite",
        )
        for cut in chosen
    ]
    source.step(f"LiteRT: cut 1 of {len(chosen)}")
    problems = convert_heads(source.program, source.inputs, heads)
    for place, (cut, head, problem) in enumerate(zip(chosen, heads, problems, strict=True), start=1):
        if place < len(chosen):
            source.step(f"LiteRT: cut {place + 1} of {len(chosen)}")
        if problem:
            source.skipped.append(f"cut {cut.id}: {problem}")
            for path in (head.float_path, head.int8_path):
                path.unlink(missing_ok=True)
            continue
        files["f32"][f"cut:{cut.id}"] = source.artefact(head.float_path)
        files["int8"][f"cut:{cut.id}"] = source.artefact(head.int8_path)
        found = litert.quantisers(head.int8_path, cut.boundary)
        quant.update({f"{cut.id}:{name}": params for name, params in found.items()})
    if not files["int8"]:
        return []
    return [
        Variant(id="litert-int8", engine="litert", precision="int8", files=files["int8"], quant=quant),
        Variant(id="litert-f32", engine="litert", precision="f32", files=files["f32"]),
    ]


#: engine → what makes its variants, and the package whose absence skips it
MAKERS: dict[str, tuple[Callable[[Source], list[Variant]], str]] = {
    "openvino": (openvino_variants, "nncf"),
    "onnxruntime": (onnxruntime_variants, "onnxruntime"),
    "litert": (litert_variants, "litert_torch"),
}
