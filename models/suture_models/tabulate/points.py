"""Allots each channel of a tensor its step, by what the answer loses and what is saved: `narrow`'s operating points.

Axes: P points, C channels, S steps to choose from. Torch-free; `suture_models.tabulate.sensitivity` measures.

What quantising a channel costs the answer is its mean squared error times how much the outputs move with that channel
(to first order, errors taken as independent); what it saves is the order-0 entropy of its symbols. For a given price of
a bit each channel takes the step with the least sum (Shoham and Gersho 1988, doi:10.1109/29.90373), and the price is
sought at which all channels together move the outputs as much as the operating point allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import QuantParams
from suture_models.tabulate.contexts import train_contexts
from suture_protocol.codecs.maps import codes_of, points_of
from suture_protocol.codecs.steps import to_codes, to_symbols
from suture_protocol.codecs.tables import NO_STEP, SYMBOLS, ChannelSteps, NarrowPoint

#: How far the outputs may move, as a share of how much they differ from input to input (both root mean square).
#: At deep cuts of MobileNetV2 for pneumonia that makes codes 10-12, 12-14, 15-18 and 25-39 times smaller than float32.
DISTORTIONS: Final = (0.04, 0.056, 0.08, 0.16)
#: Codes that the tables of an operating point are sought with, and counted from.
_SEARCHED: Final = 300_000
_COUNTED: Final = 2_000_000
#: Steps to choose from, about half an octave apart; with the last one nothing of a channel crosses.
_STEPS: Final = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, NO_STEP)
#: Prices of a bit that are tried: decimal logarithms of their range, and halvings of it.
_PRICES: Final = (-30.0, 30.0)
_TURNS: Final = 50


def code_weights(moved: NDArray[np.float64], quant: QuantParams) -> NDArray[np.float64]:
    """How much the outputs move with an error of 1 in each channel's codes, from how much with one in its values."""
    scales = np.array(quant.scale)
    if len(scales) > 1 and len(scales) != len(moved):
        # Scales along another axis than the channels: the coarsest errs on the side of finer steps.
        scales = scales.max(keepdims=True)
    return np.asarray(moved * scales**2)


def narrow_points(
    codes: Sequence[NDArray[np.uint8]], weights: NDArray[np.float64], spread: float
) -> tuple[NarrowPoint, ...]:
    """The operating points of a tensor, one for each of `DISTORTIONS`; none where the outputs do not differ at all.

    Args:
        codes: As `narrow_point`.
        weights: As `narrow_point`.
        spread: Mean squared distance of the outputs from their mean over inputs.
    """
    if not spread or not codes or not codes[0].size:
        return ()
    return tuple(narrow_point(codes, weights, share**2 * spread) for share in DISTORTIONS)


def narrow_point(codes: Sequence[NDArray[np.uint8]], weights: NDArray[np.float64], allowed: float) -> NarrowPoint:
    """The operating point at which the outputs move by `allowed`.

    Args:
        codes: The tensor's for several inputs, all of one shape with a leading batch axis of 1.
        weights: (C,) mean squared movement of the outputs for a mean squared error of 1 in a channel's codes.
        allowed: Mean squared movement of the outputs that all channels together may cause.

    Raises:
        ValueError: there are no codes.
    """
    points = [points_of(one) for one in codes]
    shares = _shares(points)
    often, middle = _centres(shares)
    errors_CS, bits_CS = _measured(shares, often, middle)
    chosen = _allotted(errors_CS * weights[:, np.newaxis], bits_CS, allowed)
    steps = np.array(_STEPS, np.uint16)[chosen]
    channels = ChannelSteps(centres=np.where(steps == NO_STEP, middle, often), steps=steps)
    symbols = [codes_of(to_symbols(points_PC, channels), codes[0].shape) for points_PC in points]
    contexts = train_contexts(symbols, searched=_SEARCHED, counted=_COUNTED)
    if contexts is None:
        raise ValueError("an operating point needs codes of at least one input")
    return NarrowPoint(channels=channels, contexts=contexts)


def _shares(points: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """How often each code stands in each channel (C, 256); rows add up to 1."""
    channels = points[0].shape[1]
    counts = np.zeros(channels * SYMBOLS)
    for points_PC in points:
        joint = points_PC.astype(np.intp) + SYMBOLS * np.arange(channels)
        counts += np.bincount(joint.ravel(), minlength=channels * SYMBOLS)
    shares = counts.reshape(channels, SYMBOLS)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _centres(shares: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The most frequent code of each channel, so that a rectifier's zeros stay zeros, and the mean one."""
    mean = (shares * np.arange(SYMBOLS)).sum(axis=1)
    return shares.argmax(axis=1).astype(np.uint8), np.rint(mean).astype(np.uint8)


def _measured(
    shares: NDArray[np.float64], often: NDArray[np.uint8], middle: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each channel and step the mean squared error of the codes, and the bits of a symbol; both (C, S)."""
    channels = len(shares)
    every = np.arange(SYMBOLS, dtype=np.uint8)[:, np.newaxis].repeat(channels, axis=1)
    errors, bits = [], []
    for step in _STEPS:
        tried = ChannelSteps(centres=middle if step == NO_STEP else often, steps=np.full(channels, step, np.uint16))
        symbols = to_symbols(every, tried)
        squares = (to_codes(symbols, tried).astype(np.float64) - every) ** 2
        errors.append((shares * squares.T).sum(axis=1))
        grouped = np.zeros((channels, SYMBOLS))
        np.add.at(grouped, (np.arange(channels)[:, np.newaxis], symbols.T), shares)
        bits.append(-(grouped * np.log2(np.maximum(grouped, 1e-12))).sum(axis=1))
    return np.stack(errors, axis=1), np.stack(bits, axis=1)


def _allotted(costs_CS: NDArray[np.float64], bits_CS: NDArray[np.float64], allowed: float) -> NDArray[np.intp]:
    """The step of each channel at the highest price of a bit at which the costs stay within `allowed`."""
    low, high = _PRICES
    for _ in range(_TURNS):
        price = (low + high) / 2
        chosen = (costs_CS + 10.0**price * bits_CS).argmin(axis=1)
        within = np.take_along_axis(costs_CS, chosen[:, np.newaxis], axis=1).sum() <= allowed
        low, high = (price, high) if within else (low, price)
    best: NDArray[np.intp] = (costs_CS + 10.0**low * bits_CS).argmin(axis=1)
    return best
