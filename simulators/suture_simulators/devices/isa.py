"""The processor class of an emulated board: ONEDNN_MAX_CPU_ISA, which OpenVINO reads once, when it is first used."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from types import ModuleType
from typing import Final

from suture_protocol.errors import UsageError

VARIABLE: Final = "ONEDNN_MAX_CPU_ISA"


def environment(isa: str) -> dict[str, str]:
    """What a process's environment needs so that OpenVINO, and the choice of artefact, stay within `isa`."""
    return {VARIABLE: isa} if isa else {}


def limit_isa(
    isa: str,
    *,
    environ: MutableMapping[str, str] | None = None,
    modules: Mapping[str, ModuleType] | None = None,
) -> None:
    """Puts this process, and those it starts, under `isa`; nothing where that is empty.

    Holds for OpenVINO (and torch's oneDNN kernels); ONNX Runtime and LiteRT choose their instructions themselves.

    Raises:
        UsageError: OpenVINO is loaded already, under another class.
    """
    environ = os.environ if environ is None else environ
    if not isa or environ.get(VARIABLE) == isa:
        return
    if "openvino" in (sys.modules if modules is None else modules):
        was = environ.get(VARIABLE) or "all instructions of this processor"
        raise UsageError(
            f"OpenVINO runs with {was} in this process already and cannot be limited to {isa}; emulate the board in a "
            f"process of its own, started with {VARIABLE}={isa}"
        )
    environ[VARIABLE] = isa
