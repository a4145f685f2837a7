"""What codecs know of a boundary tensor beforehand: tables trained when the bundle was built. Data only, no files.

Axes: C channels, K classes of channels, Q contexts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

#: How a tensor may be coded by `lossless-small`; the byte that its payloads begin with.
Method = Literal["zstd", "jpegls", "contexts", "jpegls-column"]
METHODS: Final[tuple[Method, ...]] = ("zstd", "jpegls", "contexts", "jpegls-column")

#: Values of a code.
SYMBOLS: Final = 256
#: The step with which nothing crosses: no code is half of it away from any centre.
NO_STEP: Final = 512
#: The largest sum of four codes.
MOST_SUM: Final = 4 * 255


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ContextTables:
    """How likely each code is, by the class of its channel and the context of its known neighbours.

    A channel's class is chosen for each input and sent: what it usually is (`home`), and how likely it is another then.
    The context is where the sum of four neighbours lies among `sum_bins`, and their spread among `spread_bins`;
    context 0 is that of codes without neighbours. Probabilities are costs: 2^(-cost / 8), of which only ratios count.

    Args:
        home: (C,) uint8, classes.
        jumps: (K, K) uint8, cost of each class (columns) for channels at home in a class (rows).
        sum_bins: uint16, ascending; the lower ends of all bins but the first, among 0 … 1,020.
        spread_bins: uint8, ascending, likewise among 0 … 255.
        costs: (K, Q, 256) uint8, Q = 1 + (sum bins + 1) x (spread bins + 1).
    """

    home: NDArray[np.uint8]
    jumps: NDArray[np.uint8]
    sum_bins: NDArray[np.uint16]
    spread_bins: NDArray[np.uint8]
    costs: NDArray[np.uint8]
    models: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        classes, contexts, symbols = self.costs.shape
        wanted = 1 + (len(self.sum_bins) + 1) * (len(self.spread_bins) + 1)
        if not 1 <= classes <= SYMBOLS or contexts != wanted or symbols != SYMBOLS:
            raise ValueError(f"tables of {classes} classes, {contexts} contexts and {symbols} symbols do not fit")
        if classes * contexts >= 1 << 16:
            raise ValueError(f"{classes} classes in {contexts} contexts are more than 16 bits number")
        if self.jumps.shape != (classes, classes) or not self.home.size or int(self.home.max()) >= classes:
            raise ValueError(f"channels do not fit {classes} classes")
        for bins, most in ((self.sum_bins, MOST_SUM), (self.spread_bins, SYMBOLS - 1)):
            if len(bins) and (np.any(np.diff(bins.astype(int)) <= 0) or int(bins[0]) < 1 or int(bins[-1]) > most):
                raise ValueError("bins of contexts do not ascend within their range")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChannelSteps:
    """How coarse each channel is.

    Args:
        centres: (C,) uint8, the code that comes back as it was.
        steps: (C,) uint16, 1 … `NO_STEP`, with which every code comes back as the centre.
    """

    centres: NDArray[np.uint8]
    steps: NDArray[np.uint16]

    def __post_init__(self) -> None:
        if self.centres.shape != self.steps.shape or not self.steps.size:
            raise ValueError("centres and steps of an operating point are of different channels")
        if int(self.steps.min()) < 1 or int(self.steps.max()) > NO_STEP:
            raise ValueError(f"steps of an operating point are not within 1 … {NO_STEP}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NarrowPoint:
    """One operating point of narrowed codes: how coarse its channels are, and how their symbols are distributed."""

    channels: ChannelSteps
    contexts: ContextTables

    def __post_init__(self) -> None:
        if self.channels.steps.shape != self.contexts.home.shape:
            raise ValueError("steps and tables of an operating point are of different channels")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TensorTables:
    """Tables of one tensor, for all the codecs that use some.

    Args:
        shape: The tensor's, with its batch axis of 1.
        methods: For `lossless-small`: those worth trying, best first.
        window_log: For `lossless-fast`: the logarithm of the window; 0 is one window for all.
        contexts: For `lossless-small`: how its codes are distributed.
        points: For `narrow`: operating points from fine to coarse.
    """

    shape: tuple[int, ...]
    methods: tuple[Method, ...]
    window_log: int
    contexts: ContextTables | None
    points: tuple[NarrowPoint, ...] = ()
