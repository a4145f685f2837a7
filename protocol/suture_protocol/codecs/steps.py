"""Codes in steps of their channel, and back; knows no codec.

Axes: P grid points, C channels. A channel's symbols are how many steps a code is from its centre, rounded and counted
from the lowest; so the centre comes back as it was, and every other code within half a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.tables import SYMBOLS, ChannelSteps


def to_symbols(points_PC: NDArray[np.uint8], channels: ChannelSteps) -> NDArray[np.uint8]:
    """The (P, C) symbols of codes."""
    return np.take_along_axis(_symbols(channels).T, points_PC.astype(np.intp), axis=0)


def last_symbols(channels: ChannelSteps) -> NDArray[np.uint8]:
    """The largest symbol of each channel (C,): that of code 255."""
    return _symbols(channels)[:, -1]


def to_codes(symbols_PC: NDArray[np.uint8], channels: ChannelSteps) -> NDArray[np.uint8]:
    """The (P, C) codes that symbols stand for."""
    steps = symbols_PC.astype(np.int32) - _below(channels)
    codes = channels.centres.astype(np.int32) + steps * channels.steps.astype(np.int32)
    return np.clip(codes, 0, SYMBOLS - 1).astype(np.uint8)


def _below(channels: ChannelSteps) -> NDArray[np.int32]:
    """How many symbols each channel has below that of its centre (C,)."""
    steps = channels.steps.astype(np.int32)
    found: NDArray[Any] = (channels.centres + steps // 2) // steps
    return found


def _symbols(channels: ChannelSteps) -> NDArray[np.uint8]:
    """The symbol of each code in each channel (C, 256)."""
    steps = channels.steps.astype(np.int32)[:, np.newaxis]
    away = np.arange(SYMBOLS, dtype=np.int32) - channels.centres.astype(np.int32)[:, np.newaxis]
    found: NDArray[Any] = (away + steps // 2) // steps + _below(channels)[:, np.newaxis]
    return found.astype(np.uint8)
