"""The emulated slow device: set against measured factor, per cut and engine, by both means, and the boards.

    python docs/benchmarks/bench_device.py bundles/mobilenet_v2 bundles/resnet50

The bundles need OpenVINO's artefacts of both processor classes; ONNX Runtime's are measured where they are there.
Takes about a quarter of an hour for two networks; other load on the machine shows, so run it on a quiet one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from common import write_report

from suture.console import stderr_console
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import Bundle, open_bundle
from suture_models.calibration import calibration_inputs
from suture_models.manifest import INPUT_CUT, LAST_CUT, Precision
from suture_partitioner.device import processor_class
from suture_protocol.errors import BundleError, CapabilityMissing
from suture_simulators.device import PRESETS, Calibration, calibrate, dilate, emulate
from suture_simulators.devices.calibration import TOLERANCE, Slowing
from suture_simulators.devices.quota import ProcessorQuota

_FACTORS = (2.0, 4.0, 8.0, 16.0, 32.0)
_ENGINES: tuple[tuple[str, Precision], ...] = (
    ("openvino", "int8"),
    ("openvino", "f32"),
    ("onnxruntime", "int8"),
    ("onnxruntime", "f32"),
)
#: A figure is taken again where it missed and plain calls took so much longer than their processor time.
_BUSY = 1.05
_TRIES = 3
#: Calls of each kind behind a figure, however slow: with four, 1-3 of 120 medians missed by more than 10 %.
_CALLS = 12


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Built bundles.")],
    budget: Annotated[float, typer.Option(min=0.1, help="Seconds for each figure.")] = 1.0,
    board: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measures, writes docs/benchmarks/device_<machine>_<date>.md, exits 1 where dilation misses by over 10 %."""
    if board:
        sys.stdout.write(json.dumps(_as_board(board, bundles, budget)))
        return
    dilated, quotas = [], []
    for path in bundles:
        opened = open_bundle(path)
        for engine, precision in _ENGINES:
            try:
                dilated += _factors(opened, engine, precision, budget)
            except (BundleError, CapabilityMissing) as error:
                stderr_console().print(f"{opened.name} {engine} {precision}: {error}", markup=False)
        quotas += _quotas(opened, budget)
    missed = [cut for cut, found in dilated if not _kept(found)]
    boards = [_of_board(name, bundles, budget) for name in PRESETS]
    lines = [*_dilation_lines(dilated), *_quota_lines(quotas), *_board_lines(boards)]
    write_report("device", lines, {"budget_s": budget, "tolerance": TOLERANCE, "threads": 1, "batch": 1})
    if missed:
        stderr_console().print(f"missed by over {TOLERANCE:.0%}: {', '.join(missed)}", markup=False)
    raise typer.Exit(int(bool(missed)))


def _kept(found: Calibration) -> bool:
    return abs(found.measured_factor / found.set_factor - 1) <= TOLERANCE


def _factors(bundle: Bundle, engine: str, precision: Precision, budget_s: float) -> list[tuple[str, Calibration]]:
    """Every factor at two cuts inside the network and at the last, by dilation."""
    variant = choose_variant(bundle, engine, processor_class(), precision)
    inner = [
        c for c in bundle.manifest.cuts if c.candidate and c.id not in (INPUT_CUT, LAST_CUT) and variant.has_cut(c)
    ]
    cuts = [inner[len(inner) // 3], inner[2 * len(inner) // 3], bundle.cut(LAST_CUT)]
    image = calibration_inputs(bundle.manifest.network, None).inputs[0]
    found = []
    for cut in cuts:
        with closing(load_head(get_engine(engine), bundle, variant, cut)) as head:
            name = f"{bundle.name} {variant.id} `{cut.id}`"
            run = partial(head.run, image)
            found += [(name, _calibrated(dilate(factor), run, name, budget_s)) for factor in _FACTORS]
    return found


def _quotas(bundle: Bundle, budget_s: float) -> list[tuple[str, Calibration | str]]:
    """Every factor on the whole network by the kernel's quota, or why there is none."""
    variant = choose_variant(bundle, "openvino", processor_class(), "int8")
    image = calibration_inputs(bundle.manifest.network, None).inputs[0]
    name = f"{bundle.name} {variant.id} `{LAST_CUT}`"
    with closing(load_head(get_engine("openvino"), bundle, variant, bundle.cut(LAST_CUT))) as head:
        try:
            return [
                (name, _calibrated(ProcessorQuota(factor), lambda: head.run(image), name, 2 * budget_s))
                for factor in _FACTORS
            ]
        except CapabilityMissing as error:
            return [(name, str(error))]


def _calibrated(device: Slowing, operation: Any, name: str, budget_s: float) -> Calibration:
    """Calibrates; again, at most three times in all, where it missed while other processes had the core."""
    for _ in range(_TRIES):
        found = calibrate(device, operation, name=name, budget_s=budget_s, pairs_min=_CALLS)
        stderr_console().print(str(found), markup=False, soft_wrap=True)
        if _kept(found) or found.plain_wall_s < _BUSY * found.plain_s:
            break
    return found


def _of_board(name: str, bundles: list[Path], budget_s: float) -> dict[str, Any]:
    """What `_as_board` finds in a process of its own, under the board's processor class."""
    command = [sys.executable, __file__, *map(str, bundles), "--budget", str(budget_s), "--board", name]
    environ = {**os.environ, **PRESETS[name].environment()}
    said = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _as_board(name: str, bundles: list[Path], budget_s: float) -> dict[str, Any]:
    """The board's factor, its calibration, and for each published network the emulated time and the published one."""
    device, preset = emulate(name), PRESETS[name]
    networks = []
    for path in bundles:
        bundle = open_bundle(path)
        image = calibration_inputs(bundle.manifest.network, None).inputs[0]
        for published, precision in (("float", "f32"), ("int8", "int8")):
            variant = choose_variant(bundle, "openvino", processor_class(), "f32" if precision == "f32" else "int8")
            with closing(load_head(get_engine("openvino"), bundle, variant, bundle.cut(LAST_CUT))) as head:
                found = device.calibrate(partial(head.run, image), name=variant.id, budget_s=budget_s)
            networks.append(
                {
                    "network": bundle.name,
                    "variant": variant.id,
                    "calibration": found.to_json(),
                    "published_ms": preset.published_ms.get((bundle.name, published)),
                }
            )
    return {**device.to_json(), "networks": networks}


def _dilation_lines(rows: list[tuple[str, Calibration]]) -> list[str]:
    names = list(dict.fromkeys(name for name, _ in rows))
    lines = [
        "All figures are of emulated devices. Plain: warm processor time of one call, median. Each cell: measured",
        "factor ÷ set factor (medians, plain and slowed calls two and two in turns; calls of each kind). Taken again,",
        "at most twice, where it missed while other processes took over 5 % of the core.",
        "",
        "## Dilation",
        "",
        "| head | plain, ms | " + " | ".join(f"× {factor:g}" for factor in _FACTORS) + " |",
        "|---|---|" + "---|" * len(_FACTORS),
    ]
    for name in names:
        found = [calibration for other, calibration in rows if other == name]
        plain_ms = statistics.median(c.plain_s for c in found) * 1e3
        lines.append(f"| {name} | {plain_ms:.2f} | {' | '.join(_cell(c) for c in found)} |")
    worst = max(abs(c.measured_factor / c.set_factor - 1) for _, c in rows)
    return [*lines, "", f"Largest deviation {worst:.1%}; threshold {TOLERANCE:.0%}. Bold: missed.", ""]


def _cell(found: Calibration) -> str:
    text = f"{found.measured_factor / found.set_factor:.3f} ({found.pairs})"
    return text if _kept(found) else f"**{text}**"


def _quota_lines(rows: list[tuple[str, Calibration | str]]) -> list[str]:
    lines = ["## The kernel's quota (`cgroup:`), for comparison", ""]
    lines += ["| head | set | measured | calls over 10 % too long |", "|---|---|---|---|"]
    for name, found in rows:
        if isinstance(found, str):
            lines.append(f"| {name} | | {found} | |")
        else:
            lines.append(f"| {name} | {found.set_factor:g} | {found.measured_factor:.2f} | {found.late_share:.0%} |")
    return [*lines, ""]


def _board_lines(boards: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Boards",
        "",
        "The factor is from MobileNetV2 in float; the last column shows how far it carries to other published times.",
        "",
        "| board | factor | class | artefact | measured factor | emulated, ms | published, ms | emulated ÷ published |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for board in boards:
        for row in board["networks"]:
            emulated_ms = row["calibration"]["slowed_s"] * 1e3
            published = row["published_ms"]
            ratio = f"{published:.0f} | {emulated_ms / published:.2f}" if published else "– | –"
            head = f"| {board['name']} | {board['factor']:g} | {board['isa']} | {row['network']} {row['variant']}"
            lines.append(f"{head} | {row['calibration']['measured_factor']:.1f} | {emulated_ms:.0f} | {ratio} |")
    return [*lines, "", *(f"- {board['name']}: {board['basis']}." for board in boards), f"- {boards[0]['source']}"]


if __name__ == "__main__":
    typer.run(main)
