"""The command line as a shell sees it: exit codes, streams, what loads when."""

import subprocess
import sys
from pathlib import Path

import pytest

from qisguard import __version__
from qisguard.cli.main import app

COMMANDS = [str(command.name) for command in app.registered_commands]
HEAVY = ("numpy", "scipy", "nacl", "msgspec", "cryptography", "matplotlib", "lifelines", "rich")
MAIN = "import sys; from qisguard.cli.main import main; sys.argv[0] = 'qisguard'; "


def _run(*arguments: str, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    script = f"{MAIN}{before}\ntry:\n    main()\nfinally:\n    {after or 'pass'}"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True
    )


def test_there_are_commands() -> None:
    assert {"demo", "audit"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = _run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: qisguard {command} ")


def test_without_arguments_it_shows_the_commands_and_exits_as_for_wrong_usage() -> None:
    done = _run()
    assert done.returncode == 2
    shown = done.stdout + done.stderr
    assert all(f"\n  {command} " in shown for command in COMMANDS)


def test_the_version_is_one_line() -> None:
    done = _run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"qisguard {__version__}\n", "")


@pytest.mark.parametrize(("typed", "meant"), [("dmeo", "demo"), ("adit", "audit")])
def test_an_unknown_command_exits_2_and_suggests_the_nearest(typed: str, meant: str) -> None:
    done = _run(typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"No such command '{typed}'" in done.stderr
    assert f"'{meant}'" in done.stderr
    assert "Try 'qisguard --help'" in done.stderr


def test_an_unknown_option_exits_2_and_suggests_the_nearest() -> None:
    done = _run("demo", "--quik")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--quick" in done.stderr
    assert "Try 'qisguard demo --help'" in done.stderr


def test_help_loads_nothing_heavy() -> None:
    done = _run("--help", after=f"print([m for m in {HEAVY} if m in sys.modules])")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_error_of_ours_is_one_line_with_a_code_and_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = _run("demo", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("QE-400 --out ")
    assert hint == "try: qisguard demo --help"


FAIL = (
    "import typer, qisguard.cli.main as m\n"
    "@m.app.command('fail')\n"
    "def fail() -> None:\n    raise {error}\n"
)


def test_an_error_that_nobody_expected_exits_70_without_a_traceback() -> None:
    done = _run("fail", before="\n" + FAIL.format(error="ZeroDivisionError('by zero')"))
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.startswith("qisguard: internal error: ZeroDivisionError: by zero\n")
    assert "QISGUARD_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_exits_130() -> None:
    done = _run("fail", before="\n" + FAIL.format(error="KeyboardInterrupt"))
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
