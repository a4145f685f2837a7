"""Trains what the lossless codecs know of one tensor, and chooses their methods by the sizes measured. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suture_models.tabulate.contexts import train_contexts
from suture_protocol.codecs.fast import WINDOW_LOGS, deflate_fast
from suture_protocol.codecs.small import written_sizes
from suture_protocol.codecs.tables import METHODS, Method, TensorTables

#: Of so many inputs one is kept from training, to measure sizes on; at most so many are measured.
_KEPT_ONE_OF: Final = 6
_MEASURED_MOST: Final = 6
#: A method is worth trying that comes so close to the best over all inputs measured, or is the best for one of them.
#: Inputs of another kind suit the tables less: photographs at EfficientNet-B0's middle cuts, whose tables come from
#: radiographs, are 4 % smaller by JPEG-LS. zstd's top level takes twenty times as long as the others.
_CLOSE: Final[Mapping[Method, float]] = {"contexts": 1.15, "jpegls": 1.15, "jpegls-column": 1.15, "zstd": 1.05}


def train_tensor(codes: Sequence[NDArray[np.uint8]]) -> TensorTables:
    """Tables of one boundary tensor.

    Args:
        codes: Its uint8 codes for several inputs, all of one shape with a leading batch axis of 1.
    """
    kept = list(codes[_KEPT_ONE_OF - 1 :: _KEPT_ONE_OF]) or list(codes)
    others = [one for place, one in enumerate(codes) if place % _KEPT_ONE_OF != _KEPT_ONE_OF - 1]
    contexts = train_contexts(others)
    measured = [kept[place] for place in np.unique(np.linspace(0, len(kept) - 1, _MEASURED_MOST).astype(int))]
    methods = _worth_trying([written_sizes(one, contexts) for one in measured])
    windows = {log: sum(len(deflate_fast(one.tobytes(), log)) for one in measured) for log in WINDOW_LOGS}
    return TensorTables(
        shape=codes[0].shape,
        methods=methods,
        window_log=min(windows, key=lambda log: (windows[log], log)),
        contexts=contexts if "contexts" in methods else None,
    )


def _worth_trying(sizes: Sequence[dict[Method, int]]) -> tuple[Method, ...]:
    """Methods in the order of their sizes over all inputs, without those that are far from the best everywhere."""
    total: Counter[Method] = Counter()
    for one in sizes:
        total.update(one)
    best = min(total.values())
    worth = [
        method
        for method in METHODS
        if method in total
        and (total[method] <= _CLOSE[method] * best or any(one[method] == min(one.values()) for one in sizes))
    ]
    return tuple(sorted(worth, key=lambda method: total[method]))
