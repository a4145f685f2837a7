"""What a bundle says of itself: graph, cuts, quantisers, artefacts. Torch-free; both sides and the partitioner read it.

Axes: N batch (always leading, always 1 in a manifest), C channels, D depth, H height, W width, T time, L leads.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT_VERSION = 1

InputKind = Literal["image", "volume", "signal"]
WeightsOrigin = Literal["trained", "random"]
OutputKind = Literal["classes", "mask", "tensor"]
Precision = Literal["f32", "int8"]
#: `vnni`: has 8-bit dot products (AVX2-VNNI, AVX-512 VNNI, AMX, Arm dotprod); `plain`: without, where
#: `vpmaddubsw` saturates naive INT8; `any`: one artefact is right on all processors.
ProcessorClass = Literal["vnni", "plain", "any"]

INPUT_CUT = "0"
LAST_CUT = "last"

#: A pixel belongs to the mask from this probability on.
MASK_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """A named tensor of the graph; `shape` has the leading batch axis, always 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantParams:
    """Affine quantiser of one boundary tensor: value = offset + scale * code, code in 0 … levels-1 (uint8).

    `scale` and `offset` hold one number, or one per channel along `axis`.
    `origin` is `graph` where the codes are those the INT8 network itself computes with, `calibrated` where the
    network has no quantiser at that point and one with a calibrated range was put there.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    axis: int | None = None
    levels: int = 256
    origin: Literal["graph", "calibrated"] = "calibrated"


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphNode:
    """One operation of the exported graph; `macs` are multiply-accumulates at batch 1."""

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    macs: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A topological prefix of the graph, named by the tensors that cross it.

    `index` is the number of graph nodes in the head; `candidate` is False for a cut that can be forced but that no
    plan would ever choose (see `suture_models.cuts`).
    """

    id: str
    index: int
    boundary: tuple[TensorSpec, ...]
    head_macs: int
    tail_macs: int
    candidate: bool = True

    @property
    def bytes_float32(self) -> int:
        return sum(4 * t.elements if t.dtype == "float32" else _raw_bytes(t) for t in self.boundary)

    @property
    def bytes_codes(self) -> int:
        return sum(t.elements if t.dtype == "float32" else _raw_bytes(t) for t in self.boundary)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtefactFile:
    """A file of a bundle, its path relative to the bundle's directory."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One engine's artefact of one precision for one processor class, e.g. `openvino-int8-vnni`.

    `files` maps a role to a file: `model` (whole graph, cut on the edge), `weights`, or `cut:<id>` where the engine
    needs one file per cut. `quant` holds the quantiser of every boundary tensor of an INT8 variant, under the tensor's
    name or, where each cut has its own artefact and so its own quantisers, under `<cut id>:<tensor name>`. A tensor
    without one crosses as it is.
    """

    id: str
    engine: str
    precision: Precision
    processor: ProcessorClass = "any"
    files: Mapping[str, ArtefactFile] = field(default_factory=dict)
    quant: Mapping[str, QuantParams] = field(default_factory=dict)

    def has_cut(self, cut: Cut) -> bool:
        """Whether this variant can run the head of `cut`."""
        return cut.id == INPUT_CUT or "model" in self.files or f"cut:{cut.id}" in self.files

    def quantiser(self, cut: Cut, tensor: TensorSpec) -> QuantParams | None:
        """How `tensor` is coded at `cut`; None where it crosses as it is."""
        if cut.id in (INPUT_CUT, LAST_CUT):
            return None
        return self.quant.get(f"{cut.id}:{tensor.name}") or self.quant.get(tensor.name)

    def wire_dtype(self, cut: Cut, tensor: TensorSpec) -> str:
        """The dtype in which `tensor` leaves the head of `cut`."""
        return tensor.dtype if self.quantiser(cut, tensor) is None else "uint8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How pixels (or samples) become the network's input; see `suture_models.preprocess`.

    `window` is (centre, width) in modality units (HU for CT) and overrides the file's own; None uses the file's VOI
    LUT or window, and the full range where it has none. `resize` is `stretch` (ignore aspect ratio) or
    `crop` (short side to size, then centre crop). Volumes are resampled to (D, H, W).
    """

    size: tuple[int, ...]
    channels: int
    window: tuple[float, float] | None = None
    resize: Literal["stretch", "crop"] = "stretch"


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSpec:
    """What a network takes and gives; part of its bundle."""

    name: str
    kind: InputKind
    input: TensorSpec
    preprocess: Preprocess
    output: OutputKind
    labels: tuple[str, ...]
    weights: WeightsOrigin
    attribution: str = ""
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The whole of `manifest.json`. Nodes are in topological order; `outputs` name graph tensors."""

    network: NetworkSpec
    graph: tuple[GraphNode, ...]
    outputs: tuple[TensorSpec, ...]
    cuts: tuple[Cut, ...]
    variants: tuple[Variant, ...]
    program: ArtefactFile
    weights: ArtefactFile
    built_with: Mapping[str, str]
    format_version: int = FORMAT_VERSION

    def cut(self, cut_id: str) -> Cut:
        """The cut named `cut_id`.

        Raises:
            KeyError: no cut of this bundle has that id.
        """
        for cut in self.cuts:
            if cut.id == cut_id:
                return cut
        raise KeyError(cut_id)

    def variant(self, variant_id: str) -> Variant:
        """The variant named `variant_id`.

        Raises:
            KeyError: this bundle has no such variant.
        """
        for variant in self.variants:
            if variant.id == variant_id:
                return variant
        raise KeyError(variant_id)

    def to_json(self) -> str:
        """Canonical JSON: the same manifest always gives the same bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))


def _raw_bytes(tensor: TensorSpec) -> int:
    sizes = {"uint8": 1, "int8": 1, "bool": 1, "uint16": 2, "int16": 2, "float16": 2, "float32": 4, "int32": 4}
    return tensor.elements * sizes.get(tensor.dtype, 8)


def manifest_from_json(text: str) -> Manifest:
    """Reads what `Manifest.to_json` wrote.

    Raises:
        ValueError: not a manifest of this format version; the message says which it is.
    """
    raw: Any = json.loads(text)
    if not isinstance(raw, dict) or raw.get("format_version") != FORMAT_VERSION:
        found = raw.get("format_version") if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"manifest format {found!r}, this version of Suture reads {FORMAT_VERSION}")
    try:
        return _manifest(raw)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"manifest is malformed: {error!r}") from error


def _manifest(raw: dict[str, Any]) -> Manifest:
    return Manifest(
        network=_network(raw["network"]),
        graph=tuple(GraphNode(**{**n, "inputs": tuple(n["inputs"]), "shape": tuple(n["shape"])}) for n in raw["graph"]),
        outputs=tuple(_tensor(t) for t in raw["outputs"]),
        cuts=tuple(Cut(**{**c, "boundary": tuple(_tensor(t) for t in c["boundary"])}) for c in raw["cuts"]),
        variants=tuple(_variant(v) for v in raw["variants"]),
        program=ArtefactFile(**raw["program"]),
        weights=ArtefactFile(**raw["weights"]),
        built_with=raw["built_with"],
        format_version=raw["format_version"],
    )


def _tensor(raw: dict[str, Any]) -> TensorSpec:
    return TensorSpec(name=raw["name"], shape=tuple(raw["shape"]), dtype=raw["dtype"])


def _network(raw: dict[str, Any]) -> NetworkSpec:
    pre = raw["preprocess"]
    window = pre["window"]
    preprocess = Preprocess(
        **{**pre, "size": tuple(pre["size"]), "window": None if window is None else (window[0], window[1])}
    )
    return NetworkSpec(
        **{**raw, "input": _tensor(raw["input"]), "preprocess": preprocess, "labels": tuple(raw["labels"])}
    )


def _variant(raw: dict[str, Any]) -> Variant:
    return Variant(
        **{
            **raw,
            "files": {role: ArtefactFile(**f) for role, f in raw["files"].items()},
            "quant": {
                name: QuantParams(**{**q, "scale": tuple(q["scale"]), "offset": tuple(q["offset"])})
                for name, q in raw["quant"].items()
            },
        }
    )
