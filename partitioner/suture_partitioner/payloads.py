"""What crosses each cut, really coded: codec times and payload sizes over several inputs, as medians and quantiles."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut
from suture_models.tables import BundleTables
from suture_partitioner.stopwatch import Stopwatch
from suture_partitioner.types import CutTiming, Side
from suture_protocol.codecs.base import Codec
from suture_protocol.payload import pack, unpack

Tensors = tuple[NDArray[Any], ...]

#: Codecs that both sides measure at each cut, by spec, since a plan needs encoding and decoding of the same one. A
#: lossy picture changes the answer and is used only when asked for; narrowed codes only within an accuracy budget.
PROFILED_CODECS: Final = (
    "zstd",
    "jpegls",
    "lossless-fast",
    "lossless-small",
    *(f"zstd@{bits}" for bits in (6, 4)),
    *(f"narrow@{point}" for point in (1, 2, 3, 4)),
)
#: Percentiles that `CutTiming.payload_quantiles_bytes` holds.
PERCENTILES: Final = (5, 25, 50, 75, 95)


@dataclass(slots=True)
class _Seen:
    """One codec at one cut: seconds and bytes, input by input."""

    spent_s: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class Payloads:
    """Codes what crosses each cut and keeps time and size of it.

    Args:
        side: What is timed: encoding on the edge, decoding in the cloud.
        codecs: Tried where they take the tensors and their loss may be taken; nothing at the last cut.
        watch: What to time with.
        tables: What the bundle knows of the tensors, for codecs that use that.
    """

    def __init__(
        self, side: Side, codecs: Sequence[Codec], watch: Stopwatch | None = None, tables: BundleTables | None = None
    ) -> None:
        self._side, self._codecs, self._watch = side, codecs, watch or Stopwatch()
        self._tables = tables
        self._seen: dict[str, dict[str, _Seen]] = {}
        self._warm: set[str] = set()

    def add(self, cut: Cut, boundary: Tensors) -> None:
        """Codes one input's boundary with every codec that fits; a codec's very first run only warms it up."""
        here = self._seen.setdefault(cut.id, {})
        for codec in self._fitting(cut, boundary):
            if codec.spec not in self._warm:
                self._once(boundary, codec)
                self._warm.add(codec.spec)
            spent_s, size = self._once(boundary, codec)
            seen = here.setdefault(codec.spec, _Seen())
            seen.spent_s.append(spent_s)
            seen.sizes.append(size)

    def put_into(self, cut_id: str, timing: CutTiming, slower: float = 1.0) -> CutTiming:
        """`timing` with what was seen at `cut_id`, the codecs' times multiplied by `slower`."""
        seen = self._seen.get(cut_id, {})
        return replace(
            timing,
            codec_s={codec: statistics.median(found.spent_s) * slower for codec, found in seen.items()},
            payload_bytes={codec: round(statistics.median(found.sizes)) for codec, found in seen.items()},
            payload_quantiles_bytes={codec: _quantiles(found.sizes) for codec, found in seen.items()},
        )

    def sizes(self) -> Mapping[str, int]:
        """Cut → the smallest median payload that keeps everything; cuts that send nothing are missing."""
        full = {codec.spec for codec in self._codecs if codec.lossless}
        found = {}
        for cut_id, seen in self._seen.items():
            medians = [statistics.median(entry.sizes) for codec, entry in seen.items() if codec in full]
            if medians:
                found[cut_id] = round(min(medians))
        return found

    def _fitting(self, cut: Cut, boundary: Tensors) -> list[Codec]:
        if cut.id == LAST_CUT:
            return []
        known = [codec if self._tables is None else self._tables.given_to(codec, cut) for codec in self._codecs]
        return [
            codec
            for codec in known
            if codec.suits(is_input=cut.id == INPUT_CUT)
            and all(
                codec.of_tensor(place).accepts(tuple(tensor.shape), tensor.dtype.name)
                for place, tensor in enumerate(boundary)
            )
        ]

    def _once(self, boundary: Tensors, codec: Codec) -> tuple[float, int]:
        (headers, payload), spent_s = self._watch.timed(lambda: pack(boundary, codec))
        if self._side == "cloud":
            _, spent_s = self._watch.timed(lambda: unpack(headers, payload, codec))
        return spent_s, len(payload)


def _quantiles(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(size) for size in np.rint(np.percentile(sizes, PERCENTILES)))
