"""The two kinds of experiments: over an emulated link, with a unit and a cloud, and in this process alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from suture_simulators.experiments.types import Experiment, Notes, Point, Record, Results, Settings

if TYPE_CHECKING:
    from suture_models.bundle import Bundle
    from suture_simulators.experiments.bench import Bench


@runtime_checkable
class LinkedExperiment(Experiment, Protocol):
    """One whose points are measured over an emulated link."""

    def estimate_s(self, point: Point, bench: Bench, settings: Settings) -> float:
        """About how long `run` will take at a point, from the profiles; the bench is up."""
        ...

    def run(self, point: Point, bench: Bench, record: Record, settings: Settings) -> Mapping[str, Any]:
        """Takes a point's samples; the bench's link, device and network are the point's, the connection is warm.

        Returns:
            Notes for the point's record: plain data.

        Raises:
            LinkError: the link to the cloud failed; the point is repeated once.
        """
        ...


@runtime_checkable
class LocalExperiment(Experiment, Protocol):
    """One that needs neither link nor emulated device.

    Attributes:
        provenance: Sentences for the report's head, under `emulated` and `real`.
    """

    provenance: Mapping[str, Sequence[str]]

    def expect_s(self, point: Point, settings: Settings) -> float:
        """About how long `measure` will take at a point; what the points take corrects it as they are measured."""
        ...

    def measure(self, point: Point, bundle: Bundle, record: Record, earlier: Results, settings: Settings) -> Notes:
        """Takes a point's samples.

        Args:
            point: One of `points`.
            bundle: That of its network.
            record: Keeps a sample.
            earlier: All that is measured so far, of this run and of those that it goes on with.
            settings: The run's.
        """
        ...
