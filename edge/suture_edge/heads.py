"""Compiled heads of one bundle, engine and variant, kept for reuse: a cut that was used before starts at once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray

from suture_edge.engines.base import Engine, Head
from suture_edge.engines.registry import load_head
from suture_edge.slowdown import Slowdown, full_speed
from suture_models.bundle import Bundle
from suture_models.manifest import Cut, Variant

#: A MobileNetV2 head takes a few MB; the unit has 300.
HEADS_KEPT = 4


class Heads:
    """The heads of one variant. Not thread-safe."""

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        variant: Variant,
        *,
        threads: int = 1,
        slow: Slowdown = full_speed,
        kept: int = HEADS_KEPT,
    ) -> None:
        """Prepares; nothing is loaded yet. Of the heads, `kept` stay loaded."""
        self.bundle = bundle
        self.engine = engine
        self.variant = variant
        self.threads = threads
        self._slow = slow
        self._room = kept
        self._kept: OrderedDict[str, Head] = OrderedDict()

    def run(self, cut: Cut, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Runs the head of `cut`, loading it if it is not at hand; see `Head.run`.

        Raises:
            BundleError: the variant has no head for that cut.
            CapabilityMissing: the engine's library is not installed.
        """
        return self._slow(self.prepare(cut).run)(image)

    def prepare(self, cut: Cut) -> Head:
        """The head of `cut`, loaded; raises as `run` does."""
        if cut.id not in self._kept:
            head = load_head(self.engine, self.bundle, self.variant, cut, threads=self.threads)
            while len(self._kept) >= self._room:
                self._kept.popitem(last=False)[1].close()
            self._kept[cut.id] = head
        self._kept.move_to_end(cut.id)
        return self._kept[cut.id]

    def close(self) -> None:
        """Frees every head."""
        while self._kept:
            self._kept.popitem()[1].close()
