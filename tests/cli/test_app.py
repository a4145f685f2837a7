"""The command's frame: the table, lazy imports, exit statuses, one-line errors."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import typer

from suture import app
from suture_protocol.errors import BundleError, InputRefused, UsageError

ENGINES = ("torch", "openvino", "onnxruntime", "nncf", "monai", "ai_edge_litert")
HEAVY = (*ENGINES, "grpc", "numpy")


def command_module(action: object) -> ModuleType:
    """A module as `suture.commands` holds them, whose one command raises or does `action`."""
    module = ModuleType("suture_test_command")

    def run() -> None:
        if isinstance(action, BaseException):
            raise action
        assert callable(action)
        action()

    module.register = lambda target: target.command("inspect")(run)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch):
    """Runs `suture inspect` with a command that does what it is given, and returns the exit status."""

    def run(action: object) -> int:
        module = command_module(action)
        monkeypatch.setitem(sys.modules, app.COMMANDS["inspect"].module, module)
        return app.main(["inspect"])

    return run


def test_help_lists_every_command_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in app.COMMANDS)
    assert "Examples" in shown


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from suture.app import main; status = main(['--help']);"
        "loaded = [m for m in sys.modules if m.startswith('suture.commands.') or m.split('.')[0] in "
        f"{HEAVY!r}]; sys.exit(status or (f'imported {{loaded}}' if loaded else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(app.COMMANDS))
def test_each_command_has_help_with_an_example_and_needs_no_engine_for_it(name: str) -> None:
    code = (
        f"import sys; from suture.app import main; status = main([{name!r}, '--help']);"
        f"heavy = sorted({{m.split('.')[0] for m in sys.modules}} & set({ENGINES!r}));"
        "sys.exit(status or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Examples" in done.stdout
    assert f"suture {name}" in done.stdout


def test_version_names_the_program_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    program, number = capsys.readouterr().out.split()
    assert program == "suture"
    assert number[0].isdigit()


def test_an_unknown_command_is_wrong_usage_and_the_nearest_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["inspct"]) == 2
    assert "inspect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputRefused("a.dcm", "has no pixels"), 1, "suture: a.dcm: has no pixels\n"),
        (UsageError("rate 20mbits: no such unit"), 2, "suture: rate 20mbits: no such unit\n"),
        (BundleError("x is not a bundle\n(no file)"), 3, "suture: x is not a bundle (no file)\n"),
        (KeyboardInterrupt(), 130, "suture: interrupted\n"),
    ],
    ids=["refused", "usage", "bundle", "interrupt"],
)
def test_an_error_is_one_line_and_its_own_status(
    run_with, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, message: str
) -> None:
    assert run_with(error) == status
    assert capsys.readouterr() == ("", message)


def test_an_exit_status_of_a_command_is_passed_on(run_with) -> None:
    assert run_with(typer.Exit(1)) == 1


def test_an_unexpected_error_is_one_line_without_a_traceback(
    run_with, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUTURE_DEBUG", raising=False)
    assert run_with(RuntimeError("two\nlines")) == 3
    shown = capsys.readouterr().err
    assert shown.startswith("suture: unexpected RuntimeError: two lines")
    assert "SUTURE_DEBUG=1" in shown
    assert shown.count("\n") == 1


def test_debugging_shows_the_traceback(
    run_with, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTURE_DEBUG", "1")
    assert run_with(RuntimeError("boom")) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_library_names_the_extra_that_brings_it(run_with, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(ModuleNotFoundError("No module named 'nncf'", name="nncf.quantization")) == 3
    assert "suture[build]" in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_not_blamed_on_the_installation(
    run_with, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(ModuleNotFoundError("No module named 'suture_edge.nope'", name="suture_edge.nope")) == 3
    assert "unexpected" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_met_in_silence() -> None:
    script = (
        "import sys; from suture import app\n"
        "def register(target):\n"
        "    target.command('inspect')(lambda: [sys.stdout.write('line\\n' * 100) for _ in range(10000)] and None)\n"
        "sys.modules['suture.commands.inspect'] = type(sys)('fake')\n"
        "sys.modules['suture.commands.inspect'].register = register\n"
        "sys.exit(app.main(['inspect']))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(timeout=60) == app.READER_LEFT
