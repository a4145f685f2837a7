"""What a learned bottleneck costs and saves on a test split: the task's figure, bytes, head time, against its rivals.

    suture build pneumonia_mobilenet_v2 --engine openvino
    suture build pneumonia_mobilenet_v2 --bottleneck pneumonia_bottleneck_m --engine openvino
    python docs/benchmarks/bench_bottleneck.py --data "$SUTURE_DATA" --plain bundles/pneumonia_mobilenet_v2 \
      bundles/pneumonia_mobilenet_v2_bottleneck

For lung masks, whose images have no explicit licence, whoever has them trains network and bottleneck as well (here the
first of two operating points, `lungs_m`; with a rate weight of 0.1 it is `lungs_l`):

    export PYTHONPATH=docs/benchmarks
    python docs/benchmarks/train_lungs.py --data "$SUTURE_DATA"
    network="lungs_network:make --weights out/lungs/lungs.safetensors"
    suture train bottleneck --network $network --cut getitem_33 --images out/lungs/train --rate-weight 0.3 \
      --warm-epochs 20 --epochs 16 --out out/lungs/m.safetensors
    build="suture build $network --calibration out/lungs/train --engine openvino"
    $build --out bundles/lungs && $build --bottleneck out/lungs/m.safetensors --out bundles/lungs_m
    python docs/benchmarks/bench_bottleneck.py --task lungs --data "$SUTURE_DATA" --plain bundles/lungs bundles/lungs_m

Each bundle with a bottleneck is one operating point: OpenVINO INT8 head with the encoder, codes, `lossless-small` with
the bundle's tables, float tail with the decoder. Rivals on the same images: WebP and JPEG of the image, whole, at half
and at a quarter of its side (decoded, scaled back, then the whole float network), and narrowed codes of the plain
bundle at a deep cut and at the bottleneck's. Intervals are paired: both arms on the same resamples of patients.
"""

from __future__ import annotations

import enum
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from bottleneck_arms import Arm, Judge, bottleneck, code_cut, load_openvino_head, narrowed_codes, pictures
from bottleneck_page import HeadTimes, Point, curve_lines, point_lines, verdict_lines
from bottleneck_tasks import TASKS
from common import write_report
from numpy.typing import NDArray

from suture_models.bundle import Bundle, open_bundle

_BYTES_AT_MOST = 1500
_TIME_AT_MOST = 1.3
_ROUNDS, _CALLS = 9, 60

TaskName = enum.StrEnum("TaskName", list(TASKS))


def main(
    bottlenecks: Annotated[list[Path], typer.Argument(help="Bundles with a bottleneck, one per operating point.")],
    data: Annotated[Path, typer.Option(help="The folder that holds cxr_pneumonia_224 and lungseg_256.")],
    plain: Annotated[Path, typer.Option(help="The same network's bundle without one.")],
    task: Annotated[TaskName, typer.Option(help="What the network does.")] = TaskName["pneumonia"],
    limit: Annotated[int, typer.Option(help="Use about N images only; 0 for all.")] = 0,
) -> None:
    """Measures, writes docs/benchmarks/bottleneck-<task>_<machine>_<date>.md, exits 1 where the first bundle misses."""
    base, bundles = open_bundle(plain), [open_bundle(path) for path in bottlenecks]
    judged = TASKS[task](data, base, limit)
    zeros = np.zeros(len(judged.images), np.int64)
    values = Judge.of(judged, base).of_images(judged.images)
    whole = Arm(name="float, the image as it is", rival="", sizes_N=zeros, values_N=values)
    points = [
        Point(bundle=one, arm=bottleneck(judged, one), times=_head_times(base, one, judged.images[0]))
        for one in bundles
    ]
    arms = [point.arm for point in points]
    rivals = [*narrowed_codes(judged, base, bundles[0]), *pictures(judged, base)]
    limits = f"{_BYTES_AT_MOST} bytes, loss {judged.loss_at_most}, ratio {_TIME_AT_MOST}"
    names = " ".join(f"bundles/{path.name}" for path in (plain, *bottlenecks))
    command = f'python docs/benchmarks/bench_bottleneck.py --task {task} --data "$SUTURE_DATA" --plain {names}'
    lines = [f"{judged.about}; payload bytes.", "", f"`{command}`; its head tells how the bundles are made."]
    lines += ["", "## Operating points", "", *point_lines(judged, points, whole, f"Limits for the first: {limits}.")]
    lines += ["", "## The curve", "", *curve_lines(judged, [*arms, *rivals], whole)]
    lines += ["", "## Who dominates", "", *verdict_lines(judged, arms, rivals)]
    digests = {one.path.name: one.digest for one in (base, *bundles)}
    built = {one.path.name: dict(one.manifest.built_with) for one in bundles}
    told = {"task": judged.name, "bundles": digests, "built_with": built, "calls per head": _ROUNDS * _CALLS}
    write_report(f"bottleneck-{judged.name}", lines, told)
    loss = judged.of(whole.values_N) - judged.of(arms[0].values_N)
    kept = arms[0].median_bytes <= _BYTES_AT_MOST and loss <= judged.loss_at_most
    raise typer.Exit(0 if kept and points[0].time_ratio <= _TIME_AT_MOST else 1)


def _head_times(base: Bundle, bundle: Bundle, image: NDArray[Any]) -> HeadTimes:
    """Median seconds of the head with the encoder and of the plain one, in each round of alternating calls."""
    ours, _ = load_openvino_head(bundle, code_cut(bundle))
    plain, _ = load_openvino_head(base, base.cut(bundle.manifest.built_with["bottleneck_cut"]))
    rounds = []
    for _ in range(_ROUNDS + 1):
        pairs = [(_seconds(ours.run, image), _seconds(plain.run, image)) for _ in range(_CALLS)]
        rounds.append((statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)))
    ours.close()
    plain.close()
    return rounds[1:]


def _seconds(run: Callable[[Any], object], image: NDArray[Any]) -> float:
    start_s = time.perf_counter()
    run(image)
    return time.perf_counter() - start_s


if __name__ == "__main__":
    typer.run(main)
