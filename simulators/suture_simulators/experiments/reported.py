"""What every experiment says of its results by the same three names, in a report module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from types import ModuleType

    from suture_simulators.experiments.page import Section
    from suture_simulators.experiments.types import Results


class Reported:
    """The part of an `Experiment` that reads results: `figures`, `table` and `sections` of the module `report`.

    It is imported when first asked for, since measuring needs none of what drawing does.
    """

    report: ClassVar[str]

    def figures(self, results: Results) -> dict[str, float]:
        """See `Experiment.figures`."""
        found: dict[str, float] = self._module().figures(results)
        return found

    def table(self, results: Results) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """See `Experiment.table`."""
        found: tuple[Sequence[str], Sequence[Sequence[str]]] = self._module().table(results)
        return found

    def sections(self, results: Results) -> Sequence[Section]:
        """See `Experiment.sections`."""
        found: Sequence[Section] = self._module().sections(results)
        return found

    def _module(self) -> ModuleType:
        return import_module(self.report)
