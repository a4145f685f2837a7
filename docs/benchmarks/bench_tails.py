"""Tails on CUDA against the CPU: agreement at every candidate cut, and time per cut on both.

    python docs/benchmarks/bench_tails.py bundles/mobilenet_v2 bundles/resnet50

Needs a GPU and a CUDA build of torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from common import write_report

from suture_cloud.executor import TailRequest
from suture_cloud.profiling import measure_tails
from suture_cloud.tail import Tails, choose_device
from suture_edge.engines.registry import choose_variant, get_engine, load_head
from suture_models.bundle import open_bundle
from suture_models.calibration import calibration_inputs
from suture_partitioner.device import processor_class

_TOLERANCE = 1e-3


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Built bundles.")],
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the program itself.")] = "cuda",
) -> None:
    """Measures, writes docs/benchmarks/tails_<gpu>_<date>.md, exits 1 where CPU and GPU disagree."""
    gpu = choose_device(device)
    if gpu.type == "cuda":
        # TF32 would cost three decimal digits; the float tail is the reference of correctness.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    lines = ["| network | cut | CPU, ms | device, ms | relative error |", "|---|---|---|---|---|"]
    worst = 0.0
    for path in bundles:
        opened = open_bundle(path)
        on_cpu, on_gpu = Tails(opened, choose_device("cpu")), Tails(opened, gpu)
        cpu_times, gpu_times = measure_tails(on_cpu, budget_s=20), measure_tails(on_gpu, budget_s=20)
        engine = get_engine("openvino")
        variant = choose_variant(opened, "openvino", processor_class())
        image = calibration_inputs(opened.manifest.network, None).inputs[0]
        for cut in (c for c in opened.manifest.cuts if c.candidate):
            head = load_head(engine, opened, variant, cut)
            request = TailRequest(
                bundle_digest=opened.digest, cut_id=cut.id, variant_id=variant.id, tensors=head.run(image)
            )
            head.close()
            a, b = (next(iter(t.run(request).values())) for t in (on_cpu, on_gpu))
            error = float(np.abs(a - b).max() / max(float(np.abs(a).max()), 1e-12))
            worst = max(worst, error)
            times = (cpu_times.cuts[cut.id].compute_s * 1e3, gpu_times.cuts[cut.id].compute_s * 1e3)
            lines.append(f"| {opened.name} | `{cut.id}` | {times[0]:.2f} | {times[1]:.2f} | {error:.2e} |")
    lines += ["", f"Threshold: relative error <= {_TOLERANCE:g}; the largest was {worst:.2e}."]
    name = torch.cuda.get_device_name(gpu).lower().replace(" ", "-") if gpu.type == "cuda" else ""
    write_report("tails", lines, {"device": str(gpu)}, suffix=name)
    raise typer.Exit(int(worst > _TOLERANCE))


if __name__ == "__main__":
    typer.run(main)
