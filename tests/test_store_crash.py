"""A process with a store is killed with SIGKILL: nothing that it acknowledged is lost."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = "benchmarks/reliability/kill_store.py"
FORGETFUL = """
import runpy, sys
from qisguard.store.sqlite import SqliteStore
SqliteStore.commit = lambda self: None
sys.argv = ["kill_store.py", "--kills", "12", "--seed", "3", "--json"]
runpy.run_path("{script}", run_name="__main__")
"""


def test_what_a_store_acknowledged_survives_kill_9() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "10", "--seed", "3", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert (result["tried"], result["lost"], result["failures"]) == (10, 0, [])
    assert result["upper_bound"] == 0.3
    assert result["acknowledged"] > 0


def test_a_store_that_acknowledges_without_committing_is_found_out() -> None:
    """The check is worth something: without commits it fails, and says so with its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL.format(script=SCRIPT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["lost"] > 0
