"""What boards' published times are compared with: MobileNetV2 in float on one thread here, by OpenVINO, kept."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from suture_partitioner.device import device_fingerprint
from suture_partitioner.profile_file import cache_folder
from suture_protocol.errors import CapabilityMissing

#: Expansion, channels, repeats and first stride of each stage (Sandler et al., MobileNetV2, CVPR 2018, table 2).
_STAGES: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_RUNS: Final = 60
_WARM_UP_RUNS: Final = 10
#: So much longer than its processor time does a run take on a machine that is too busy to keep its time.
_BUSY: Final = 1.25
#: What the published rows call it.
PUBLISHED: Final = ("mobilenet_v2", "float")


def reference_s(folder: Path | None = None) -> float:
    """Warm processor time of one inference, seconds; measured once per device, processor class and OpenVINO.

    The lower quartile of 60 runs, since other processes that press on the caches only ever add; where they took much
    of the core it is not kept, but measured again next time. The weights are random, which the time does not depend
    on. The process must be under the board's class already.

    Raises:
        CapabilityMissing: OpenVINO is not installed.
    """
    try:
        parts = [dict(device_fingerprint()), version("openvino")]
    except ModuleNotFoundError as error:
        raise CapabilityMissing(
            "how much slower a board is than this machine is measured with OpenVINO, which is not installed: "
            "pip install 'suture[edge]', or give a factor instead of a board"
        ) from error
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    path = (folder or cache_folder().parent / "device") / f"mobilenet_v2-float-{key}.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["processor_s"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found_s, wall_s = _measured_s()
    if wall_s > _BUSY * found_s:
        return found_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"processor_s": found_s, "runs": _RUNS}), encoding="utf-8")
    except OSError:  # a read-only home: measured again next time
        pass
    return found_s


def _measured_s() -> tuple[float, float]:
    """Lower quartile of the processor time, median of the wall time."""
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(_mobilenet_v2(), "CPU", settings).create_infer_request()
    image = np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)
    used_s, wall_s = [], []
    for _ in range(_WARM_UP_RUNS + _RUNS):
        began_s, processor_s = time.perf_counter(), time.process_time()
        request.infer([image], share_inputs=True)
        ended_s = time.perf_counter()
        used_s.append(min(time.process_time() - processor_s, ended_s - began_s))
        wall_s.append(ended_s - began_s)
    return statistics.quantiles(used_s[_WARM_UP_RUNS:], n=4)[0], statistics.median(wall_s[_WARM_UP_RUNS:])


def _mobilenet_v2() -> Any:
    """MobileNetV2 1.0 for 224×224 and 1000 classes, batch norm folded, as an OpenVINO model."""
    import openvino as ov
    from openvino import opset13 as ops

    random = np.random.default_rng(0)

    def convolution(x: Any, out: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False, relu: bool) -> Any:
        into = 1 if depthwise else x.get_output_shape(0)[1]
        shape = (out, 1, 1, kernel, kernel) if depthwise else (out, into, kernel, kernel)
        scale = (into * kernel * kernel) ** -0.5
        weights = (random.standard_normal(shape) * scale).astype(np.float32)
        pads = [kernel // 2] * 2
        layer = ops.group_convolution if depthwise else ops.convolution
        y = layer(x, weights, [stride] * 2, pads, pads, [1, 1])
        y = ops.add(y, random.standard_normal((1, out, 1, 1)).astype(np.float32))
        return ops.clamp(y, 0.0, 6.0) if relu else y

    image = ops.parameter([1, 3, 224, 224], np.float32)
    x = convolution(image, 32, kernel=3, stride=2, relu=True)
    for expansion, channels, repeats, first_stride in _STAGES:
        for place in range(repeats):
            before, stride = x, first_stride if place == 0 else 1
            hidden = x.get_output_shape(0)[1] * expansion
            if expansion > 1:
                x = convolution(x, hidden, relu=True)
            x = convolution(x, hidden, kernel=3, stride=stride, depthwise=True, relu=True)
            x = convolution(x, channels, relu=False)
            if place:
                x = ops.add(x, before)
    x = convolution(x, 1280, relu=True)
    x = ops.reduce_mean(x, np.array([2, 3]), keep_dims=False)
    x = ops.matmul(x, random.standard_normal((1280, 1000)).astype(np.float32) / 36, False, False)
    return ov.Model([ops.softmax(x, 1)], [image], "mobilenet_v2")
