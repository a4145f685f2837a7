"""Codec tables made by integer arithmetic alone, so that they are the same everywhere and for ever."""

from __future__ import annotations

from functools import cache

import numpy as np

from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.maps import grid_of
from suture_protocol.codecs.registry import codec_ids, codec_of
from suture_protocol.codecs.tables import (
    NO_STEP,
    SYMBOLS,
    ChannelSteps,
    ContextTables,
    NarrowPoint,
    TensorTables,
)

#: The specs that the contract is tested with: every codec, those that narrow at several widths and points.
SPECS = (
    *(codec_id for codec_id in codec_ids() if codec_id != "narrow"),
    *("zstd@2", "zstd@3", "zstd@4", "zstd@7"),
    *("narrow@1", "narrow@2"),
)


@cache
def contexts(channels: int, scale: int = 1) -> ContextTables:
    """Codes near the mean of their neighbours: two classes, the second one less sure; `scale` codes to a symbol."""
    sum_bins = np.arange(64, 1021, 64, dtype=np.uint16)
    spread_bins = np.array([24], np.uint8)
    codes = np.arange(SYMBOLS)
    costs = np.zeros((2, 1 + 2 * (len(sum_bins) + 1), SYMBOLS), np.uint8)
    for sure, slope in enumerate((4 * scale, 2 * scale)):
        for context in range(1, costs.shape[1]):
            centre = 16 * ((context - 1) // 2) + 8
            away = np.abs(codes - centre)
            costs[sure, context] = np.minimum(away * slope // (1 + (context - 1) % 2), 255)
    return ContextTables(
        home=(np.arange(channels) % 2).astype(np.uint8),
        jumps=np.array([[2, 16], [16, 2]], np.uint8),
        sum_bins=sum_bins,
        spread_bins=spread_bins,
        costs=costs,
    )


@cache
def tensor_tables(shape: tuple[int, ...]) -> TensorTables | None:
    """Tables for a tensor, some of its channels without any step; None where it has no axes or no elements."""
    channels = grid_of(shape)[0]
    if not shape or 0 in shape:
        return None
    centres = (np.arange(channels) * 37 % SYMBOLS).astype(np.uint8)
    fine = (2 + np.arange(channels) % 7).astype(np.uint16)
    coarse = np.where(np.arange(channels) % 3 == 2, NO_STEP, 5 * fine).astype(np.uint16)
    return TensorTables(
        shape=shape,
        methods=("contexts", "jpegls"),
        window_log=14,
        contexts=contexts(channels),
        points=tuple(
            NarrowPoint(channels=ChannelSteps(centres=centres, steps=steps), contexts=contexts(channels, scale))
            for steps, scale in ((fine, 2), (coarse, 8))
        ),
    )


def codec_at(spec: str, shape: tuple[int, ...]) -> Codec:
    """The codec of `spec` for a boundary of one tensor, with tables for it."""
    return codec_of(spec, tables=(tensor_tables(shape),))
