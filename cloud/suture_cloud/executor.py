"""The executor interface: where tails run. Plain picklable data in and out, no grpc, so batching and Ray fit later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TailRequest:
    """One decoded request. `tensors` are the boundary in the cut's order, codes (uint8) or raw, batch axis 1. What is
    urgent need not wait for the end of what is not, see `Executor`."""

    bundle_digest: str
    cut_id: str
    variant_id: str
    tensors: tuple[NDArray[Any], ...]
    urgent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TailResult:
    """Named outputs of the network (float32, batch axis 1), and the time the tail took, dequantising included.

    `stopped_s`, not part of `tail_s`, is for how long it waited within the executor or was stopped for urgent ones.
    """

    outputs: dict[str, NDArray[Any]]
    tail_s: float
    stopped_s: float = 0.0
    error: str = ""


class Executor(Protocol):
    """Runs tails. `run` answers in the order of its requests; a failed request has `error` set.

    Attributes:
        preempts: Whether it stops what is not urgent for as long as something urgent runs. It may then be given
            urgent requests while it runs others.
    """

    preempts: bool

    async def run(self, requests: list[TailRequest]) -> list[TailResult]: ...
