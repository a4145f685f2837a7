"""Trains codec tables for every variant of a bundle that sends codes, and writes them into it. For building only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.calibration import varied_inputs
from suture_models.manifest import INPUT_CUT, LAST_CUT, ArtefactFile, Cut, Manifest, QuantParams, TensorSpec, Variant
from suture_models.program import Program, load_program, subgraph
from suture_models.quant import quantise
from suture_models.tables import TABLES_ROLE, tables_key
from suture_models.tabulate.points import code_weights, narrow_points
from suture_models.tabulate.sensitivity import Sensitivity, output_sensitivity
from suture_models.tabulate.tensors import train_tensor
from suture_models.zoo.threads import torch_threads
from suture_protocol.codecs.maps import grid_of
from suture_protocol.codecs.tables import TensorTables
from suture_protocol.codecs.tablesfile import tables_to_bytes

#: What the tensors of one run over all inputs may take; more of them take more runs.
_HELD_BYTES: Final = 512 * 1024 * 1024

#: Inputs that operating points are trained on: their tables are smaller than those of whole codes.
_POINT_INPUTS: Final = 24

#: A tensor of a variant: the key of its tables, what it is, and how it is coded.
_Coded = tuple[str, TensorSpec, QuantParams]

#: Runs a variant's head on inputs and gives the boundaries, or None where that variant cannot run here.
RunHead = Callable[[Bundle, Variant, Cut, Sequence[NDArray[Any]]], list[tuple[NDArray[Any], ...]] | None]
_Codes = Mapping[tuple[str, QuantParams], list[NDArray[np.uint8]]]


def add_tables(
    path: Path,
    inputs: Sequence[NDArray[np.generic]],
    step: Callable[[str], None] = lambda _text: None,
    run_head: RunHead | None = None,
) -> None:
    """Trains tables for the candidate cuts of each variant of the bundle at `path`, which gets another digest by it.

    Codes are those of the float network, put through the variant's quantisers: an INT8 head's differ from them mostly
    by one, which tables that follow a code's neighbours do not notice. A vector's codes have no neighbours, and how
    often each of them is does depend on the head (5 % of the bytes for EfficientNet-B0): with `run_head` they are the
    head's own. For networks that take pictures, synthetic ones are added to `inputs`, since a unit sees more than it
    was calibrated with. Older tables are replaced.

    Args:
        path: The bundle's directory.
        inputs: Calibration inputs of the network's input shape and dtype.
        step: Called with a text before each longer piece of work.
        run_head: Runs heads, where there are engines.

    Raises:
        BundleError: no bundle there, or a file of it is damaged.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    program = load_program(bundle.file(manifest.program), bundle.file(manifest.weights))
    wanted = {variant.id: _coded(manifest, variant) for variant in manifest.variants}
    every = {(spec.name, quant): spec for coded in wanted.values() for _, spec, quant in coded}
    specs = tuple({spec.name: spec for spec in every.values()}.values())
    everything = [*inputs, *varied_inputs(manifest.network)]
    own = {} if run_head is None else _own_codes(bundle, run_head, everything)
    with torch_threads(1):  # sums in another order give other tables, and another digest
        trained = _trained(program, every, specs, everything, inputs, own, step)
    variants = []
    for variant in manifest.variants:
        tables = {key: trained[spec.name, quant] for key, spec, quant in wanted[variant.id]}
        variants.append(_with_file(variant, tables, path) if tables else variant)
    text = replace(manifest, variants=tuple(variants)).to_json()
    # Not by `tempfile`, whose files are their owner's alone: a cloud may run as somebody else.
    new = path / f".{MANIFEST_NAME}.new"
    new.write_text(text, encoding="utf-8")
    new.replace(path / MANIFEST_NAME)


def _own_codes(bundle: Bundle, run_head: RunHead, inputs: Sequence[NDArray[Any]]) -> _Codes:
    """What the variants' own heads give of vectors, as far as they run here; variants with one quantiser share it."""
    found: dict[tuple[str, QuantParams], list[NDArray[np.uint8]]] = {}
    for variant in bundle.manifest.variants:
        for cut, place, quant in _crossing(bundle.manifest, variant):
            tensor = cut.boundary[place]
            if (tensor.name, quant) not in found and math.prod(grid_of(tensor.shape)[1:]) == 1:
                boundaries = run_head(bundle, variant, cut, inputs)
                if boundaries is not None:
                    found[tensor.name, quant] = [boundary[place] for boundary in boundaries]
    return found


def _trained(
    program: Program,
    every: Iterable[tuple[str, QuantParams]],
    specs: Sequence[TensorSpec],
    everything: Sequence[NDArray[np.generic]],
    inputs: Sequence[NDArray[np.generic]],
    own: _Codes,
    step: Callable[[str], None],
) -> dict[tuple[str, QuantParams], TensorTables]:
    """Tables of each tensor and quantiser, from the codes of `everything`; operating points from some of those, with
    what answers depend on as `inputs` alone show it."""
    trained: dict[tuple[str, QuantParams], TensorTables] = {}
    step("codec tables: what the answer depends on")
    moved = output_sensitivity(program, [spec.name for spec in specs], inputs) if specs else Sensitivity({}, 0.0)
    for done, (name, values) in enumerate(_values(program, specs, everything), start=1):
        step(f"codec tables: tensor {done} of {len(specs)}")
        for tensor, quant in every:
            if tensor == name:
                codes = own.get((name, quant)) or [quantise(value, quant) for value in values]
                weights = code_weights(moved.channels[name], quant)
                points = narrow_points(codes[:: max(1, len(codes) // _POINT_INPUTS)], weights, moved.spread)
                trained[name, quant] = replace(train_tensor(codes), points=points)
    return trained


def _coded(manifest: Manifest, variant: Variant) -> list[_Coded]:
    """What crosses the variant's candidate cuts as codes, each tensor once."""
    found: dict[str, _Coded] = {}
    for cut, place, quant in _crossing(manifest, variant):
        key = tables_key(variant, cut, cut.boundary[place])
        found[key] = (key, cut.boundary[place], quant)
    return list(found.values())


def _crossing(manifest: Manifest, variant: Variant) -> Iterator[tuple[Cut, int, QuantParams]]:
    """The variant's candidate cuts, with the place of each tensor that crosses as codes, and its quantiser."""
    for cut in manifest.cuts:
        if cut.candidate and cut.id not in (INPUT_CUT, LAST_CUT) and variant.has_cut(cut):
            for place, tensor in enumerate(cut.boundary):
                quant = variant.quantiser(cut, tensor)
                if quant is not None:
                    yield cut, place, quant


def _values(
    program: Program, specs: Sequence[TensorSpec], inputs: Sequence[NDArray[np.generic]]
) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """Each tensor's name and its values for all inputs, as many tensors from one run as may be held."""
    waiting = list(specs)
    while waiting:
        group: list[str] = []
        held = 0
        while waiting and (not group or held + 4 * waiting[0].elements * len(inputs) <= _HELD_BYTES):
            held += 4 * waiting[0].elements * len(inputs)
            group.append(waiting.pop(0).name)
        watched = subgraph(program, (program.input,), tuple(group))
        with torch.inference_mode():
            runs = [[np.array(t.numpy(), np.float32) for t in watched(torch.from_numpy(one))] for one in inputs]
        for place, name in enumerate(group):
            yield name, [run[place] for run in runs]


def _with_file(variant: Variant, tables: Mapping[str, TensorTables], root: Path) -> Variant:
    """The variant with its file, which it shares with those that have the same quantisers."""
    folder = root / "tables"
    folder.mkdir(exist_ok=True)
    content = tables_to_bytes(tables)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{digest[:16]}.bin"
    path.write_bytes(content)
    artefact = ArtefactFile(path=path.relative_to(root).as_posix(), sha256=digest, size_bytes=len(content))
    return replace(variant, files={**variant.files, TABLES_ROLE: artefact})
