"""A small bundle, an executor that really computes its tails with numpy, and a cloud server to talk to over TCP."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from suture_cloud.budget import MAX_MEMORY_BYTES
from suture_cloud.executor import TailRequest, TailResult
from suture_cloud.ports import PlainPorts
from suture_cloud.server import CloudConfig, CloudServer, serve
from suture_edge.uploads import CloudRequest, request_of
from suture_models.bundle import MANIFEST_NAME, Bundle, open_bundle
from suture_models.manifest import (
    LAST_CUT,
    ArtefactFile,
    Cut,
    GraphNode,
    Manifest,
    NetworkSpec,
    Preprocess,
    QuantParams,
    TensorSpec,
    Variant,
)
from suture_models.quant import dequantise, quantise
from suture_protocol.address import Address
from suture_protocol.codecs.registry import get_codec
from suture_protocol.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SIDE = 16
WIDE = (1, 16, 56, 56)  # 50,176 codes: the size that latency is measured with
BULK = (1, 16, 112, 112)
BULK_BYTES = 200_704
VARIANT = "numpy-int8"

_IMAGE = TensorSpec(name="image", shape=(1, 1, SIDE, SIDE), dtype="uint8")
_POOLED = TensorSpec(name="pooled", shape=(1, 1, SIDE // 2, SIDE // 2), dtype="float32")
_SKIP = TensorSpec(name="skip", shape=(1, 1, SIDE, SIDE), dtype="float32")
_WIDE = TensorSpec(name="wide", shape=WIDE, dtype="float32")
_BULK = TensorSpec(name="bulk", shape=BULK, dtype="float32")
_SCORE = TensorSpec(name="score", shape=(1, 2), dtype="float32")
_UNIT = QuantParams(scale=(1 / 255,), offset=(0.0,))


def head(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes of the boundary of cut `mid`: the image averaged 2 by 2, and the image itself past it."""
    values = image.astype(np.float32) / 255
    pooled = values.reshape(1, 1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(3, 5))
    return quantise(pooled, _UNIT), quantise(values, _UNIT)


def whole(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network: its score is the largest average and the mean."""
    pooled, skip = head(image)
    return score(pooled, skip)


def score(pooled: NDArray[np.uint8], skip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The tail of cut `mid`."""
    return np.array([[dequantise(pooled, _UNIT).max(), dequantise(skip, _UNIT).mean()]], dtype=np.float32)


def write_bundle(path: Path, name: str = "threshold") -> Bundle:
    """Writes and opens the bundle of this network: cuts `0`, `mid` (two tensors), `wide`, `bulk`, `last`."""
    nothing = ArtefactFile(path="none", sha256="0" * 64, size_bytes=0)
    cut = {"head_macs": 0, "tail_macs": 0}
    manifest = Manifest(
        network=NetworkSpec(
            name=name,
            kind="image",
            input=_IMAGE,
            preprocess=Preprocess(size=(SIDE, SIDE), channels=1),
            output="tensor",
            labels=(),
            weights="random",
        ),
        graph=(
            GraphNode(name="pooled", op="avg_pool2d", inputs=("image",), shape=_POOLED.shape, dtype="float32"),
            GraphNode(name="skip", op="div", inputs=("image",), shape=_SKIP.shape, dtype="float32"),
            GraphNode(name="score", op="cat", inputs=("pooled", "skip"), shape=_SCORE.shape, dtype="float32"),
        ),
        outputs=(_SCORE,),
        cuts=(
            Cut(id="0", index=0, boundary=(_IMAGE,), **cut),
            Cut(id="mid", index=2, boundary=(_POOLED, _SKIP), **cut),
            Cut(id="wide", index=2, boundary=(_WIDE,), **cut),
            Cut(id="bulk", index=2, boundary=(_BULK,), **cut),
            Cut(id="last", index=3, boundary=(_SCORE,), **cut),
        ),
        variants=(
            Variant(
                id=VARIANT,
                engine="numpy",
                precision="int8",
                files={"model": nothing},
                quant={"pooled": _UNIT, "skip": _UNIT, "wide": _UNIT, "bulk": _UNIT},
            ),
        ),
        program=nothing,
        weights=nothing,
        built_with={},
    )
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return open_bundle(path)


class NumpyHead:
    """A head of this network, in numpy."""

    def __init__(self, cut_id: str) -> None:
        self.cut_id = cut_id
        self.closed = False

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        assert not self.closed
        if self.cut_id in ("wide", "bulk"):
            return (np.resize(image, WIDE if self.cut_id == "wide" else BULK),)
        return (whole(image),) if self.cut_id == LAST_CUT else head(image)

    def layer_times_s(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self.closed = True


class NumpyEngine:
    """Heads of this network."""

    name = "numpy"

    def version(self) -> str:
        return "1"

    def load(self, bundle: Bundle, variant: Variant, cut: Cut, *, threads: int = 1) -> NumpyHead:
        return NumpyHead(cut.id)


class NumpyExecutor:
    """Computes the tails of this network. A cut `wide` tail is a mean; `hold` makes requests wait, `fail` raises.

    Args:
        delay_s: What it takes longer for each batch, as a slow device does.
        keep: Whether to keep in `ran` what it was given.
    """

    preempts = False

    def __init__(self, delay_s: float = 0.0, *, keep: bool = True) -> None:
        self._delay_s, self._keep = delay_s, keep
        self.ran: list[list[TailRequest]] = []
        self.fail: Callable[[TailRequest], str] = lambda request: ""
        self._go = threading.Event()
        self._go.set()
        self.started = threading.Event()

    def hold(self) -> None:
        self._go.clear()

    def let_go(self) -> None:
        self._go.set()

    async def run(self, requests: list[TailRequest]) -> list[TailResult]:
        self.started.set()
        while not self._go.is_set():
            await asyncio.sleep(0.001)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._keep:
            self.ran.append(requests)
        return [self._one(request) for request in requests]

    def _one(self, request: TailRequest) -> TailResult:
        begin = time.perf_counter()
        if error := self.fail(request):
            return TailResult(outputs={}, tail_s=0.0, error=error)
        outputs: dict[str, NDArray[Any]]
        match request.cut_id:
            case "0":
                outputs = {"score": whole(request.tensors[0])}
            case "mid":
                outputs = {"score": score(request.tensors[0], request.tensors[1])}
            case "wide" | "bulk":
                outputs = {"mean": request.tensors[0].mean(dtype=np.float32).reshape(1, 1)}
            case _:
                outputs = {"score": request.tensors[0]}
        return TailResult(outputs=outputs, tail_s=time.perf_counter() - begin)


class RunningCloud:
    """A cloud server on a free port of this machine's loopback, on a thread with an event loop of its own."""

    def __init__(self, *bundles: Bundle, profiles: Any = None, listen_port: int = 0, **config: Any) -> None:
        self.executor = NumpyExecutor()
        self.config = CloudConfig(listen=Address(host="127.0.0.1", port=listen_port), **config)
        self._bundles = bundles
        self._profiles = profiles
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._error: UsageError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(20)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.begin_stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def begin_stop(self) -> None:
        with suppress(RuntimeError):  # its loop is closed: it was told before
            self.loop.call_soon_threadsafe(self._stop.set)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = CloudServer(self._bundles, self.executor, PlainPorts(insecure=True), self.config, self._profiles)
        try:
            self.address = await server.start()
        except UsageError as error:
            self._error = error
            return
        finally:
            self._ready.set()
        self.server = server
        await self._stop.wait()
        await server.stop()


def mid_request(bundle: Bundle, seed: int = 0, codec: str = "zstd", **fields: Any) -> tuple[CloudRequest, Any]:
    """A request at cut `mid` and the score it must give."""
    image = np.random.default_rng(seed).integers(0, 256, (1, 1, SIDE, SIDE), dtype=np.uint8)
    request = request_of(
        head(image), get_codec(codec), bundle_digest=bundle.digest, cut_id="mid", variant_id=VARIANT, **fields
    )
    return request, whole(image)


def wide_request(bundle: Bundle, seed: int = 1, **fields: Any) -> CloudRequest:
    """A request whose payload is 50,176 bytes, uncompressed."""
    codes = np.random.default_rng(seed).integers(0, 256, WIDE, dtype=np.uint8)
    return request_of(
        [codes], get_codec("raw"), bundle_digest=bundle.digest, cut_id="wide", variant_id=VARIANT, **fields
    )


def bulk_request(bundle: Bundle) -> CloudRequest:
    """A request whose payload is large enough to fill a path, uncompressed."""
    codes = np.random.default_rng(1).integers(0, 256, BULK, dtype=np.uint8)
    return request_of([codes], get_codec("raw"), bundle_digest=bundle.digest, cut_id="bulk", variant_id=VARIANT)


def changed(request: CloudRequest, **fields: Any) -> CloudRequest:
    return dataclasses.replace(request, **fields)


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for a state of another thread that has no event to wait for."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the expected state was not reached"
        threading.Event().wait(0.002)


@contextmanager
def cloud_process(bundle: Bundle, pace: str = "hold", **more: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cloud as a process of its own, killed in the end; see `main`."""
    given = [str(bundle.path), pace, *map(str, more.values())]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cloud.harness", *given], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate(timeout=10)


def main(bundle_path: str, pace: str, memory_bytes: str = str(MAX_MEMORY_BYTES)) -> None:
    """A cloud as a process of its own, until SIGINT or SIGTERM; writes its address as one line.

    `pace` is what its executor takes for each batch in seconds, or `hold` for one that never answers.
    """
    executor = NumpyExecutor(0.0 if pace == "hold" else float(pace), keep=False)
    if pace == "hold":
        executor.hold()

    def tell(address: Address) -> None:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()

    bundles = [open_bundle(Path(bundle_path))]
    limit = {"memory_bytes": int(memory_bytes)}
    asyncio.run(serve(bundles, "127.0.0.1:0", "cpu", True, executor, on_ready=tell, **limit))


if __name__ == "__main__":
    main(*sys.argv[1:])
