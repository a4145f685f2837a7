"""`suture train bottleneck`: from a network, one of its cuts and a folder of images to a bottleneck's file and card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import Module

from suture_models.cuts import enumerate_cuts
from suture_models.export import Exported, export_network
from suture_models.manifest import INPUT_CUT, LAST_CUT, NetworkSpec
from suture_models.order import in_cutting_order
from suture_models.preprocess import preprocess
from suture_models.program import subgraph
from suture_models.train.bottleneck import BottleneckJob, BottleneckSettings, observe
from suture_models.train.bottleneck_card import TrainedBottleneck, write_bottleneck_card
from suture_models.train.progress import OnProgress, Progress, silent
from suture_models.train.rate import Rate
from suture_models.walk import find_inputs, read_file
from suture_models.zoo.bottleneck import Decoder, Encoder
from suture_models.zoo.bottleneck_file import Bottleneck, Shape, save_bottleneck, state_sha256
from suture_models.zoo.registry import LoadedNetwork
from suture_models.zoo.threads import torch_threads
from suture_protocol.errors import BundleError, InputRefused, UsageError

_MAP_AXES = 4
#: Codes are maps of at most this side; larger ones are halved until they are.
_SIDE = 16
_HIDDEN, _WIDTH, _BLOCKS = 48, 96, 2
#: Every tenth image is only judged on.
_HELD_OUT = 10
_FEWEST = 20


def train_bottleneck(
    network: LoadedNetwork,
    base: str,
    cut: str,
    images: Path,
    out: Path,
    settings: BottleneckSettings,
    *,
    on_progress: OnProgress = silent,
    refused: Callable[[InputRefused], None] = lambda _error: None,
) -> TrainedBottleneck:
    """Trains a bottleneck at `cut` of `network` on the images under `images` and writes `out` and its card.

    Args:
        network: The float network; it teaches and is not changed.
        base: What it is called, for `suture build`.
        cut: A cut's id: the one tensor that crosses it, a map (C, H, W) per image.
        images: Folder of images as the network reads them; no labels are used.
        out: File to write, `.safetensors`.
        settings: See there; the same ones on the same processor and torch give the same bytes.
        on_progress: Called often, on this thread.
        refused: Told of each file that cannot be used.

    Raises:
        UsageError: no such cut, a cut of another kind, too few images, or another suffix.
        BundleError: the network cannot be exported.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: has to end in .safetensors")
    with torch.random.fork_rng(devices=[]), torch_threads(settings.threads):
        torch.manual_seed(settings.seed)
        on_progress(Progress(stage="exporting", done=0, total=1))
        exported = export_network(network.module, network.spec.input)
        on_progress(Progress(stage="exporting", done=1, total=1))
        shape = _shape(exported, cut, settings)
        deep = _deep(exported, network.spec, cut)
        read = _read(images, network.spec, on_progress, refused)
        names = (cut, *deep, *exported.program.outputs)
        lesson, held_out = (
            observe(exported.program, names, part, on_progress)
            for part in ([x for i, x in enumerate(read) if i % _HELD_OUT], read[::_HELD_OUT])
        )
        job = _job(subgraph(exported.program, (cut,), names[1:]), shape, settings, on_progress)
        epochs, judged = job.run(lesson, held_out)
    bottleneck = Bottleneck(
        base=base,
        base_sha256=state_sha256(network.module.state_dict()),
        cut=cut,
        shape=shape,
        tensors=job.halves(),
        card={"settings": repr(settings), "torch": torch.__version__, "attribution": network.spec.attribution},
    )
    save_bottleneck(out, bottleneck)
    trained = TrainedBottleneck(
        weights=out,
        bottleneck=bottleneck,
        settings=settings,
        epochs=epochs,
        held_out=judged,
        images=len(read) - len(read[::_HELD_OUT]),
        images_held_out=len(read[::_HELD_OUT]),
    )
    write_bottleneck_card(trained)
    return trained


def _job(suffix: Module, shape: Shape, settings: BottleneckSettings, on_progress: OnProgress) -> BottleneckJob:
    """An untrained encoder and decoder, and what teaches them; draws from torch's generator."""
    return BottleneckJob(
        encoder=Encoder(shape),
        decoder=Decoder(shape),
        rate=Rate(shape.channels, shape.levels),
        suffix=suffix,
        settings=settings,
        generator=Generator().manual_seed(settings.seed),
        on_progress=on_progress,
    )


def _shape(exported: Exported, cut: str, settings: BottleneckSettings) -> Shape:
    """The sizes of encoder and decoder at `cut`; raises where it is none that they fit."""
    node = next((n for n in exported.graph if n.name == cut), None)
    if cut in (INPUT_CUT, LAST_CUT) or node is None or cut not in exported.crossable:
        hint = "`suture inspect` lists a bundle's cuts; take one with a single tensor"
        raise UsageError(f"--cut {cut}: the network has no tensor of that name to cut at; {hint}")
    try:
        subgraph(exported.program, (cut,), exported.program.outputs)
    except BundleError as error:
        raise UsageError(f"--cut {cut}: more than this tensor crosses there; take a cut with a single one") from error
    if node.dtype != "float32" or len(node.shape) != _MAP_AXES:
        found = f"{node.dtype} {node.shape}"
        raise UsageError(f"--cut {cut}: a bottleneck takes float32 maps (1, C, H, W), and this is {found}")
    _, inputs, *side = node.shape
    halvings = 0
    while max(side) >> halvings > _SIDE:
        halvings += 1
    if any(length % (1 << halvings) for length in side):
        raise UsageError(f"--cut {cut}: {side[0]} x {side[1]} cannot be halved {halvings} times; take a deeper cut")
    return Shape(
        inputs=inputs,
        hidden=_HIDDEN,
        channels=settings.channels,
        levels=settings.levels,
        halvings=halvings,
        width=_WIDTH,
        blocks=_BLOCKS,
    )


def _deep(exported: Exported, spec: NetworkSpec, cut: str) -> tuple[str, ...]:
    """The last single tensor behind `cut` that the results follow from; none where `cut` is that itself."""
    results = {output.name for output in exported.outputs}
    graph = in_cutting_order(exported.graph, spec.input.name, results, exported.crossable)
    cuts = enumerate_cuts(graph, spec.input, exported.outputs, exported.crossable)
    places = {node.name: place for place, node in enumerate(graph, start=1)}
    behind = [c for c in cuts[1:-1] if c.index > places[cut] and len(c.boundary) == 1]
    return (behind[-1].id,) if behind and behind[-1].boundary[0].dtype == "float32" else ()


def _read(
    folder: Path, spec: NetworkSpec, on_progress: OnProgress, refused: Callable[[InputRefused], None]
) -> list[Tensor]:
    paths = list(find_inputs([folder]))
    found = []
    for place, path in enumerate(paths, start=1):
        try:
            found.append(torch.from_numpy(preprocess(read_file(path), spec)))
        except InputRefused as error:
            refused(error)
        on_progress(Progress(stage="reading images", done=place, total=len(paths)))
    if len(found) < _FEWEST:
        raise UsageError(f"--images {folder}: {len(found)} usable images; a bottleneck takes {_FEWEST} at the least")
    return found
