"""LiteRT artefacts: one flat buffer per cut, converted from the head and quantised to INT8 (about 10 s a cut)."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suture_models.guard import one_line, quiet_stderr
from suture_models.litertgraph import ordered_outputs
from suture_models.manifest import LAST_CUT, Cut, QuantParams, TensorSpec
from suture_models.program import Program, subgraph
from suture_models.quantisers.litertflat import last_layer, recipe, with_corrected_biases
from suture_models.quantisers.rounding import Shift
from suture_protocol.errors import BundleError

#: LiteRT codes are int8; the wire's are uint8.
_CODE_SHIFT = 128
#: Least weight of an output channel, as a share of its layer's largest.
_TRACE = 1e-5


def default_cuts(cuts: Sequence[Cut], count: int = 8) -> list[Cut]:
    """The whole network and `count` candidates spread evenly over the multiply-accumulates."""
    middle = [c for c in cuts[1:-1] if c.candidate]
    if len(middle) <= count:
        return [*middle, cuts[-1]]
    total = cuts[-1].head_macs or 1
    chosen: list[Cut] = []
    for step in range(count):
        goal = total * (step + 1) / (count + 1)
        left = [c for c in middle if c not in chosen]
        chosen.append(min(left, key=lambda c: abs(c.head_macs - goal)))
    return [c for c in cuts if c in chosen or c.id == LAST_CUT]


def convert(
    program: Program,
    outputs: Sequence[str],
    inputs: Sequence[NDArray[Any]],
    shifts: Sequence[Shift],
    float_path: Path,
    int8_path: Path,
) -> None:
    """Writes the head of `program` that computes `outputs` as two flat buffers, float and INT8.

    `shifts` are those of the program's layers on the int8 grid (see `rounding`).

    Raises:
        BundleError: the converter knows an operator not at all; some it does not survive, so that a job of its own
            process calls this (see `litertjob`).
    """
    with _quiet():
        import litert_torch
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer

        head = subgraph(program, (program.input,), tuple(outputs)).eval()
        try:
            litert_torch.convert(head, (torch.from_numpy(inputs[0]),)).export(str(float_path))
        except Exception as error:  # the converter raises whatever its passes do
            raise BundleError(f"LiteRT's converter fails ({one_line(error)[:120]})") from error
        kept = last_layer(float_path) if tuple(outputs) == program.outputs else None
        signature, arguments = next(iter(Interpreter(str(float_path)).get_signature_list().items()))
        worker = quantizer.Quantizer(with_corrected_biases(float_path, shifts, kept), recipe(kept))
        observed = [worker.calibrate({signature: [{arguments["inputs"][0]: array}]}) for array in inputs]
        worker.quantize(_widest(observed)).export_model(str(int8_path), overwrite=True)


def without_dead_channels(program: Program) -> Program:
    """The program with a trace put into output channels of convolutions that are (nearly) all zero.

    Biases are stored in steps of input scale x weight scale. A channel without weights has next to no weight scale, its
    bias overflows 32 bits, and what should be a constant is clipped: MobileNetV2 has such channels. The trace changes
    the float network by a hundred-thousandth.
    """
    weights = dict(program.weights)
    for node in program.nodes:
        reference = node.args[1] if node.target.startswith("aten.conv") and len(node.args) > 1 else None
        if not isinstance(reference, dict) or "w" not in reference or "transpose" in node.target:
            continue
        weight = weights[reference["w"]].clone()
        rows = weight.flatten(1)
        least = rows.abs().max() * _TRACE
        rows[rows.abs().amax(dim=1) < least, 0] = least
        weights[reference["w"]] = rows.reshape(weight.shape)
    return dataclasses.replace(program, weights=weights)


def _widest(observed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The range of each tensor over all inputs; left to itself the quantiser takes a moving average, which clips."""
    merged = dict(observed[0])
    for one in observed[1:]:
        for name, found in one.items():
            kept = merged.setdefault(name, found)
            if "min" in found and "min" in kept:
                low, high = np.minimum(kept["min"], found["min"]), np.maximum(kept["max"], found["max"])
                merged[name] = {**kept, "min": low, "max": high}
    return merged


def quantisers(path: Path, boundary: Sequence[TensorSpec]) -> dict[str, QuantParams]:
    """Quantisers of the codes that an INT8 flat buffer gives, by tensor name; none for outputs left in float."""
    from ai_edge_litert.interpreter import Interpreter

    details = ordered_outputs(Interpreter(str(path)), len(boundary))
    found: dict[str, QuantParams] = {}
    for tensor, detail in zip(boundary, details, strict=True):
        scale, zero_point = detail["quantization"]
        if detail["dtype"] is np.int8 and scale:
            offset = float(np.float32(-(zero_point + _CODE_SHIFT) * scale))
            found[tensor.name] = QuantParams(scale=(float(scale),), offset=(offset,), origin="graph")
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter's own progress and its native log off the terminal; errors still raise."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    sink = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            quiet_stderr(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
