"""What a unit needs: a fresh environment with `suture[edge]` alone, its size, and its memory while it infers.

    python docs/benchmarks/bench_footprint.py --bundle bundles/pneumonia_mobilenet_v2

The cloud runs in the environment that runs this program; the unit in one that is made here and thrown away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from common import running_cloud, write_report

_ROOT = Path(__file__).parents[2]
_SIZE_MB = 400
_MEMORY_MB = 300


def main(
    bundle: Annotated[Path, typer.Option(help="A built bundle, such as the pneumonia network's.")],
    image: Annotated[Path, typer.Option(help="What to infer on.")] = _ROOT / "data" / "demo",
) -> None:
    """Measures, writes docs/benchmarks/footprint_<machine>_<date>.md, exits 1 beyond a target."""
    with tempfile.TemporaryDirectory(prefix="suture-footprint-") as scratch:
        unit = Path(scratch) / "unit"
        subprocess.run([sys.executable, "-m", "venv", str(unit)], check=True)
        pip = [str(unit / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(_ROOT / "locks" / "edge.txt")], check=True)
        subprocess.run([*pip, "--no-deps", str(_ROOT)], check=True)
        has_torch = (
            subprocess.run([str(unit / "bin" / "python"), "-c", "import torch"], capture_output=True).returncode == 0
        )
        sizes = _sizes_mb(unit)
        rows = []
        with running_cloud(bundle) as address:
            for cut in ("0", "auto", "last"):
                found, memory_mb = _infer(unit, bundle, address, image, cut, Path(scratch))
                rows.append((cut, found, memory_mb))
    total_mb = sum(sizes.values())
    lines = [f"torch in the environment: {'yes' if has_torch else 'no'}.", "", "| on disk | MB |", "|---|---|"]
    lines += [f"| {name} | {size:.0f} |" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]]
    tools_mb = sizes.get("pip", 0.0) + sizes.get("setuptools", 0.0)
    lines += [f"| **all** | **{total_mb:.0f}** |", f"| all but pip and setuptools | {total_mb - tools_mb:.0f} |", ""]
    lines += ["| `infer --cut` | instances done | finished on | peak resident memory, MB |", "|---|---|---|---|"]
    lines += [f"| {cut} | {len(found)} | {', '.join(sorted(set(found)))} | {mb:.0f} |" for cut, found, mb in rows]
    lines += ["", f"Targets: at most {_SIZE_MB} MB on disk, {_MEMORY_MB} MB resident."]
    write_report("footprint", lines, {"bundle": str(bundle)})
    worst_mb = max(mb for _, _, mb in rows)
    raise typer.Exit(int(has_torch or total_mb > _SIZE_MB or worst_mb > _MEMORY_MB))


def _sizes_mb(unit: Path) -> dict[str, float]:
    """MB by package folder of site-packages; the rest of the environment under `environment`."""
    found: dict[str, float] = {}
    for path in unit.rglob("*"):
        if path.is_file() and not path.is_symlink():
            parts = path.parts
            inside = "site-packages" in parts
            name = parts[parts.index("site-packages") + 1] if inside else "environment"
            found[name] = found.get(name, 0.0) + path.stat().st_size / 1e6
    return found


def _infer(unit: Path, bundle: Path, address: str, image: Path, cut: str, scratch: Path) -> tuple[list[str], float]:
    command = [str(unit / "bin" / "suture"), "infer", str(image), "--bundle", str(bundle), "--cloud", address]
    command += ["--insecure", "--cut", cut, "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(scratch / "cache")}
    # Peak memory of one child, not of all so far: a process of its own does the waiting.
    probe = (
        "import resource,subprocess,sys; r=subprocess.run(sys.argv[1:]); "
        "sys.stderr.write(f'PEAK {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}'); sys.exit(r.returncode)"
    )
    done = subprocess.run([sys.executable, "-c", probe, *command], env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"infer failed: {done.stderr}")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [r["where"] for r in records if not r["error"]], int(done.stderr.rsplit("PEAK ", 1)[1]) / 1e3


if __name__ == "__main__":
    typer.run(main)
