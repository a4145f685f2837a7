"""What the runtime itself costs: time to result over loopback for a 50 KB payload, less head and tail.

    python docs/benchmarks/bench_loopback.py --bundle bundles/pneumonia_mobilenet_v2

A real cloud process and this one as the edge, raw codec at cut 0, so that 50,176 bytes cross.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from common import running_cloud, write_report

from suture_edge.channels import PlainChannels
from suture_edge.client import CloudClient
from suture_edge.uploads import request_of
from suture_models.bundle import open_bundle
from suture_protocol.codecs.registry import get_codec

_THRESHOLD_S = 0.003


def main(
    bundle: Annotated[Path, typer.Option(help="A bundle whose input is 50 KB, such as the pneumonia network's.")],
    repeats: Annotated[int, typer.Option(min=10, help="Requests after warm-up.")] = 300,
) -> None:
    """Measures, writes docs/benchmarks/loopback_<machine>_<date>.md, exits 1 above the threshold."""
    opened = open_bundle(bundle)
    image = np.random.default_rng(0).integers(0, 256, opened.manifest.network.input.shape, dtype=np.uint8)
    with running_cloud(bundle) as address:
        overhead_s, head_tail_s = _measure(address, opened.digest, image, repeats)
    median = statistics.median(overhead_s)
    p95 = statistics.quantiles(overhead_s, n=20)[-1]
    lines = [
        f"{image.nbytes:,} bytes, {repeats} requests after warm-up, one at a time.",
        "",
        "| | ms |",
        "|---|---|",
        f"| time to result less tail, median | {median * 1e3:.2f} |",
        f"| 95th percentile | {p95 * 1e3:.2f} |",
        f"| tail, median | {statistics.median(head_tail_s) * 1e3:.2f} |",
        "",
        f"Threshold: median <= {_THRESHOLD_S * 1e3:.0f} ms.",
    ]
    write_report("loopback", lines, {"bundle": opened.digest})
    raise typer.Exit(int(median > _THRESHOLD_S))


def _measure(address: str, digest: str, image: np.ndarray, repeats: int) -> tuple[list[float], list[float]]:
    overhead_s, tail_s = [], []
    with CloudClient(address, PlainChannels(insecure=True)) as client:
        client.ensure_connected()
        while not client.fetch_profile(digest).ready:
            time.sleep(0.2)
        for turn in range(repeats + 20):
            start_s = time.perf_counter()
            request = request_of((image,), get_codec("raw"), bundle_digest=digest, cut_id="0", variant_id="")
            result = client.infer(request)
            total_s = time.perf_counter() - start_s
            if turn >= 20:
                overhead_s.append(total_s - result.timings.tail_s)
                tail_s.append(result.timings.tail_s)
    return overhead_s, tail_s


if __name__ == "__main__":
    typer.run(main)
