"""What this device is: a fingerprint for profiles, and the processor class that decides which INT8 artefact is right.

Reads `/proc` and `/sys` on Linux and asks the platform elsewhere; loads no engine. Also what this process takes.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

ProcessorClass = Literal["vnni", "plain"]

#: The instruction sets that decide how 8-bit arithmetic runs, by their Linux flag names (x86, then Arm).
RELEVANT_ISA: Final = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)

#: Those that multiply 8-bit numbers into 32-bit sums, without the 16-bit step that saturates.
_DOT_PRODUCTS: Final = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})

_AVX2: Final = frozenset({"avx2"})
_AVX2_VNNI: Final = _AVX2 | {"avx_vnni"}
_AVX512: Final = _AVX2 | {"avx512f"}
_AVX512_VNNI: Final = _AVX512 | {"avx512_vnni"}
_AVX512_BF16: Final = _AVX512_VNNI | {"avx512_bf16"}
_AVX512_FP16: Final = _AVX512_BF16 | {"avx512_fp16", "avx_vnni"}
_AMX: Final = _AVX512_FP16 | {"amx_int8", "amx_bf16"}

#: What each value of ONEDNN_MAX_CPU_ISA leaves of x86 (oneDNN, "CPU dispatcher control"); other values have no effect.
_ISA_LIMITS: Final[Mapping[str, frozenset[str]]] = {
    "SSE41": frozenset(),
    "AVX": frozenset(),
    "AVX2": _AVX2,
    "AVX2_VNNI": _AVX2_VNNI,
    "AVX2_VNNI_2": _AVX2_VNNI,
    "AVX512_CORE": _AVX512,
    "AVX512_CORE_VNNI": _AVX512_VNNI,
    "AVX512_CORE_BF16": _AVX512_BF16,
    "AVX512_CORE_FP16": _AVX512_FP16,
    "AVX10_1_512": _AVX512_FP16,
    "AVX512_CORE_AMX": _AMX,
    "AVX512_CORE_AMX_FP16": _AMX,
    "AVX10_1_512_AMX": _AMX,
    "AVX10_1_512_AMX_FP16": _AMX,
}

#: Keys that change while a device stays the same device: kept in a profile, not compared.
VOLATILE: Final = frozenset({"throttled", "emulated"})


def isa_flags(cpuinfo: str) -> frozenset[str]:
    """The relevant instruction sets that the text of `/proc/cpuinfo` names (x86 `flags`, Arm `Features`)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split()) & frozenset(RELEVANT_ISA)
    return frozenset()


def effective_isa(flags: frozenset[str], limit: str | None) -> frozenset[str]:
    """What is left of `flags` under a value of ONEDNN_MAX_CPU_ISA; Arm is not limited by it."""
    allowed = _ISA_LIMITS.get((limit or "").upper())
    if allowed is None or "asimd" in flags:
        return flags
    return flags & allowed


def class_of(flags: frozenset[str]) -> ProcessorClass:
    """`vnni` where 8-bit dot products exist; `plain` where naive INT8 saturates."""
    return "vnni" if flags & _DOT_PRODUCTS else "plain"


def processor_class(cpuinfo: str | None = None, environ: Mapping[str, str] | None = None) -> ProcessorClass:
    """The class of INT8 artefact that is right on this processor, as limited by ONEDNN_MAX_CPU_ISA.

    A processor that cannot be read counts as `plain`, whose artefact is right everywhere.
    """
    return class_of(_effective(_cpuinfo() if cpuinfo is None else cpuinfo, os.environ if environ is None else environ))


def device_fingerprint(
    *, root: Path = Path("/"), environ: Mapping[str, str] | None = None, memory_bytes: int | None = None
) -> Mapping[str, str]:
    """What a profile's times depend on: processor, usable cores, instruction sets, memory, clock governor.

    Args:
        root: Where `proc` and `sys` are looked for.
        environ: Defaults to the process's environment.
        memory_bytes: Defaults to the machine's.
    """
    cpuinfo = _read(root / "proc/cpuinfo")
    flags = _effective(cpuinfo, os.environ if environ is None else environ)
    memory = _memory_bytes() if memory_bytes is None else memory_bytes
    device = {
        "cpu": _model(cpuinfo),
        "arch": platform.machine(),
        "cores": str(_usable_cores()),
        "isa": " ".join(name for name in RELEVANT_ISA if name in flags),
        "processor_class": class_of(flags),
        "memory_gib": str(round(memory / 2**30)),
    }
    frequency = root / "sys/devices/system/cpu/cpu0"
    governor = _read(frequency / "cpufreq/scaling_governor").strip()
    if governor:
        device["governor"] = governor
    throttles = _read(frequency / "thermal_throttle/core_throttle_count").strip()
    if throttles:
        device["throttled"] = throttles
    return device


def resident_bytes() -> int:
    """Physical memory of this process now, what the allocator keeps for later given back first; 0 where unknown.

    Whole pages, and only as good as the allocator's giving back (glibc's): differences of less than about a megabyte
    mean nothing, and what was mapped but not touched does not count.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if platform.system() == "Linux" else None
    if trim is not None:
        trim(0)
    fields = _read(Path("/proc/self/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0


def _effective(cpuinfo: str, environ: Mapping[str, str]) -> frozenset[str]:
    limit = environ.get("ONEDNN_MAX_CPU_ISA") or environ.get("DNNL_MAX_CPU_ISA")
    return effective_isa(isa_flags(cpuinfo), limit)


def _cpuinfo() -> str:
    return _read(Path("/proc/cpuinfo")) or _substitute()


def _substitute() -> str:
    """Where there is no `/proc/cpuinfo`: every Apple processor for macOS on Arm has dot products."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "model name : Apple\nFeatures : asimd asimddp"
    return ""


def _model(cpuinfo: str) -> str:
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    # Arm kernels give numbers instead of a name; a board's `Model` (Raspberry Pi) says more than either.
    arm = " ".join(f"{key} {fields[key]}" for key in ("CPU implementer", "CPU part") if key in fields)
    return fields.get("model name") or fields.get("Model") or arm or platform.processor() or platform.machine()


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
