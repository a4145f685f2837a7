"""Which codecs a bundle offers at a cut, and how many bytes no coder without a model of neighbours goes below."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import INPUT_CUT, Cut
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS
from suture_protocol.codecs.registry import codec_ids, codec_of


def offered(cut: Cut, boundary: tuple[NDArray[Any], ...]) -> list[Codec]:
    """Every codec that takes this boundary and whose loss may be taken there, in the registry's order."""
    specs = [*codec_ids(), *(f"zstd@{bits}" for bits in range(FULL_BITS - 1, MIN_BITS - 1, -1))]
    found = []
    for codec in map(codec_of, specs):
        takes = all(codec.accepts(tuple(tensor.shape), tensor.dtype.name) for tensor in boundary)
        if takes and codec.suits(is_input=cut.id == INPUT_CUT):
            found.append(codec)
    return found


def entropy_bytes(boundary: tuple[NDArray[Any], ...]) -> float:
    """Order-0 entropy of a boundary's bytes: what an ideal coder that knew each tensor's histogram would make of it."""
    total_bits = 0.0
    for tensor in boundary:
        counts = np.bincount(np.ascontiguousarray(tensor).view(np.uint8).ravel(), minlength=256)
        counts = counts[counts > 0]
        total_bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return total_bits / 8
