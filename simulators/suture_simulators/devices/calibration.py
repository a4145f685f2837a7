"""Calibration: what a slow device was set to against what came out, on one operation, and whether it may be quoted."""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from suture_simulators.devices.dilation import WARM_RUNS, WARM_S

#: Set and measured may differ by so much.
TOLERANCE: Final = 0.1
#: So many of the slowed calls may miss it by more: their median says nothing of the late ones.
_LATE_SHARE_MAX: Final = 1 / 3
#: Beyond it the machine counts as busy: so much longer than its processor time did a plain call take.
_BUSY: Final = 1.1
_BLOCK: Final = bytes(64 * 1024)
_BLOCKS: Final = 24
_RUNS: Final = 2


class Slowing(Protocol):
    """What can be calibrated."""

    @property
    def factor(self) -> float:
        """How many times slower it is set to."""

    def timed(self, operation: Callable[[], object], /) -> float:
        """Seconds that one call takes on the slow device."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a factor was set to and what came out, on one operation; medians over `pairs` calls, two and two in turns.

    Attributes:
        set_factor: The factor in force.
        measured_factor: `slowed_s` ÷ `plain_s`.
        plain_s: Processor time of a plain call in a loop without pauses: the time it takes where nothing else runs.
        plain_wall_s: Time that a plain call took here; much more than `plain_s` on a machine that is busy otherwise.
        slowed_s: Time that a slowed call took.
        late_share: Share of the slowed calls that took over 10 % longer than set.
        pairs: Calls of each kind.
        operation: What was run, for people.
        invalid_reason: Why figures taken now should not be quoted; empty where they may.
    """

    set_factor: float
    measured_factor: float
    plain_s: float
    plain_wall_s: float
    slowed_s: float
    late_share: float
    pairs: int
    operation: str
    invalid_reason: str

    @property
    def valid(self) -> bool:
        """Whether set and measured agree within 10 %, and not in the median only."""
        return not self.invalid_reason

    def __str__(self) -> str:
        text = (
            f"emulated device: set to {self.set_factor:.3g} times slower, measured {self.measured_factor:.3g} on "
            f"{self.operation} ({self.plain_s * 1e3:.2f} ms becomes {self.slowed_s * 1e3:.2f} ms, "
            f"median of {self.pairs})"
        )
        return text if self.valid else f"{text}; INVALID, do not quote its times: {self.invalid_reason}"

    def to_json(self) -> dict[str, Any]:
        """The calibration as plain data, with `valid`."""
        return {**dataclasses.asdict(self), "valid": self.valid}


def calibrate(
    device: Slowing,
    operation: Callable[[], object] | None = None,
    *,
    name: str = "",
    budget_s: float = 1.5,
    pairs_min: int = 4,
    pairs_max: int = 50,
) -> Calibration:
    """Measures the slow-down that `device` really gives, plain and slowed calls taking turns, on a warm core.

    Args:
        device: The slow device.
        operation: What to run, for instance one inference; by default about a millisecond of hashing.
        name: What that is, for people.
        budget_s: Stops after this time, once it has `pairs_min` calls of each kind.
        pairs_min: Calls of each kind whatever they take: of four slow ones the median scatters by up to 20 %.
        pairs_max: Stops after so many calls of each kind.
    """
    plain = operation if operation is not None else _hash_something
    plain()
    plains: list[tuple[float, float]] = []
    slowed: list[float] = []
    end_s = time.perf_counter() + budget_s
    while len(slowed) < pairs_max and (len(slowed) < pairs_min or time.perf_counter() < end_s):
        _warm_up(plain)
        plains += [_plain(plain) for _ in range(_RUNS)]
        slowed += [device.timed(plain) for _ in range(_RUNS)]
    used_s, wall_s = (statistics.median(column) for column in zip(*plains, strict=True))
    return judged(
        set_factor=device.factor,
        plain_s=used_s,
        plain_wall_s=wall_s,
        slowed=slowed,
        operation=name or ("a millisecond of hashing" if operation is None else "one operation"),
    )


def judged(
    *, set_factor: float, plain_s: float, plain_wall_s: float, slowed: list[float], operation: str
) -> Calibration:
    """The calibration that these figures make, with the verdict on it."""
    slowed_s = statistics.median(slowed)
    late = sum(took_s > (1 + TOLERANCE) * set_factor * plain_s for took_s in slowed) / len(slowed)
    off = slowed_s / plain_s / set_factor - 1
    reasons = []
    if abs(off) > TOLERANCE:
        reasons.append(f"measured and set differ by {off:+.0%} (10 % allowed)")
    elif late > _LATE_SHARE_MAX:
        reasons.append(f"{late:.0%} of the slowed calls took over 10 % too long ({_LATE_SHARE_MAX:.0%} allowed)")
    if reasons and plain_wall_s > _BUSY * plain_s:
        reasons.append(f"other processes took {1 - plain_s / plain_wall_s:.0%} of the core: run it on a quiet machine")
    return Calibration(
        set_factor=set_factor,
        measured_factor=slowed_s / plain_s,
        plain_s=plain_s,
        plain_wall_s=plain_wall_s,
        slowed_s=slowed_s,
        late_share=late,
        pairs=len(slowed),
        operation=operation,
        invalid_reason="; ".join(reasons),
    )


def _warm_up(operation: Callable[[], object]) -> None:
    end_s = time.perf_counter() + WARM_S
    for _ in range(WARM_RUNS):
        operation()
        if time.perf_counter() > end_s:
            return


def _plain(operation: Callable[[], object]) -> tuple[float, float]:
    """Processor time and wall time of one call."""
    began_s, processor_s = time.perf_counter(), time.process_time()
    operation()
    used_s, wall_s = time.process_time() - processor_s, time.perf_counter() - began_s
    return min(used_s, wall_s), wall_s


def _hash_something() -> None:
    digest = hashlib.sha256()
    for _ in range(_BLOCKS):
        digest.update(_BLOCK)
