"""``qisguard audit`` as a script sees it: exit codes, streams, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from qisguard.audit import CHECKS
from qisguard.cli.audit import audit
from tests.trails import Net, ordinary, write_trail

NET = Net()
A = NET.member("a")


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return write_trail(tmp_path / "trail", A, ordinary(NET, A, 3))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return NET.write_policy(tmp_path / "policy")


def _run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_clean_trail_exits_0_and_says_what_was_measured(trail: Path, policy: Path) -> None:
    result = _run(trail, "--trust", policy)
    assert result.exit_code == 0
    assert "verdict: clean" in result.stdout
    assert f"origin   {A.origin} (signed by a key of the policy)" in result.stdout
    assert "3 present, 0 absent, 3 signatures checked" in result.stdout
    assert "a log proves what was logged, not that everything was" in result.stdout


def test_without_trust_it_exits_3_and_names_the_next_command(trail: Path) -> None:
    result = _run(trail)
    assert result.exit_code == 3
    assert "origin unverified" in result.stdout
    assert "next: qisguard audit PATH --trust POLICY" in result.stdout


def test_a_finding_exits_1_with_id_file_and_remedy(trail: Path, policy: Path) -> None:
    (trail / "stray").touch()
    result = _run(trail, "--trust", policy)
    assert result.exit_code == 1
    assert f"high AUD-12 {trail}/stray" in result.stdout
    assert "what to do: " in result.stdout
    assert "next: qisguard audit explain AUD-12" in result.stdout


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("trusting", [False, True])
def test_json_and_text_give_the_same_verdict(
    trail: Path, policy: Path, broken: bool, trusting: bool
) -> None:
    if broken:
        (trail / "tile/0/000.p/5").write_bytes(bytes(160))
    arguments = [trail, "--trust", policy] if trusting else [trail]
    text, machine = _run(*arguments), _run(*arguments, "--json")
    value = json.loads(machine.stdout)
    assert text.exit_code == machine.exit_code == value["exit"]
    assert value["schema"] == "qisguard.audit/v1"
    assert bool(value["findings"]) is broken
    assert value["trails"][0]["size"] == 5
    if broken:
        assert value["findings"][0]["id"] == "AUD-13"
        assert value["findings"][0]["file"] == "tile/0/000.p/5"


def test_usage_errors_exit_2_on_stderr_with_a_code_and_the_next_command(
    tmp_path: Path, trail: Path, policy: Path
) -> None:
    (policy / "logs").write_text("log nonsense\nquorum none\n")
    for arguments in (
        [],
        [tmp_path / "nothing"],
        [trail / "checkpoint"],
        [trail, "--trust", tmp_path / "nothing"],
        [trail, "--trust", trail],
        [trail, trail],
        [trail, "--trust", policy],
        ["explain", "AUD-99"],
    ):
        result = _run(*arguments)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert result.stderr.startswith("QE-400 "), result.stderr
        assert "\ntry: qisguard audit" in result.stderr
    assert "line 1: verifier key" in _run(trail, "--trust", policy).stderr


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_is_explained(check: str) -> None:
    result = _run("explain", check.lower())
    assert result.exit_code == 0
    assert CHECKS[check].title in result.stdout


def test_the_command_is_imported_without_what_only_an_audit_needs() -> None:
    script = (
        "import sys, qisguard.cli.audit; "
        "print([m for m in ('nacl', 'msgspec', 'numpy', 'qisguard.audit') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "[]"
