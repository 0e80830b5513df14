"""A process with a trail is killed, and the power fails under it: nothing acknowledged is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KILL = ("benchmarks/reliability/kill_trail.py", "--kills", "8", "--seed", "3", "--json")
TEAR = ("benchmarks/reliability/torn_trail.py", "--appends", "25", "--seed", "1", "--json")
FAIL = ("benchmarks/reliability/failing_trail.py", "--stride", "97", "--json")
BROKEN = """
import runpy, sys
{change}
sys.argv = {arguments!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
FORGETFUL = """
from qisguard.trail.log import Trail
Trail.flush = lambda self: self._unflushed.clear()
"""
TRUSTING = """
from qisguard.trail.files import FolderFiles
FolderFiles.sync = lambda self, paths: None
"""


def test_what_a_trail_acknowledged_survives_kill_9() -> None:
    done = subprocess.run(
        [sys.executable, *KILL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert (result["tried"], result["lost"], result["failures"]) == (8, 0, [])
    assert result["upper_bound"] == 3 / 8
    assert result["acknowledged"] > 0


def test_what_a_trail_acknowledged_survives_a_power_loss_at_every_step() -> None:
    done = subprocess.run(
        [sys.executable, *TEAR], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert (result["failed"], result["failures"]) == (0, [])
    assert result["appends"] >= 25
    assert result["died"] > 0
    assert result["tried"] > result["steps"]


def test_a_trail_whose_system_calls_fail_says_so_and_loses_nothing_acknowledged() -> None:
    done = subprocess.run(
        [sys.executable, *FAIL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert (result["failed"], result["failures"]) == (0, [])
    assert result["tried"] > 15


@pytest.mark.parametrize(
    ("change", "arguments"),
    [(FORGETFUL, KILL), (FORGETFUL, TEAR), (TRUSTING, TEAR), (FORGETFUL, FAIL)],
)
def test_a_trail_that_promises_too_much_is_found_out(change: str, arguments: list[str]) -> None:
    """The checks are worth something: they fail, and say so with their exit codes."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN.format(change=change, arguments=list(arguments))],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["failures"]
