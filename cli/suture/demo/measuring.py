"""What is measured over one link: every way to the result for each network and study, taking turns, after a warm-up."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from suture.demo.arms import Arms
from suture.demo.preparing import heads_of
from suture.demo.settings import ARMS, MIDDLE
from suture_edge.client import CloudClient
from suture_edge.settings import UnitSettings
from suture_models.bundle import Bundle, open_bundle
from suture_models.preprocess import preprocess
from suture_models.walk import read_bytes, read_file
from suture_partitioner.types import Plan
from suture_simulators.device import dilate, limit_isa
from suture_simulators.experiments.types import Report
from suture_simulators.experiments.ways import TIMEOUT_S, Outcome, Prepared, Ways

#: A way whose samples took this long together gets no further ones.
_ARM_BUDGET_S: Final = 2.0
#: A file that would take longer than this is not sent to warm up: slow start is nothing beside it.
_WARM_UP_S: Final = 0.5
_REJECTED_KEPT: Final = 12


def measure(config: dict[str, Any], client: CloudClient, tell: Report) -> dict[str, Any]:
    """The job `measure`.

    Args:
        config: `pairs` (bundle, study and what reading and preprocessing take), `device_factor`, `isa`, `repeats`,
            `rate_bps`, `seed`.
        client: Connected to the cloud over the link.
        tell: Told how it goes.
    """
    limit_isa(config["isa"])
    factor = config["device_factor"]
    slow = dilate(factor)
    total = len(config["pairs"]) * config["repeats"]
    entries = []
    for place, pair in enumerate(config["pairs"]):
        bundle = open_bundle(Path(pair["bundle"]))
        study = _prepared(pair, bundle)

        def told(done: int, text: str, place: int = place, name: str = f"{bundle.name}, {pair['name']}") -> None:
            tell(place * config["repeats"] + done, total, f"{name}: {text}")

        heads = heads_of(bundle, "int8", slow)
        settings = UnitSettings(device_factor=factor, timeout_s=TIMEOUT_S)
        arms = Arms(Ways(heads, client, study, slow, settings, _opener(Path(pair["study"]))))
        base = {"network": bundle.name, "study": pair["name"], "before_s": study.before_s}
        entries.append({**base, **_compare(arms, study, config, told)})
        heads.close()
    return {"entries": entries}


def _prepared(pair: Mapping[str, Any], bundle: Bundle) -> Prepared:
    path = Path(pair["study"])
    return Prepared(
        name=pair["name"],
        file=read_bytes(path),
        image=preprocess(read_file(path), bundle.manifest.network),
        read_s=pair["read_s"],
        preprocess_s=pair["preprocess_s"],
    )


def _opener(path: Path) -> Any:
    return lambda: read_bytes(path)


def _compare(arms: Arms, study: Prepared, config: Mapping[str, Any], told: Any) -> dict[str, Any]:
    """Every sample of every way, and the plan that the split followed."""
    told(0, "warming up")
    arms.run("image_upload")
    arms.run("edge_only")
    if 8 * len(study.file) / config["rate_bps"] < _WARM_UP_S:
        arms.run("dicom_upload")
    arms.run("jpeg_upload")
    arms.run("image_upload")
    first = arms.plan()
    ways = [*ARMS, *([MIDDLE] if arms.middle is not None else [])]
    for way in ("split", MIDDLE):
        if way in ways:
            arms.run(way)
    samples: dict[str, list[Outcome]] = {way: [] for way in ways}
    shuffler = random.Random(config["seed"])
    for turn in range(config["repeats"]):
        # In a new order each time, so that no way always follows the one that leaves TCP's window wide open.
        shuffler.shuffle(ways)
        for way in ways:
            if sum(s.total_s - study.before_s * (way != "dicom_upload") for s in samples[way]) < _ARM_BUDGET_S:
                told(turn, way.replace("_", " "))
                samples[way].append(arms.run(way))
    return _entry(arms, arms.plan(), first, samples)


def _entry(arms: Arms, plan: Plan, first: Plan, samples: Mapping[str, list[Outcome]]) -> dict[str, Any]:
    split = samples["split"]
    cut = statistics.mode(s.cut for s in split)
    chosen = next(s for s in split if s.cut == cut)
    return {
        "cut": cut,
        "codec": chosen.codec,
        "payload_bytes": chosen.payload_bytes,
        "outputs": chosen.outputs,
        "times_s": {
            way: statistics.median(s.total_s for s in found) for way, found in samples.items() if way != MIDDLE
        },
        "middle": _middle(arms, samples.get(MIDDLE, [])),
        "payloads_bytes": {way: found[-1].payload_bytes for way, found in samples.items()},
        "outputs_by_way": {way: found[-1].outputs for way, found in samples.items()},
        "samples": {way: [s.total_s for s in found] for way, found in samples.items()},
        "cuts_used": [s.cut for s in split],
        "plan": _plan(plan, cut),
        "plan_at_start": {"chosen": dataclasses.asdict(first.chosen), "link": dataclasses.asdict(first.link)},
    }


def _middle(arms: Arms, found: list[Outcome]) -> dict[str, Any] | None:
    if arms.middle is None or not found:
        return None
    return {
        "cut": found[-1].cut,
        "codec": found[-1].codec,
        "payload_bytes": found[-1].payload_bytes,
        "time_s": statistics.median(s.total_s for s in found),
        "predicted_s": arms.middle.steps.total_s,
    }


def _plan(plan: Plan, cut: str) -> dict[str, Any]:
    """The plan as data; `predicted_s` is that of the cut that was in use, which may have changed on the way."""
    used = next((c for c in (plan.chosen, *plan.rejected) if c.cut_id == cut and not c.broken), plan.chosen)
    rejected = sorted(plan.rejected, key=lambda choice: bool(choice.broken))  # what was possible comes first
    return {
        "chosen": dataclasses.asdict(plan.chosen),
        "predicted_s": used.steps.total_s,
        "rejected": [dataclasses.asdict(c) | {"total_s": c.steps.total_s} for c in rejected[:_REJECTED_KEPT]],
        "link_estimate": dataclasses.asdict(plan.link),
    }
