"""Whether the link's backends agree: the same profile, and the same inference, on each that this machine has.

    python docs/benchmarks/bench_backends.py --bundle bundles/pneumonia_mobilenet_v2

Round trip and goodput come from `suture link check`'s own measurement; the inference is `suture infer`, a process of a
unit at the near end, against a real `suture cloud` past the far one. `tun` is what the others are held against.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from common import running_cloud, write_report

import suture_models
from suture.console import stderr_console
from suture_models.bundle import open_bundle
from suture_simulators.backends import usable_backends
from suture_simulators.check import LinkCheck, check
from suture_simulators.link import Backend, EmulatedLink
from suture_simulators.link_profile import LinkProfile

_RTT_S, _GOODPUT, _INFERENCE = 2e-3, 0.05, 0.05
_LINKS = ((1e6, 0.02), (5e6, 0.02), (20e6, 0.02), (50e6, 0.02), (20e6, 0.0025), (20e6, 0.05))
_INFERENCE_LINK = (20e6, 0.02)
_IMAGES = Path(suture_models.__file__).parent / "calibration"
# The first of each process connects and warms the tail.
_WARM_UP = 4


def main(
    bundle: Annotated[Path, typer.Option(help="A bundle of the pneumonia network.")],
    seconds: Annotated[float, typer.Option(min=1.0, help="How long each goodput is measured.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, help="Processes per cut and backend, taken in turn.")] = 4,
    attempts: Annotated[int, typer.Option(min=1, help="How often a run that calls itself invalid is repeated.")] = 3,
) -> None:
    """Measures, writes docs/benchmarks/backends_<machine>_<date>.md, exits 1 where two backends disagree."""
    missing = {name: reason for name, reason in usable_backends().items() if reason is not None}
    backends = [name for name in ("tun", "uml", "netem") if name not in missing]
    if backends[:1] != ["tun"] or len(backends) < 2:
        raise SystemExit(f"nothing to compare on this machine: {missing}")
    links, links_agree = _compare_links(backends, seconds, attempts)
    inference, inference_agrees = _compare_inference(backends, bundle, rounds)
    lines = [
        *links,
        "",
        *inference,
        "",
        f"Thresholds against tun: round trip within {_RTT_S * 1e3:g} ms, goodput within {_GOODPUT:.0%}, "
        f"inference within {_INFERENCE:.0%}; every run valid by its own account.",
    ]
    lines += [f"Not on this machine: {name} ({reason})." for name, reason in missing.items()]
    write_report("backends", lines, {"bundle": open_bundle(bundle).digest, "rounds": rounds, "seconds": seconds})
    raise typer.Exit(int(not (links_agree and inference_agrees)))


def _compare_links(backends: Sequence[str], seconds: float, attempts: int) -> tuple[list[str], bool]:
    rows = [
        "| link | backend | round trip ms | up Mbit/s | down Mbit/s | late p99 ms | core | agrees |",
        "|---" * 8 + "|",
    ]
    agree = True
    for rate_bps, delay_s in _LINKS:
        profile = LinkProfile.symmetric(rate_bps=rate_bps, delay_s=delay_s)
        rivals = {name: _check_validly(profile, name, seconds, attempts) for name in backends}
        first = _measured(rivals["tun"])
        for name, result in rivals.items():
            values, report = _measured(result), result.report
            within = report.valid and abs(values["round trip"] - first["round trip"]) <= _RTT_S
            within &= all(abs(values[way] / first[way] - 1) <= _GOODPUT for way in ("goodput up", "goodput down"))
            agree &= within
            rows.append(
                f"| {rate_bps / 1e6:g} Mbit/s, {delay_s * 2e3:g} ms | {name} | {values['round trip'] * 1e3:.2f} "
                f"| {values['goodput up'] / 1e6:.3f} | {values['goodput down'] / 1e6:.3f} "
                f"| {report.lateness['p99_s'] * 1e3:.2f} | {report.cpu_s / report.duration_s:.0%} "
                f"| {'yes' if within else 'NO'}{'' if report.valid else f', invalid: {report.invalid_reason}'} |"
            )
            stderr_console().print(rows[-1], markup=False)
    return rows, agree


def _check_validly(profile: LinkProfile, backend: Any, seconds: float, attempts: int) -> LinkCheck:
    for _ in range(attempts):
        result = check(profile, seconds=seconds, backend=backend)
        if result.report.valid:
            break
    return result


def _measured(result: LinkCheck) -> dict[str, float]:
    return {quantity.name: quantity.measured for quantity in result.quantities}


def _compare_inference(backends: Sequence[Backend], bundle: Path, rounds: int) -> tuple[list[str], bool]:
    rate_bps, delay_s = _INFERENCE_LINK
    profile = LinkProfile.symmetric(rate_bps=rate_bps, delay_s=delay_s)
    cuts = [cut.id for cut in open_bundle(bundle).manifest.cuts if cut.id in ("0", "getitem_15", "add_2")]
    samples: dict[tuple[str, str], list[float]] = {(cut, name): [] for cut in cuts for name in backends}
    with running_cloud(bundle) as address, ExitStack() as stack:
        host, _, port = address.rpartition(":")
        links = {
            name: stack.enter_context(EmulatedLink(profile, forward=(host, int(port)), backend=name))
            for name in backends
        }
        for turn in range(rounds):
            for cut in cuts:
                for name in backends if turn % 2 == 0 else backends[::-1]:
                    samples[cut, name] += _infer(links[name], bundle, cut)
        reports = {name: link.report() for name, link in links.items()}
    rows = [
        f"Time to result of `suture infer` over {rate_bps / 1e6:g} Mbit/s, {delay_s * 2e3:g} ms, raw codec:",
        "",
        "| cut | backend | median ms | quartiles | images | to tun | agrees |",
        "|---" * 7 + "|",
    ]
    agree = all(report.valid for report in reports.values())
    for (cut, name), times_s in samples.items():
        middle = statistics.median(times_s)
        ratio = middle / statistics.median(samples[cut, "tun"])
        agree &= abs(ratio - 1) <= _INFERENCE
        low, _, high = statistics.quantiles(times_s, n=4)
        rows.append(
            f"| {cut} | {name} | {middle * 1e3:.2f} | {low * 1e3:.2f}-{high * 1e3:.2f} | {len(times_s)} "
            f"| {ratio:.3f} | {'yes' if abs(ratio - 1) <= _INFERENCE else 'NO'} |"
        )
    rows.append("")
    rows += [f"{name}: {'valid' if r.valid else f'INVALID: {r.invalid_reason}'}" for name, r in reports.items()]
    return rows, agree


def _infer(link: EmulatedLink, bundle: Path, cut: str) -> list[float]:
    """Times to result, in seconds, of a unit's process at the near end, its warm-up left out."""
    command = [sys.executable, "-P", "-m", "suture", "infer", str(_IMAGES), "--bundle", str(bundle)]
    command += ["--cloud", link.peer, "--insecure", "--json", "--cut", cut, "--codec", "raw"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with link.popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unit:
        answers = [json.loads(line) for line in unit.communicate()[0].splitlines()]
    cloud = [answer["timings_s"]["total"] for answer in answers if answer["where"] == "cloud"]
    if len(cloud) <= _WARM_UP:
        raise SystemExit(f"the unit had {len(cloud)} results from the cloud, out of {len(answers)}")
    return cloud[_WARM_UP:]


if __name__ == "__main__":
    typer.run(main)
