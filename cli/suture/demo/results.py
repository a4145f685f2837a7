"""From what the units measured to results.json: one entry per link, network and study, flat figures, the setting."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from suture.demo.advice import Where, advise
from suture.demo.settings import ARM_TITLES, ARMS, DemoSettings, link_name
from suture.demo.studies import Study
from suture.demo.words import cut_title, winner_of
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, NetworkSpec
from suture_partitioner.candidates import candidates
from suture_partitioner.device import device_fingerprint
from suture_partitioner.profile_file import profile_from_json

_VERSIONED: Final = ("suture", "torch", "openvino", "nncf", "grpcio", "numpy", "pydicom")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One link's measurements; `link_report` None where the link was this machine's loopback."""

    rate_bps: float
    rtt_s: float
    measured: dict[str, Any]
    link_report: dict[str, Any] | None


def compose(
    settings: DemoSettings,
    bundles: Sequence[Bundle],
    read: Sequence[Study],
    prepared: dict[str, Any],
    runs: Sequence[Run],
) -> dict[str, Any]:
    """The whole of `results.json` as plain data."""
    by_name = {bundle.name: bundle for bundle in bundles}
    by_study = {study.name: study for study in read}
    links = []
    for run in runs:
        for entry in run.measured["entries"]:
            study, bundle = by_study[entry["study"]], by_name[entry["network"]]
            links.append(_entry(run, entry, study, bundle.manifest.network, prepared))
    advices = {name: _advice(bundle, prepared, settings, links) for name, bundle in by_name.items()}
    return {
        "links": links,
        "figures": _figures(links, prepared, advices),
        "curves": {name: _curves(bundle, prepared) for name, bundle in by_name.items()},
        "before_s": _before(runs),
        "advice": {name: [dataclasses.asdict(where) for where in advice] for name, advice in advices.items()},
        "configuration": _configuration(settings, bundles),
        "studies": {study.name: _study(study, prepared) for study in read},
        "device": prepared["device"],
        "calibration": prepared["calibration"],
        "calibration_text": prepared["calibration_text"],
        "cloud_device": prepared["cloud_device"],
        "machine": dict(device_fingerprint()),
        "kernel": f"{platform.system()} {platform.release()}",
        "congestion_control": _congestion_control(runs),
        "link_emulated": all(run.link_report is not None for run in runs),
        "link_reports": {link_name(run.rate_bps): run.link_report for run in runs},
        "versions": _versions(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": settings.seed,
        "profiles": {
            name: {side: json.loads(text) for side, text in both.items()} for name, both in prepared["profiles"].items()
        },
        "note": "Not for diagnosis.",
    }


def _entry(
    run: Run, entry: dict[str, Any], study: Study, spec: NetworkSpec, prepared: dict[str, Any]
) -> dict[str, Any]:
    times_s = {arm: entry["times_s"][arm] for arm in ARMS}
    report = run.link_report
    return {
        "rate_bps": run.rate_bps,
        "rtt_s": run.rtt_s,
        "link_emulated": report is not None,
        "link_valid": None if report is None else report["valid"],
        "network": entry["network"],
        "weights": spec.weights,
        "study": study.name,
        "study_bytes": study.path.stat().st_size,
        **{name: entry[name] for name in ("cut", "codec", "payload_bytes", "outputs")},
        "times_s": times_s,
        "winner": winner_of(times_s, entry["cut"]),
        "before_s": entry["before_s"],
        "split_is": {INPUT_CUT: "image_upload", LAST_CUT: "edge_only"}.get(entry["cut"], "middle"),
        "predicted_s": entry["plan"]["predicted_s"],
        "finding": finding(entry["outputs"], spec, study),
        "why": why(entry),
        **{
            name: entry[name] for name in ("middle", "payloads_bytes", "outputs_by_way", "samples", "cuts_used", "plan")
        },
        "plan_at_start": entry["plan_at_start"],
        "device_factor": prepared["device"]["factor"],
    }


def finding(outputs: Mapping[str, Any], spec: NetworkSpec, study: Study) -> dict[str, Any]:
    """What the outputs say: the label with its probability, and whether it is right where a label is on record."""
    if spec.weights == "random":
        return {"text": "random weights: no finding", "random": True}
    numbers = {name: value for name, value in outputs.items() if isinstance(value, float)}
    if not numbers:
        return {"text": ", ".join(outputs), "random": False}
    if len(spec.labels) == 2:
        # The threshold is that of the second label, the finding.
        label = spec.labels[1] if numbers[spec.labels[1]] >= spec.threshold else spec.labels[0]
    else:
        label = max(numbers, key=numbers.__getitem__)
    found: dict[str, Any] = {"label": label, "probability": numbers[label], "random": False}
    found["text"] = f"{label}, probability {numbers[label]:.3f}"
    if study.label:
        found["on_record"], found["right"] = study.label, label == study.label
        found["text"] += f" ({'right' if found['right'] else 'wrong'}: {study.label} on record)"
    else:
        found["text"] += " (no finding on record)"
    return found


def why(entry: Mapping[str, Any]) -> str:
    """Why the plan chose as it did: what the next best would have cost more."""
    for lost in entry["plan"]["rejected"]:
        if lost["cut_id"] != entry["cut"] and not lost["broken"]:
            return f"next best, cut {cut_title(lost['cut_id'])}: {lost['reason']}"
    return "nothing else was possible"


def _advice(
    bundle: Bundle, prepared: dict[str, Any], settings: DemoSettings, links: Sequence[dict[str, Any]]
) -> tuple[Where, ...]:
    found = prepared["profiles"][bundle.name]
    edge, cloud = profile_from_json(found["edge"]), profile_from_json(found["cloud"])
    jpeg = [e["payloads_bytes"]["jpeg_upload"] for e in links if e["network"] == bundle.name]
    return advise(
        bundle.manifest,
        edge,
        cloud,
        factor=prepared["device"]["factor"],
        rtt_s=settings.rtt_s,
        rates_bps=settings.rates_bps,
        jpeg_bytes=min(jpeg),
    )


def _curves(bundle: Bundle, prepared: dict[str, Any]) -> list[dict[str, Any]]:
    """What is needed to draw the planner's lines: per candidate its bytes and the time that no link changes."""
    found = prepared["profiles"][bundle.name]
    edge, cloud = profile_from_json(found["edge"]), profile_from_json(found["cloud"])
    return [
        {"cut": c.cut.id, "codec": c.codec, "payload_bytes": c.payload_bytes, "fixed_s": c.fixed_s}
        for c in candidates(bundle.manifest, [edge], cloud)
        if c.cut.candidate
    ]


def _before(runs: Sequence[Run]) -> dict[str, float]:
    """Network/study → time of reading and preprocessing, which counts in every way but the DICOM file."""
    return {f"{e['network']}/{e['study']}": e["before_s"] for run in runs for e in run.measured["entries"]}


def _figures(
    links: Sequence[dict[str, Any]], prepared: dict[str, Any], advices: Mapping[str, Sequence[Where]]
) -> dict[str, float]:
    figures: dict[str, float] = {
        "device_factor_ratio": prepared["device"]["factor"],
        "device_factor_measured_ratio": prepared["calibration"]["measured_factor"],
    }
    for entry in links:
        key = f"{entry['network']}/{entry['study']}/{link_name(entry['rate_bps'])}"
        times_s = entry["times_s"]
        for arm, time_s in times_s.items():
            figures[f"{key}/{arm}_s"] = time_s
        figures[f"{key}/predicted_s"] = entry["predicted_s"]
        figures[f"{key}/predicted_to_measured_ratio"] = entry["predicted_s"] / times_s["split"]
        figures[f"{key}/payload_bytes"] = entry["payload_bytes"]
        figures[f"{key}/split_to_dicom_upload_ratio"] = times_s["split"] / times_s["dicom_upload"]
        rivals = min(time_s for arm, time_s in times_s.items() if arm != "split")
        figures[f"{key}/split_to_best_rival_ratio"] = times_s["split"] / rivals
        if entry["middle"] is not None:
            figures[f"{key}/middle_s"] = entry["middle"]["time_s"]
            figures[f"{key}/middle_to_best_rival_ratio"] = entry["middle"]["time_s"] / rivals
    for network, advice in advices.items():
        for rate_bps, factor in advice[0].factor_by_rate:
            if factor is not None:
                figures[f"{network}/{link_name(rate_bps)}/middle_wins_from_device_factor_ratio"] = factor
    return figures


def _configuration(settings: DemoSettings, bundles: Sequence[Bundle]) -> dict[str, Any]:
    raw = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    return {
        **{name: _plain(value) for name, value in raw.items()},
        "ways": dict(ARMS),
        "way_titles": dict(ARM_TITLES),
        "bundle_digests": {bundle.name: bundle.digest for bundle in bundles},
        "engine": "openvino INT8, one thread",
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _study(study: Study, prepared: dict[str, Any]) -> dict[str, Any]:
    times = prepared["studies"][str(study.path)]
    return {
        "file": study.path.name,
        "bytes": study.path.stat().st_size,
        "title": study.title,
        "label_on_record": study.label,
        "remark": study.remark,
        "read_samples_s": times["read_s"],
        "preprocess_samples_s": times["preprocess_s"],
    }


def _congestion_control(runs: Sequence[Run]) -> str:
    reports = [run.link_report for run in runs if run.link_report is not None]
    if reports:
        return str(reports[0]["congestion_control"])
    try:
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
