"""Calibration: ranges of all tensors that may cross a cut, measured with the float program. For building only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suture_models.manifest import QuantParams, TensorSpec
from suture_models.program import Program, subgraph
from suture_models.quant import params_from_range


def calibrated_quantisers(
    program: Program,
    tensors: Sequence[TensorSpec],
    inputs: Iterable[NDArray[Any]],
    progress: Callable[[], None] = lambda: None,
) -> dict[str, QuantParams]:
    """A per-tensor quantiser for each float32 tensor of `tensors`, over the range it takes on `inputs`.

    A tensor that is not finite on some input (a mask of minus infinities) gets none and crosses as it is.

    Args:
        program: The float program.
        tensors: Boundary tensors, each once.
        inputs: Calibration inputs of the program's input shape and dtype (batch 1).
        progress: Called after each input.
    """
    names = [t.name for t in tensors if t.dtype == "float32"]
    watched = subgraph(program, (program.input,), tuple(names))
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    with torch.inference_mode():
        for array in inputs:
            for place, value in enumerate(watched(torch.from_numpy(array))):
                low[place] = np.minimum(low[place], float(value.min()))  # numpy's minimum keeps a NaN
                high[place] = np.maximum(high[place], float(value.max()))
            progress()
    finite = np.isfinite(low) & np.isfinite(high)
    return {name: params_from_range(float(low[i]), float(high[i])) for i, name in enumerate(names) if finite[i]}
