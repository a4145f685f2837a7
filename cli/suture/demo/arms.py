"""The ways that the demonstration compares, by name: each is one of `suture_simulators.experiments.ways`."""

from __future__ import annotations

from typing import Final

from suture.demo.settings import JPEG_QUALITY, MIDDLE
from suture_edge.settings import AUTO
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_partitioner.types import Choice, Plan
from suture_simulators.experiments.ways import Outcome, Ways

_CUTS: Final = {"split": AUTO, "image_upload": INPUT_CUT, "edge_only": LAST_CUT}


class Arms:
    """All ways for one network and study. Not thread-safe."""

    def __init__(self, ways: Ways) -> None:
        """Prepares; nothing is sent yet."""
        self._ways = ways
        self.middle: Choice | None = None

    def plan(self) -> Plan:
        """The plan for the link as the traffic has shown it so far; sets the best middle cut."""
        plan = self._ways.plan()
        allowed = (choice for choice in (plan.chosen, *plan.rejected) if not choice.broken)
        inner = [choice for choice in allowed if choice.cut_id not in (INPUT_CUT, LAST_CUT)]
        self.middle = min(inner, key=lambda choice: choice.steps.total_s, default=None)
        return plan

    def run(self, arm: str) -> Outcome:
        """One result by one way.

        Raises:
            LinkError: the cloud could not be reached; what the unit then finishes alone is no sample of this way.
        """
        if arm == "dicom_upload":
            return self._ways.send_file()
        if arm == "jpeg_upload":
            return self._ways.infer(INPUT_CUT, "jpeg", (("quality", str(JPEG_QUALITY)),))
        cut = self.middle.cut_id if arm == MIDDLE and self.middle is not None else _CUTS.get(arm)
        if cut is None:
            raise ValueError(f"no way named {arm!r}, or no middle cut")
        return self._ways.infer(cut)
