"""Small networks and profiles made by hand, whose best cut brute force can find."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from suture_models.cuts import enumerate_cuts
from suture_models.manifest import (
    INPUT_CUT,
    LAST_CUT,
    ArtefactFile,
    Cut,
    GraphNode,
    Manifest,
    NetworkSpec,
    Preprocess,
    TensorSpec,
)
from suture_partitioner.types import CutTiming, Profile

IMAGE = TensorSpec(name="image", shape=(1, 1, 32, 32), dtype="uint8")


def conv(name: str, source: str, channels: int, side: int, macs: int) -> GraphNode:
    """A convolution of `macs` multiply-accumulates."""
    shape = (1, channels, side, side)
    return GraphNode(
        name=name, op="aten.conv2d.default", inputs=(source,), shape=shape, dtype="float32", macs=macs
    )  # fmt: skip


def relu(name: str, source: str, channels: int, side: int) -> GraphNode:
    """An activation."""
    return GraphNode(
        name=name, op="aten.relu.default", inputs=(source,), shape=(1, channels, side, side), dtype="float32"
    )  # fmt: skip


def add(name: str, first: str, second: str, channels: int, side: int) -> GraphNode:
    """The end of a skip connection."""
    return GraphNode(
        name=name, op="aten.add.Tensor", inputs=(first, second), shape=(1, channels, side, side), dtype="float32"
    )  # fmt: skip


def manifest_of(graph: Sequence[GraphNode], cuts: Sequence[Cut] | None = None) -> Manifest:
    """A manifest of `graph`, with the cuts that a build would list unless others are given."""
    file = ArtefactFile(path="x", sha256="0" * 64, size_bytes=1)
    end = graph[-1]
    outputs = (TensorSpec(name=end.name, shape=end.shape, dtype=end.dtype),)
    crossable = frozenset(node.name for node in graph if node.dtype != "tuple") | {IMAGE.name}
    return Manifest(
        network=NetworkSpec(
            name="hand_made",
            kind="image",
            input=IMAGE,
            preprocess=Preprocess(size=(32, 32), channels=1),
            output="classes",
            labels=("a", "b"),
            weights="random",
        ),
        graph=tuple(graph),
        outputs=outputs,
        cuts=tuple(cuts if cuts is not None else enumerate_cuts(graph, IMAGE, outputs, crossable)),
        variants=(),
        program=file,
        weights=file,
        built_with={},
    )


def every_prefix(graph: Sequence[GraphNode]) -> list[Cut]:
    """Every prefix of the graph as a cut, whatever it costs."""
    specs = {IMAGE.name: IMAGE} | {n.name: TensorSpec(name=n.name, shape=n.shape, dtype=n.dtype) for n in graph}
    cuts = []
    for index in range(len(graph) + 1):
        done = {IMAGE.name, *(node.name for node in graph[:index])}
        live = [name for name in specs if name in done and any(name in node.inputs for node in graph[index:])]
        boundary = tuple(specs[name] for name in live) or (specs[graph[-1].name],)
        name = {0: INPUT_CUT, len(graph): LAST_CUT}.get(index, "+".join(live))
        cuts.append(Cut(id=name, index=index, boundary=boundary, head_macs=0, tail_macs=0))
    return cuts


def profile_of(
    manifest: Manifest,
    side: str,
    node_s: Mapping[str, float],
    *,
    fixed_s: float = 0.0,
    ratio: float = 1.0,
    codec_s_per_byte: float = 0.0,
) -> Profile:
    """A profile without noise: heads or tails as sums of their nodes' times, payloads in proportion to raw bytes."""
    done = list(accumulate((node_s[node.name] for node in manifest.graph), initial=0.0))
    cuts = {}
    for cut in manifest.cuts:
        spent_s = done[cut.index] if side == "edge" else done[-1] - done[cut.index]
        codecs = {} if cut.id == LAST_CUT else {"zstd": codec_s_per_byte * cut.bytes_codes}
        cuts[cut.id] = CutTiming(
            compute_s=fixed_s + spent_s,
            compute_min_s=fixed_s + spent_s,
            samples=9,
            codec_s=codecs,
            payload_bytes={codec: round(ratio * cut.bytes_codes) for codec in codecs} if side == "edge" else {},
        )
    return Profile(
        side=side,
        bundle_digest="ab" * 32,
        network="hand_made",
        engine="openvino" if side == "edge" else "torch",
        variant_id="v",
        device={},
        versions={},
        threads=1,
        device_factor=1.0,
        measured_at="2026-01-01T00:00:00+00:00",
        preprocess_s=0.0,
        cuts=cuts,
    )


def chain(channels: Sequence[int], sides: Sequence[int], macs: Sequence[int]) -> list[GraphNode]:
    """Convolution and activation by turns."""
    graph, before = list[GraphNode](), IMAGE.name
    for place, (depth, side, work) in enumerate(zip(channels, sides, macs, strict=True)):
        graph += [conv(f"conv{place}", before, depth, side, work), relu(f"relu{place}", f"conv{place}", depth, side)]
        before = f"relu{place}"
    return graph
