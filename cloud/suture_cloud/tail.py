"""Tails: the part of a network behind a cut, in torch, from the bundle's float program."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from suture_cloud.executor import TailRequest, TailResult
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, Cut, QuantParams
from suture_models.program import Program, load_program, subgraph
from suture_protocol.errors import BundleError, UsageError

#: Tails share the program's weights, so keeping one costs little more than its graph.
_TAILS_KEPT = 64


def choose_device(name: str) -> torch.device:
    """The device that `--device auto|cpu|cuda` means here.

    Raises:
        UsageError: cuda was asked for and torch has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: choose auto, cpu or cuda")
    return torch.device(name)


class Tails:
    """The tails of one bundle on one device, built on first use and kept."""

    def __init__(self, bundle: Bundle, device: torch.device, between: Callable[[], None] | None = None) -> None:
        """Loads the program of `bundle` and moves its weights to `device`; `between` is called before each operation.

        Raises:
            BundleError: the program cannot be read.
        """
        self.bundle = bundle
        self.device = device
        self._between = between
        manifest = bundle.manifest
        program = load_program(bundle.file(manifest.program), bundle.file(manifest.weights))
        weights = {key: value.to(device) for key, value in program.weights.items()}
        self.program = Program(input=program.input, nodes=program.nodes, outputs=program.outputs, weights=weights)
        self._built: OrderedDict[str, fx.GraphModule] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, request: TailRequest) -> dict[str, NDArray[Any]]:
        """Dequantises the boundary of `request` and finishes the forward pass.

        Returns:
            The network's outputs by name, float32, batch axis leading.

        Raises:
            BundleError: the bundle lacks the cut or the variant, or the tensors are not those of its boundary.
        """
        cut = self.bundle.cut(request.cut_id)
        with torch.inference_mode():
            outputs = self._tail(cut)(*self._boundary(request, cut))
        names = (t.name for t in self.bundle.manifest.outputs)
        return {n: o.to(torch.float32).cpu().numpy() for n, o in zip(names, outputs, strict=True)}

    def prepare(self, cut: Cut) -> None:
        """Builds the tail of `cut`, if it is not at hand, so that `run` starts at once."""
        self._tail(cut)

    def _boundary(self, request: TailRequest, cut: Cut) -> list[torch.Tensor]:
        if len(request.tensors) != len(cut.boundary):
            raise BundleError(f"cut {cut.id} has {len(cut.boundary)} tensors, the request {len(request.tensors)}")
        variant = None if cut.id == INPUT_CUT else self.bundle.variant(request.variant_id)
        tensors = []
        batch = request.tensors[0].shape[:1]
        for array, spec in zip(request.tensors, cut.boundary, strict=True):
            dtype = spec.dtype if variant is None else variant.wire_dtype(cut, spec)
            if array.shape != (*batch, *spec.shape[1:]) or array.dtype.name != dtype:
                expected = f"{dtype} {spec.shape} for any batch"
                raise BundleError(f"cut {cut.id}: {spec.name} is {array.dtype} {array.shape}, expected {expected}")
            tensor = torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)
            quant = variant.quantiser(cut, spec) if variant is not None else None
            tensors.append(tensor if quant is None else _dequantised(tensor, quant))
        return tensors

    def _tail(self, cut: Cut) -> fx.GraphModule:
        with self._lock:
            if cut.id not in self._built:
                inputs = tuple(t.name for t in cut.boundary)
                tail = subgraph(self.program, inputs, self.program.outputs, self.device).eval()
                self._built[cut.id] = tail if self._between is None else _with_calls(tail, self._between)
                while len(self._built) > _TAILS_KEPT:
                    self._built.popitem(last=False)
            self._built.move_to_end(cut.id)
            return self._built[cut.id]


def _dequantised(codes: torch.Tensor, quant: QuantParams) -> torch.Tensor:
    """`suture_models.quant.dequantise` on the tensor's own device."""
    shape = [1] * codes.dim()
    if quant.axis is not None:
        shape[quant.axis] = -1
    scale = torch.tensor(quant.scale, device=codes.device).reshape(shape)
    offset = torch.tensor(quant.offset, device=codes.device).reshape(shape)
    return codes.to(torch.float32) * scale + offset


def _with_calls(module: fx.GraphModule, call: Callable[[], None]) -> fx.GraphModule:
    """`module`, with `call` before each of its operations."""
    for node in list(module.graph.nodes):
        if node.op == "call_function":
            with module.graph.inserting_before(node):
                module.graph.call_function(call)
    module.recompile()
    return module


class LocalExecutor:
    """Runs tails in this process, one request at a time; urgent ones between the operations of others."""

    def __init__(self, bundles: Sequence[Bundle], device: torch.device, *, threads: int = 1) -> None:
        """Loads every bundle's program.

        Args:
            bundles: The bundles to serve.
            device: Where tails run. On the CPU alone it preempts: elsewhere what was launched cannot be held up.
            threads: torch's threads on the CPU, for the whole process; few small tails gain from more than one.

        Raises:
            BundleError: a program cannot be read.
        """
        torch.set_num_threads(threads)
        self.preempts = device.type == "cpu"
        known = weakref.ref(self)  # torch.fx keeps for ever what a graph calls

        def between() -> None:
            if (executor := known()) is not None:
                executor._let_pass()

        self.tails = {bundle.digest: Tails(bundle, device, between if self.preempts else None) for bundle in bundles}
        # One thread that stays warm: torch keeps much per thread. What is urgent runs on it, too, within the other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tail")
        self._ident = 0
        self._urgent: deque[tuple[TailRequest, float, Future[TailResult]]] = deque()
        self._passing = False
        self._passed_s = 0.0

    async def run(self, requests: list[TailRequest]) -> list[TailResult]:
        """See `Executor.run`."""
        return [await asyncio.wrap_future(self._submitted(request)) for request in requests]

    def run_one(self, request: TailRequest, waited_s: float = 0.0) -> TailResult:
        """One request, timed, which had waited for the thread so long before; an error is told in the result."""
        start_s, passed_s = time.perf_counter(), self._passed_s
        outputs: dict[str, NDArray[Any]] = {}
        said = ""
        try:
            if request.bundle_digest not in self.tails:
                have = ", ".join(digest[:12] for digest in self.tails) or "none"
                raise BundleError(f"this executor does not hold bundle {request.bundle_digest[:12]}; it has: {have}")
            outputs = self.tails[request.bundle_digest].run(request)
        except (BundleError, RuntimeError) as error:
            said = str(error) or repr(error)
        passed_s = self._passed_s - passed_s
        tail_s = time.perf_counter() - start_s - passed_s
        return TailResult(outputs=outputs, tail_s=tail_s, stopped_s=waited_s + passed_s, error=said)

    def _submitted(self, request: TailRequest) -> Future[TailResult]:
        now_s = time.perf_counter()
        if not (request.urgent and self.preempts):
            return self._thread.submit(self._run_routine, request, now_s)
        done: Future[TailResult] = Future()
        self._urgent.append((request, now_s, done))
        self._thread.submit(self._run_urgent)  # where nothing runs that would
        return done

    def _run_routine(self, request: TailRequest, since_s: float) -> TailResult:
        self._ident = threading.get_ident()
        return self.run_one(request, time.perf_counter() - since_s)

    def _run_urgent(self) -> None:
        self._ident = threading.get_ident()
        self._let_pass()

    def _let_pass(self) -> None:
        """Runs the urgent requests that wait; they do not overtake each other."""
        # Tails that are measured run on a thread of their own.
        if not self._urgent or self._passing or threading.get_ident() != self._ident:
            return
        self._passing = True
        start_s = time.perf_counter()
        try:
            while self._urgent:
                request, since_s, done = self._urgent.popleft()
                if done.set_running_or_notify_cancel():
                    try:
                        done.set_result(self.run_one(request, time.perf_counter() - since_s))
                    except BaseException as error:  # noqa: BLE001 whoever waits for it is told; the other one goes on
                        done.set_exception(error)
        finally:
            self._passing = False
            self._passed_s += time.perf_counter() - start_s
