"""benchmarks/scenarios.py: every packaged scenario at its own counts, and the page about them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = ["--runs", str(folder / "runs"), "--page", str(folder / "page.md")]
    line = [sys.executable, str(ROOT / "benchmarks" / "scenarios.py"), *paths, *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.long
def test_a_run_is_made_once_and_its_gates_stand_in_the_page(tmp_path: Path) -> None:
    found = _run(tmp_path, "--only", "key-dictionary", "--processes", "1", "--json")
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout)["key-dictionary"]
    assert summary["seeds"] == list(range(1, 11))
    page = (tmp_path / "page.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `")]
    assert row.startswith("| `key-dictionary`")
    for gate in summary["gates"]:
        assert f"holds: {gate['gate']}: " in row

    (ledger,) = (tmp_path / "runs").glob("key-dictionary-*/results.parquet")
    made = ledger.stat().st_mtime_ns
    again = _run(tmp_path, "--only", "key-dictionary")
    assert "1 scenarios, 2 gates: 2 hold" in again.stdout
    assert ledger.stat().st_mtime_ns == made
    assert (tmp_path / "page.md").read_text() == page


def test_an_unknown_scenario_is_named_with_the_nearest(tmp_path: Path) -> None:
    found = _run(tmp_path, "--only", "key-dictionery")
    assert found.returncode == 2
    assert "key-dictionary" in found.stderr
