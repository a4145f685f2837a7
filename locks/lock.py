"""Writes the lock files beside it: what pip resolves for each extra in a fresh environment, as exact pins.

Run by `make lock`, with nothing but the standard library. `dev` is resolved first and constrains the others, so that
every environment holds the same versions. torch is named by its public version and without a hash: builds for CPU and
for CUDA carry the same version, and which of them is taken is a matter of the indexes pip is configured with.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent

#: What an editable install without build isolation needs.
HOUSE = ("hatchling>=1.33", "editables>=0.5")
#: Lock file -> extras of the distribution, further requirements. The first constrains the rest.
ENVIRONMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dev": ("dev", HOUSE),
    "demo": ("build", HOUSE),
    "cloud": ("cloud", ()),
    "edge": ("edge", ()),
}
HEADER = """\
# Exact versions of `suture[{extras}]` and what it needs; written by `make lock`, not by hand.
# Resolved by CPython {python} on {platform}. torch is whichever build of this version pip finds first.
"""


def main() -> int:
    """Resolves every environment and writes its lock file."""
    with tempfile.TemporaryDirectory(prefix="suture-lock-") as scratch:
        python = _fresh_python(Path(scratch))
        constraints: Path | None = None
        for name, (extras, further) in ENVIRONMENTS.items():
            report = _resolve(python, Path(scratch) / f"{name}.json", extras, further, constraints)
            target = LOCKS / f"{name}.txt"
            header = HEADER.format(extras=extras, python=report["environment"]["python_version"], platform=sys.platform)
            pins = _pins(report)
            target.write_text(header + "".join(f"{pin}\n" for pin in pins), encoding="utf-8")
            constraints = constraints or target
            sys.stdout.write(f"{target.relative_to(ROOT)}: {len(pins)} packages\n")
    return 0


def _fresh_python(scratch: Path) -> Path:
    venv.create(scratch / "venv", with_pip=True)
    return scratch / "venv" / "bin" / "python"


def _resolve(
    python: Path, report: Path, extras: str, further: tuple[str, ...], constraints: Path | None
) -> dict[str, Any]:
    requirements = [*_requirements(extras), *further]
    command = [str(python), "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed", "--report", str(report)]
    if constraints is not None:
        command += ["--constraint", str(constraints)]
    subprocess.run([*command, *requirements], check=True, cwd=ROOT)
    loaded: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return loaded


def _requirements(extras: str) -> list[str]:
    """The requirements of `suture[extras]`, its references to its own extras followed."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    found: list[str] = list(project["dependencies"])
    waiting = extras.split(",")
    seen: set[str] = set()
    while waiting:
        extra = waiting.pop().strip()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in optional[extra]:
            own = re.fullmatch(r"suture\[([^]]+)\]", requirement)
            if own is None:
                found.append(requirement)
            else:
                waiting += own.group(1).split(",")
    return found


def _pins(report: dict[str, Any]) -> list[str]:
    pins = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"].partition("+")[0]
        for item in report["install"]
    }
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    sys.exit(main())
