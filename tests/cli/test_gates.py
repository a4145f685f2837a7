"""The gates of `make check` notice what they are there for: each meets a copy of the tree with one planted mistake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("edge", "cloud", "partitioner", "protocol", "models", "simulators", "cli")
TOOLS = Path(sys.executable).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the seven packages and the configuration of the gates."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def gate(tree: Path, *command: str) -> tuple[bool, str]:
    """Runs a gate in `tree`; whether it passed, and what it said. The tree's packages hide the installed ones."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(str(tree / room) for room in ROOMS), COLUMNS="200")
    done = subprocess.run(
        [str(TOOLS / command[0]), *command[1:]], cwd=tree, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.returncode == 0, done.stdout + done.stderr


def plant(tree: Path, path: str, code: str) -> None:
    (tree / path).write_text(f'"""A mistake, planted."""\n\n{code}\n', encoding="utf-8")


def import_gate(tree: Path) -> tuple[bool, str]:
    return gate(tree, "lint-imports", "--no-cache")


def test_the_import_contract_holds_as_the_tree_stands(tree: Path) -> None:
    passed, said = import_gate(tree)
    assert passed, said


@pytest.mark.parametrize(
    ("importer", "code"),
    [
        ("protocol/suture_protocol/planted.py", "import suture_models.manifest"),
        ("models/suture_models/planted.py", "import suture_edge"),
        ("edge/suture_edge/planted.py", "import suture_cloud"),
        ("cloud/suture_cloud/planted.py", "def late() -> None:\n    import suture.app"),
    ],
    ids=["protocol-models", "models-edge", "edge-cloud", "cloud-cli-within-a-function"],
)
def test_an_upward_or_sideways_import_breaks_the_contract(tree: Path, importer: str, code: str) -> None:
    plant(tree, importer, code)
    passed, said = import_gate(tree)
    assert not passed
    assert "Imports go down only BROKEN" in said


def test_torch_reaching_the_edge_through_another_module_breaks_the_contract(tree: Path) -> None:
    plant(tree, "models/suture_models/planted.py", "import torch")
    plant(tree, "edge/suture_edge/planted.py", "import suture_models.planted")
    passed, said = import_gate(tree)
    assert not passed
    assert "never import torch BROKEN" in said
    assert "suture_models.planted -> torch" in said


@pytest.mark.parametrize("module", ["grpc", "socket", "time"])
def test_io_in_the_protocol_breaks_the_contract(tree: Path, module: str) -> None:
    plant(tree, "protocol/suture_protocol/planted.py", f"import {module}")
    passed, said = import_gate(tree)
    assert not passed
    assert "The protocol holds no socket, no channel and no clock BROKEN" in said


def test_a_type_error_fails_the_type_check(tree: Path) -> None:
    plant(tree, "protocol/suture_protocol/planted.py", 'def length() -> int:\n    return "three"')
    passed, said = gate(tree, "mypy", "-p", "suture_protocol")
    assert not passed
    assert "planted.py:4: error: Incompatible return value type" in said


def test_a_missing_annotation_fails_the_type_check(tree: Path) -> None:
    plant(tree, "protocol/suture_protocol/planted.py", "def length(x):\n    return x")
    passed, said = gate(tree, "mypy", "-p", "suture_protocol")
    assert not passed
    assert "planted.py:3: error: Function is missing a type annotation" in said


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import os", "F401"),
        ('def say() -> None:\n    print("x")', "T201"),
        ("import pickle\n\nREAD = pickle.loads", "TID251"),
        ("def f() -> None:\n    try:\n        f()\n    except Exception:\n        return", "BLE001"),
    ],
    ids=["unused-import", "print", "pickle", "blind-except"],
)
def test_a_lint_error_fails_the_lint(tree: Path, code: str, rule: str) -> None:
    plant(tree, "protocol/suture_protocol/planted.py", code)
    passed, said = gate(tree, "ruff", "check", "--no-cache", "--output-format=concise", ".")
    assert not passed
    assert any("planted.py" in line and rule in line for line in said.splitlines()), said


def test_unformatted_code_fails_the_format_check(tree: Path) -> None:
    plant(tree, "protocol/suture_protocol/planted.py", "x = {  'a':1 }")
    passed, said = gate(tree, "ruff", "format", "--check", "--no-cache", ".")
    assert not passed
    assert "protocol/suture_protocol/planted.py" in said
