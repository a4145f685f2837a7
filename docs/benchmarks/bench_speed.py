"""INT8 heads against eager float torch on the same cut, one thread each, interleaved in one run.

    python docs/benchmarks/bench_speed.py bundles/mobilenet_v2 bundles/efficientnet_lite0

The float side is the network's own module where the bundle was built from the zoo with these weights, run eagerly.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from common import write_report

from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import open_bundle
from suture_models.calibration import calibration_inputs
from suture_models.manifest import INPUT_CUT, LAST_CUT
from suture_models.program import subgraph
from suture_partitioner.device import processor_class

_CUTS = 4
_WHOLE_THRESHOLD = 5.0
_MUST = ("mobilenet_v2", "efficientnet_lite0")


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Built bundles.")],
    repeats: Annotated[int, typer.Option(min=5, help="Timed runs of each arm.")] = 30,
) -> None:
    """Measures, writes docs/benchmarks/speed_<machine>_<date>.md, exits 1 where a threshold is missed."""
    torch.set_num_threads(1)
    rows, missed = [], False
    for path in bundles:
        opened = open_bundle(path)
        tails = Tails(opened, choose_device("cpu"))
        engine = get_engine("openvino")
        variant = choose_variant(opened, "openvino", processor_class())
        image = calibration_inputs(opened.manifest.network, None).inputs[0]
        tensor = torch.from_numpy(image)
        cuts = [c for c in opened.manifest.cuts if c.candidate and c.id not in (INPUT_CUT, LAST_CUT)]
        picked = [cuts[len(cuts) * i // (_CUTS + 1)] for i in range(1, _CUTS + 1)] if len(cuts) > _CUTS else cuts
        ratios = []
        for cut in [*picked, opened.cut(LAST_CUT)]:
            head = load_head(engine, opened, variant, cut)
            names = tuple(t.name for t in cut.boundary)
            eager = subgraph(tails.program, (tails.program.input,), names)
            int8_s, float_s = _interleaved(partial(head.run, image), partial(eager, tensor), repeats)
            ratios.append(float_s / int8_s)
            rows.append((opened.name, cut.id, int8_s, float_s))
            head.close()
        if opened.name in _MUST and ratios[-1] < _WHOLE_THRESHOLD:
            missed = True
        rows.append((f"{opened.name}, median of the {len(ratios)} cuts", "", 0.0, statistics.median(ratios)))
    lines = ["Medians, one thread each, batch 1.", "", "| network | cut | INT8, ms | eager float, ms | speed-up |"]
    lines.append("|---|---|---|---|---|")
    for name, cut_id, int8_s, float_s in rows:
        if int8_s:
            lines.append(f"| {name} | `{cut_id}` | {int8_s * 1e3:.2f} | {float_s * 1e3:.2f} | {float_s / int8_s:.2f} |")
        else:
            lines.append(f"| **{name}** | | | | **{float_s:.2f}** |")
    lines += ["", f"Threshold: >= {_WHOLE_THRESHOLD:g} for {' and '.join(_MUST)} as a whole (`last`)."]
    write_report("speed", lines, {"repeats": repeats})
    raise typer.Exit(int(missed))


@torch.inference_mode()
def _interleaved(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 3):
        for place, function in enumerate((first, second)):
            start_s = time.perf_counter()
            function()
            if turn >= 3:
                times[place].append(time.perf_counter() - start_s)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    typer.run(main)
