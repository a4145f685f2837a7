"""The executor interface: where tails run. Plain picklable data in and out, no grpc, so batching and Ray fit later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TailRequest:
    """One decoded request. `tensors` are the boundary in the cut's order, codes (uint8) or raw, batch axis 1."""

    bundle_digest: str
    cut_id: str
    variant_id: str
    tensors: tuple[NDArray[Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TailResult:
    """Named outputs of the network (float32, batch axis 1), and the time the tail took, dequantising included."""

    outputs: dict[str, NDArray[Any]]
    tail_s: float
    error: str = ""


class Executor(Protocol):
    """Runs tails. `run` answers in the order of its requests; a failed request has `error` set."""

    async def run(self, requests: list[TailRequest]) -> list[TailResult]: ...
