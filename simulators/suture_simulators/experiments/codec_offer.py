"""Which codecs a bundle offers at a cut, and how many bytes no coder without a model of neighbours goes below."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, Cut, Variant
from suture_models.tables import BundleTables
from suture_protocol.codecs.base import Codec
from suture_protocol.codecs.layout import array_to_bytes
from suture_protocol.codecs.narrow import FULL_BITS, MIN_BITS
from suture_protocol.codecs.narrowed import NarrowCodec
from suture_protocol.codecs.registry import codec_ids, codec_of
from suture_protocol.codecs.small import entropy_bytes


def offered(bundle: Bundle, variant: Variant, cut: Cut, boundary: tuple[NDArray[Any], ...]) -> list[Codec]:
    """Every codec that takes this boundary and whose loss may be taken there: in the registry's order, then by width.

    Raises:
        BundleError: the bundle's codec tables are damaged.
    """
    tables = BundleTables(bundle, variant)
    points = max((len(entry.points) for entry in tables.of(cut) if entry is not None), default=0)
    specs = [codec_id for codec_id in codec_ids() if codec_id != NarrowCodec.id]
    specs += [f"{NarrowCodec.id}@{point + 1}" for point in range(points)]
    specs += [f"zstd@{bits}" for bits in range(FULL_BITS - 1, MIN_BITS - 1, -1)]
    found = []
    for spec in specs:
        codec = tables.given_to(codec_of(spec), cut)
        takes = all(codec.of_tensor(place).accepts(t.shape, t.dtype.name) for place, t in enumerate(boundary))
        if takes and codec.suits(is_input=cut.id == INPUT_CUT):
            found.append(codec)
    return found


def boundary_entropy_bytes(boundary: tuple[NDArray[Any], ...]) -> float:
    """Order-0 entropy of a boundary's bytes: what an ideal coder that knew each tensor's histogram would make of it."""
    return sum(entropy_bytes(array_to_bytes(tensor)) for tensor in boundary)
