"""One run of the whole network, operation by operation: the time of each, and the real tensors at every cut."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from suture_cloud.tail import Tails
from suture_models.manifest import INPUT_CUT, Cut, Variant
from suture_models.program import subgraph
from suture_models.quant import quantise

_RUNS: Final = 5
_BUDGET_S: Final = 2.0


def layer_times(tails: Tails, image: NDArray[Any]) -> dict[str, float]:
    """The least time of each operation of the network over a few runs, in seconds, by its name in the graph."""
    walk = _Walk(tails, frozenset())
    least: dict[str, float] = {}
    until_s = time.perf_counter() + _BUDGET_S
    for turn in range(_RUNS + 1):
        times_s = walk.timed(image)
        if turn:  # the first one warms up
            least = {name: min(seconds, least.get(name, seconds)) for name, seconds in times_s.items()}
        if turn and time.perf_counter() > until_s:
            break
    return least


def boundaries(
    tails: Tails, cuts: Sequence[Cut], variant: Variant | None, image: NDArray[Any]
) -> Iterator[tuple[Cut, tuple[NDArray[Any], ...]]]:
    """What crosses each cut, as the heads of `variant` send it, for one image.

    The network runs in floating point and its tensors are coded with the variant's quantisers. A head computes in
    8 bits, so its codes differ, mostly by one; what decoding takes and what crosses in bytes does not depend on that.
    """
    held = _Walk(tails, frozenset(tensor.name for cut in cuts for tensor in cut.boundary)).held(image)
    for cut in cuts:
        yield cut, tuple(_as_sent(held[tensor.name], cut, i, variant) for i, tensor in enumerate(cut.boundary))


def _as_sent(values: NDArray[Any], cut: Cut, place: int, variant: Variant | None) -> NDArray[Any]:
    spec = cut.boundary[place]
    quant = None if variant is None or cut.id == INPUT_CUT else variant.quantiser(cut, spec)
    if quant is None:
        return np.ascontiguousarray(values.astype(spec.dtype, copy=False))
    return quantise(values.astype(np.float32, copy=False), quant)


class _Walk:
    """The whole network, run operation by operation; tensors named in `hold` are kept."""

    def __init__(self, tails: Tails, hold: Set[str]) -> None:
        program = tails.program
        self._device, self._input = tails.device, program.input
        made = subgraph(program, (program.input,), program.outputs, tails.device).eval()
        self._interpreter = _Interpreter(made, hold, cuda=tails.device.type == "cuda")

    def timed(self, image: NDArray[Any]) -> Mapping[str, float]:
        self._run(image)
        return self._interpreter.times_s()

    def held(self, image: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        self._run(image)
        found = {name: tensor.cpu().numpy() for name, tensor in self._interpreter.held.items()}
        return {**found, self._input: image}

    def _run(self, image: NDArray[Any]) -> None:
        tensor = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(self._device)
        self._interpreter.marks.clear()
        with torch.inference_mode():
            self._interpreter.run(tensor)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class _Interpreter(fx.Interpreter):
    """Marks the time before and after each operation: by the clock, or by events on the GPU's own time line.

    Events are not waited for in between, so on a GPU the times hold what launching costs, as in a run of the whole.
    """

    def __init__(self, module: fx.GraphModule, hold: Set[str], *, cuda: bool) -> None:
        super().__init__(module)
        self.held: dict[str, torch.Tensor] = {}
        self.marks: list[tuple[str, Any, Any]] = []
        self._hold, self._cuda = hold, cuda

    def run_node(self, n: fx.Node) -> Any:
        name = n.meta.get("node")
        if name is None:
            return super().run_node(n)
        before = self._mark()
        result = super().run_node(n)
        self.marks.append((name, before, self._mark()))
        if name in self._hold:
            self.held[name] = result
        return result

    def times_s(self) -> dict[str, float]:
        """Seconds of each operation of the last run; call it after the device has finished."""
        if self._cuda:
            return {name: before.elapsed_time(after) / 1e3 for name, before, after in self.marks}
        return {name: after - before for name, before, after in self.marks}

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
