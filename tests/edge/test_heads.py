"""Closing heads while one is being made: a process that ends while an engine compiles would be aborted by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from suture_models.bundle import Bundle
from tests.processes import middle_cut

_ENDS_AT_ONCE = """
import sys, time
from pathlib import Path
from suture_edge.engines.registry import get_engine
from suture_edge.heads import Heads
from suture_models.bundle import open_bundle

bundle = open_bundle(Path(sys.argv[1]))
heads = Heads(bundle, get_engine("openvino"), next(v for v in bundle.manifest.variants if v.engine == "openvino"))
heads.want(bundle.cut(sys.argv[2]))
time.sleep(float(sys.argv[3]))
heads.close()
assert not heads.held_bytes()
"""


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1])
def test_a_process_may_end_while_a_head_is_being_made(pneumonia_bundle: Bundle, after_s: float) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'suture[edge]'")
    arguments = [pneumonia_bundle.path, middle_cut(pneumonia_bundle), after_s]
    done = subprocess.run(
        [sys.executable, "-c", _ENDS_AT_ONCE, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
